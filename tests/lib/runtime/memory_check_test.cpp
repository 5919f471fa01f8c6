#include "lib/runtime/memory_check.h"

#include <algorithm>
#include <doctest/doctest.h>

#include "lib/backend/reference_backend.h"
#include "tests/lib/runtime/tiny_runtime.h"
#include "tests/support/error_of.h"

namespace mica::testing {
namespace {

// Reserves more for a step of two tokens than any machine has, and never gives it back.
class GreedyBackend final : public Backend {
 public:
  std::string name() const override { return "greedy"; }
  std::unique_ptr<DeviceBuffer> allocate(uint64_t bytes) override { return real_->allocate(bytes); }
  uint64_t reserve(const StepLimits& limits) override {
    return held_ = std::max(held_, limits.tokens > 1 ? uint64_t{1} << 60 : 0);
  }
  uint64_t measure(const StepLimits&) const override { return 0; }
  void require(const DType&) override {}
  void embed(const EmbedArgs&) override {}
  void norm_linear(const NormLinearArgs&) override {}
  void gated_linear(const GatedLinearArgs&) override {}
  void linear_add(const LinearAddArgs&) override {}
  void norm_add(const NormAddArgs&) override {}
  void rope_store_kv(const RopeStoreArgs&) override {}
  void attention(const AttentionArgs&) override {}
  void logits(const LogitsArgs&) override {}

 private:
  std::unique_ptr<Backend> real_ = make_reference_backend(Activations::kInt8);
  uint64_t held_ = 0;
};

TEST_CASE("memory that a backend would take counts, and is refused again the second time") {
  const TempFolder folder;
  const auto model = load_tiny(folder);
  GreedyBackend backend;
  const auto make = [&](int64_t tokens) {
    return make_decoder(backend, model->config(), model->weights(),
                        {.name = "tiny.mica",
                         .use = "a test",
                         .limits = {.tokens = tokens, .logit_rows = 1, .context = 16}});
  };
  CHECK(make(1)->reserved_bytes() > 0);
  for (int attempt = 0; attempt < 2; ++attempt) {
    const Error error = error_of([&] { make(2); });
    CHECK(error.code() == ErrorCode::kDoesNotFit);
    CHECK(error.message().find("tiny.mica: a test: expected 1099511627776 MiB of memory") == 0);
  }
}

}  // namespace
}  // namespace mica::testing
