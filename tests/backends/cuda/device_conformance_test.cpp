// The op conformance suite on the first device of the module: for bench/gpu.sh, where there is a
// GPU. MICA_CUDA_GEMM_TOKENS, which the module heeds, says from how many tokens on products are
// bf16's.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <cstdlib>
#include <doctest/doctest.h>

#include "lib/backend/module_loader.h"
#include "lib/base/error.h"
#include "tests/lib/backend/conformance.h"

namespace mica {
namespace {

conformance::TestedBackend make(int threads, Activations activations) {
  if (threads != 2) return {};
  static const FoundDevices found = find_devices("cuda");
  if (found.devices.empty()) throw Error(ErrorCode::kUnsupported, found.why_none);
  const char* text = std::getenv("MICA_CUDA_GEMM_TOKENS");
  const long gemm_tokens = text ? std::atol(text) : 512;
  return {nullptr, found.devices[0].open({.activations = activations}),
          gemm_tokens > 0 ? gemm_tokens - 1 : INT64_MAX};
}

TEST_CASE("memory") {
  conformance::check_memory(make);
}
TEST_CASE("copies") {
  conformance::check_copies(make);
}
TEST_CASE("embedding") {
  conformance::check_embed(make);
}
TEST_CASE("integer products") {
  conformance::check_integer_products(make);
}
TEST_CASE("products behind a norm") {
  conformance::check_normed_products(make);
}
TEST_CASE("float products") {
  conformance::check_float_products(make);
}
TEST_CASE("gated products") {
  conformance::check_gated_products(make);
}
TEST_CASE("norms added") {
  conformance::check_norm_add(make);
}
TEST_CASE("bad numbers") {
  conformance::check_bad_numbers(make);
}
TEST_CASE("rotation and cache") {
  conformance::check_rope_store(make);
}
TEST_CASE("attention") {
  conformance::check_attention(make);
}

}  // namespace
}  // namespace mica
