// The one scratch allocation of a backend: what lies in it, laid out by the same code that measures
// it.
#pragma once

#include "backends/cuda/kernels/args.h"
#include "lib/backend/backend.h"

namespace mica::cuda {

struct WorkspaceNeeds {
  StepLimits limits;
  Activations activations = Activations::kInt8;
  int64_t gemm_tokens = 0;  // from which products are cuBLASLt's; 0: never
  uint64_t gemm_bytes = 0;  // its own scratch
};

struct Workspace {
  CodedInput coded;             // [rows, K]; logits take twice as many
  float* floats = nullptr;      // [rows, K]
  uint16_t* bf16 = nullptr;     // [rows, K]
  uint16_t* weights = nullptr;  // a piece of a matrix as bf16
  int64_t weight_elements = 0;
  float* products = nullptr;  // of that piece, [rows, piece]
  int64_t product_elements = 0;
  std::byte* gemm = nullptr;
  int32_t* ids = nullptr;          // [T] token ids, or [R] rows of logits
  RowPlace* places = nullptr;      // [T]
  AttentionTile* tiles = nullptr;  // [T]
  int32_t* tables = nullptr;
  int64_t table_entries = 0;
  float* partial = nullptr;  // of attention
  int64_t partial_elements = 0;
  uint64_t bytes = 0;
};

// With a null base the pointers mean nothing, the sizes what they would be.
Workspace lay_out(std::byte* base, const WorkspaceNeeds& needs);

}  // namespace mica::cuda
