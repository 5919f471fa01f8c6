// The op conformance suite: what every backend must give, on every instruction set it has.
//
// Each function runs a table of cases on backends made by the factory and compares with the plain
// reference (lib/backend/reference_backend.h). It reports through doctest: call it inside a
// TEST_CASE of a program that links this library and doctest's main.
//
// What is demanded:
//   * products of panel types with int8 activations, without norm: the same bits (quant/README.md),
//     in calls of up to TestedBackend::exact_tokens tokens
//   * embed, stored keys and values, residual sums: the same bits
//   * everything else: within tolerances derived beside each case
//   * the same bits again when tokens are split into steps of any length and for any thread count,
//     for panel types, up to exact_tokens likewise
//   * nothing is read but what the arguments name (stale cache positions hold NaN), and nothing is
//     written past the end of an output
//
// Memory of a backend is touched through upload() and download() alone: it need not be the host's.
#pragma once

#include <functional>
#include <memory>

#include "lib/backend/backend.h"
#include "lib/base/thread_pool.h"

namespace mica::conformance {

// The pool, where the backend borrows one, is destroyed after it.
//
// Products of more than exact_tokens (at least 8) tokens, or rows of logits, may be made from the
// float input and the decoded weights, both rounded to bf16, as matrix units of GPUs have them
// (bf16_tolerance()). With Activations::kF32 no product may.
struct TestedBackend {
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Backend> backend;
  int64_t exact_tokens = INT64_MAX;
};
// No backend: none with so many threads, to spare the time where threads mean nothing. Two there
// must be.
using BackendFactory = std::function<TestedBackend(int threads, Activations activations)>;

void check_memory(const BackendFactory& make);  // allocate, reserve, measure, require, name
void check_copies(const BackendFactory& make);  // upload, download, CopyQueue, allocate_host
void check_embed(const BackendFactory& make);   // all types
void check_integer_products(const BackendFactory& make);  // norm_linear, linear_add, logits, int8
void check_normed_products(const BackendFactory& make);   // the same ops and types with a norm
void check_float_products(const BackendFactory& make);    // f32, f16, bf16; Activations::kF32
void check_gated_products(const BackendFactory& make);    // gated_linear, with a gate or plain
void check_norm_add(const BackendFactory& make);
void check_bad_numbers(const BackendFactory& make);  // NaN and infinity are passed on
void check_rope_store(const BackendFactory& make);
void check_attention(const BackendFactory& make);

// All of the above.
void check_all(const BackendFactory& make);

}  // namespace mica::conformance
