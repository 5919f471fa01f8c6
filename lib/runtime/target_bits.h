// Weight types for a given number of bits a weight, by what rounding each part costs the model.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "lib/runtime/convert_plan.h"
#include "lib/runtime/sensitivity.h"

namespace mica {

struct BitsTarget {
  double bits_per_weight = 0;  // of all matrices of the layers
  // Those of them that no choice is made for.
  double fixed_weights = 0;
  double fixed_bits = 0;
};

struct TargetChoice {
  ChosenTypes types;
  std::vector<std::string> notes;  // what became what, for the report
};

// Measures the sensitivity over `windows`; `report` is told the share that is done, and may throw.
// Throws Error(kUsage) for fewer bits than any choice has.
TargetChoice choose_for_target(const Importer& importer, const ModelConfig& config,
                               const Engine& engine, const BitsTarget& target,
                               const CalibrationWindows& windows,
                               const std::function<void(double share)>& report);

}  // namespace mica
