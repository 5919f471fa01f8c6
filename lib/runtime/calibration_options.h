// What a conversion may be told about calibration, and what it tells of its result.
#pragma once

#include <cstdint>
#include <string>

namespace mica {

// How far the stack of quant/README.md is climbed.
enum class CalibrationEffort {
  kSearch,  // scales and offsets, weighted by the inputs' squares
  kGptq,    // and errors of columns made good by later ones
  kFull,    // and coordinate descent
};

struct CalibrationOptions {
  std::string text;            // UTF-8
  std::string text_name;       // for reports and sentences
  bool random_tokens = false;  // drawn from the vocabulary, in place of a text
  CalibrationEffort effort = CalibrationEffort::kFull;
  bool awq = false;        // factors for the channels of inputs, folded into what makes them
  int64_t tokens = 16384;  // at most
  bool resume = false;     // use the layers that an interrupted conversion has finished
};

struct HeldOutDivergence {
  double mean_kl = 0;
  int64_t positions = 0;
};

}  // namespace mica
