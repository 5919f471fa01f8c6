// The suite's own allowance for backends whose products of many tokens round to bf16
// (TestedBackend::exact_tokens): one that does just that conforms.
#include <doctest/doctest.h>

#include "lib/backend/plain_norm.h"
#include "lib/backend/reference_backend.h"
#include "lib/backend/reference_product.h"
#include "lib/base/half.h"
#include "tests/lib/backend/conformance.h"

namespace mica {
namespace {

constexpr int64_t kExactTokens = 8;

std::vector<float> to_bf16(std::vector<float> values) {
  for (float& value : values) value = bf16_to_f32(f32_to_bf16(value));
  return values;
}

struct RoundedWeight {
  explicit RoundedWeight(const Weight& of)
      : values(to_bf16(decode_rows(of, 0, of.rows))),
        weight{kF32, of.rows, of.cols, reinterpret_cast<const std::byte*>(values.data()),
               static_cast<uint64_t>(of.cols) * sizeof(float)} {}
  RoundedWeight(const RoundedWeight&) = delete;
  RoundedWeight& operator=(const RoundedWeight&) = delete;

  std::vector<float> values;
  Weight weight;
};

// Rows of x after their norm.
std::vector<float> rounded_input(View<const float> x, const Norm& norm) {
  std::vector<float> values(x.data(), x.data() + x.size());
  for (int64_t t = 0; norm.present() && t < x.rows(); ++t) {
    normalize_row(norm, x.row(t), x.row_size(), &values[t * x.row_size()]);
  }
  return to_bf16(values);
}

class RoundingBackend final : public Backend {
 public:
  std::string name() const override { return "rounding"; }
  std::unique_ptr<DeviceBuffer> allocate(uint64_t bytes) override {
    return exact_->allocate(bytes);
  }
  uint64_t reserve(const StepLimits& limits) override { return exact_->reserve(limits); }
  uint64_t measure(const StepLimits& limits) const override { return exact_->measure(limits); }
  void require(const DType& dtype) override { exact_->require(dtype); }
  void embed(const EmbedArgs& args) override { exact_->embed(args); }
  void norm_add(const NormAddArgs& args) override { exact_->norm_add(args); }
  void rope_store_kv(const RopeStoreArgs& args) override { exact_->rope_store_kv(args); }
  void attention(const AttentionArgs& args) override { exact_->attention(args); }

  void norm_linear(const NormLinearArgs& args) override {
    if (args.x.rows() <= kExactTokens) return exact_->norm_linear(args);
    const std::vector<float> x = rounded_input(args.x, args.norm);
    for (Projection projection : args.projections) {
      const RoundedWeight rounded(*projection.weight);
      projection.weight = &rounded.weight;
      floats_->norm_linear(
          {.x = {x.data(), args.x.rows(), args.x.row_size()}, .projections = {&projection, 1}});
    }
  }
  void gated_linear(const GatedLinearArgs& args) override {
    if (args.x.rows() <= kExactTokens) return exact_->gated_linear(args);
    const std::vector<float> x = rounded_input(args.x, args.norm);
    const RoundedWeight up(*args.up), gate(args.gate ? *args.gate : *args.up);
    GatedLinearArgs rounded = args;
    rounded.x = {x.data(), args.x.rows(), args.x.row_size()};
    rounded.norm = {};
    rounded.up = &up.weight;
    if (args.gate) rounded.gate = &gate.weight;
    floats_->gated_linear(rounded);
  }
  void linear_add(const LinearAddArgs& args) override {
    if (args.x.rows() <= kExactTokens) return exact_->linear_add(args);
    const std::vector<float> x = rounded_input(args.x, {});
    const RoundedWeight weight(*args.weight);
    LinearAddArgs rounded = args;
    rounded.x = {x.data(), args.x.rows(), args.x.row_size()};
    rounded.weight = &weight.weight;
    floats_->linear_add(rounded);
  }
  void logits(const LogitsArgs& args) override {
    if (std::ssize(args.rows) <= kExactTokens) return exact_->logits(args);
    const std::vector<float> x = rounded_input(args.x, args.norm);
    const RoundedWeight head(*args.head);
    LogitsArgs rounded = args;
    rounded.x = {x.data(), args.x.rows(), args.x.row_size()};
    rounded.norm = {};
    rounded.head = &head.weight;
    floats_->logits(rounded);
  }

 private:
  std::unique_ptr<Backend> exact_ = make_reference_backend(Activations::kInt8);
  std::unique_ptr<Backend> floats_ = make_reference_backend(Activations::kF32);
};

TEST_CASE("a backend that rounds products of many tokens to bf16 conforms as such") {
  const auto make = [](int, Activations activations) {
    if (activations == Activations::kF32) {
      return conformance::TestedBackend{nullptr, make_reference_backend(activations)};
    }
    return conformance::TestedBackend{nullptr, std::make_unique<RoundingBackend>(), kExactTokens};
  };
  SUBCASE("integer") {
    conformance::check_integer_products(make);
  }
  SUBCASE("normed") {
    conformance::check_normed_products(make);
  }
  SUBCASE("gated") {
    conformance::check_gated_products(make);
  }
  SUBCASE("float") {
    conformance::check_float_products(make);
  }
  SUBCASE("bad") {
    conformance::check_bad_numbers(make);
  }
}

}  // namespace
}  // namespace mica
