// Products of activations with weights: norm, quantization, all projections of one input and what
// follows them (bias, residual, gate) in one parallel region.
//
// The weights' panels are shared out; whoever takes some computes their rows for all tokens. With
// few tokens each thread normalizes and quantizes the whole input for itself, which costs less than
// to wait for another; with many they share the tokens first.
#pragma once

#include <span>
#include <vector>

#include "backends/cpu/kernels/kernels.h"
#include "backends/cpu/row_multiplier.h"
#include "lib/backend/backend.h"
#include "lib/base/aligned_buffer.h"
#include "lib/base/thread_pool.h"

namespace mica::cpu {

struct Linear {
  const Weight* weight = nullptr;  // [N, K]
  const float* bias = nullptr;     // [N] or null
  float* out = nullptr;            // [T, N]
};

enum class LinearEnd {
  kStore,     // out = cap(scale * (y + bias))
  kAdd,       // out += scale * (y + bias)
  kActivate,  // out of the first = activation(first), times the second where there are two
};

struct LinearStep {
  View<const float> x;            // [rows, K]
  std::span<const int32_t> rows;  // the rows of x that are tokens; empty: all
  Norm norm;
  std::span<const Linear> linears;
  LinearEnd end = LinearEnd::kStore;
  float scale = 1;
  float softcap = 0;  // 0: none
  Activation activation = Activation::kSilu;
  bool two_parts = false;  // codes of x and codes of what they leave (quant/README.md, "The head")
};

class LinearRunner {
 public:
  LinearRunner(ThreadPool& pool, const Kernels& kernels, Activations activations);

  // Makes room for steps up to `limits`; returns the bytes held.
  uint64_t reserve(const StepLimits& limits);
  void run(const LinearStep& step);

 private:
  // An input row by row, normalized: as codes, as floats or both.
  struct Input {
    int8_t* codes = nullptr;       // [T, K]
    InputGroup* groups = nullptr;  // [T, K / group]
    float* normalized = nullptr;   // [T, K]
    ConstMatrix floats{};          // normalized, or x itself
    uint16_t* halves = nullptr;    // [T, 2, K]: bf16 of the floats and of what that leaves
  };
  // Where an input is made.
  struct InputMemory {
    AlignedBuffer codes, groups, normalized;
    uint64_t allocate(int64_t tokens, int64_t cols);
    Input input() const;
  };
  struct ThreadMemory {
    InputMemory input;           // of few tokens
    uint64_t prepared_step = 0;  // the step whose input it holds
    AlignedBuffer row;
    AlignedBuffer products[2];  // [tokens, rows] of a block
    AlignedBuffer scratch;
  };

  // Where the step's input goes; which of its forms are needed.
  Input place_input(const LinearStep& step, const InputMemory& memory);
  void prepare_row(const LinearStep& step, int64_t token, const Input& input, float* row);
  Input prepare_alone(const LinearStep& step, int64_t first_unit, int thread);
  // Units of panels, counted over all linears.
  void run_pieces(const LinearStep& step, const Input& input, int64_t units);
  void run_units(const LinearStep& step, const Input& input, Range units, Range rows, int thread);
  void run_panels(const LinearStep& step, const Input& input, size_t linear, Range panels,
                  Range rows, int thread);
  // Products of `panels` with `tokens`, in memory of the thread's, of which there are two.
  Matrix multiply(const Weight& weight, const Input& input, Range panels, Range tokens, int thread,
                  int which);
  int64_t panels_at_once(const LinearStep& step) const;
  int64_t rows_at_once(const LinearStep& step, int64_t stripes) const;
  // Rows of codes a token has.
  int64_t parts_of(const LinearStep& step) const;
  bool takes_codes(const Weight& weight) const;
  bool takes_module(const Weight& weight, int64_t tokens) const;

  ThreadPool& pool_;
  const Kernels& kernels_;
  const Activations activations_;
  RowMultiplier rows_;
  InputMemory shared_;
  std::vector<ThreadMemory> threads_;
  uint64_t step_number_ = 0;
};

}  // namespace mica::cpu
