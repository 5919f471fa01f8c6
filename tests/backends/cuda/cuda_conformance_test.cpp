// The op conformance suite on the host build: every kernel over the fibers of shim/fibers.h, under
// the backend as it is.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "backends/cuda/cuda_backend.h"
#include "tests/lib/backend/conformance.h"

namespace mica {
namespace {

// Exact products for all numbers of tokens.
conformance::TestedBackend make(int threads, Activations activations) {
  if (threads != 2) return {};  // it has no threads
  return {nullptr, cuda::make_cuda_backend({.activations = activations, .gemm_tokens = 0})};
}
// Products of more than 8 tokens in bf16, by the loops that stand for cuBLASLt.
conformance::TestedBackend make_with_gemm(int threads, Activations activations) {
  if (threads != 2) return {};
  return {nullptr, cuda::make_cuda_backend({.activations = activations, .gemm_tokens = 9}), 8};
}

TEST_CASE("memory is allocated and types are required as the interface says") {
  conformance::check_memory(make);
}
TEST_CASE("copies bring what was written, in order") {
  conformance::check_copies(make);
}
TEST_CASE("embedding rows are gathered exactly") {
  conformance::check_embed(make);
}
TEST_CASE("integer products have the reference's bits") {
  conformance::check_integer_products(make);
}
TEST_CASE("products behind a norm are within rounding") {
  conformance::check_normed_products(make);
}
TEST_CASE("products with float weights or activations are within rounding") {
  conformance::check_float_products(make);
}
TEST_CASE("gated products are within rounding") {
  conformance::check_gated_products(make);
}
TEST_CASE("bf16 prefill is within the rounding of bf16") {
  conformance::check_integer_products(make_with_gemm);
  conformance::check_gated_products(make_with_gemm);
  conformance::check_float_products(make_with_gemm);
}
TEST_CASE("norms added to the residual stream are within rounding") {
  conformance::check_norm_add(make);
}
TEST_CASE("NaN and infinity are passed on") {
  conformance::check_bad_numbers(make);
}
TEST_CASE("rotation and the stored cache are right") {
  conformance::check_rope_store(make);
}
TEST_CASE("attention is right for every division of its work") {
  conformance::check_attention(make);
}

}  // namespace
}  // namespace mica
