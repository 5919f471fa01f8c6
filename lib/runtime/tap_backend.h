// A backend that shows what matrices are multiplied with, and passes all on to another one, which
// outlives it.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "lib/backend/backend.h"

namespace mica {

// `first`: of the weights that take this input, [T, K] after its norm. `shares`: [T], how much
// a row counts (positive), or empty: all alike.
using InputTap = std::function<void(const Weight& first, View<const float> input,
                                    std::span<const float> shares)>;

class TapBackend final : public Backend {
 public:
  TapBackend(Backend& inner, InputTap tap) : inner_(inner), tap_(std::move(tap)) {}

  std::string name() const override { return inner_.name(); }
  std::unique_ptr<DeviceBuffer> allocate(uint64_t bytes) override { return inner_.allocate(bytes); }
  uint64_t reserve(const StepLimits& limits) override { return inner_.reserve(limits); }
  void require(const DType& dtype) override { inner_.require(dtype); }

  void embed(const EmbedArgs& args) override { inner_.embed(args); }
  void norm_linear(const NormLinearArgs& args) override;
  void gated_linear(const GatedLinearArgs& args) override;
  void linear_add(const LinearAddArgs& args) override;
  void norm_add(const NormAddArgs& args) override;
  void rope_store_kv(const RopeStoreArgs& args) override { inner_.rope_store_kv(args); }
  void attention(const AttentionArgs& args) override { inner_.attention(args); }
  void logits(const LogitsArgs& args) override { inner_.logits(args); }

 private:
  void show(const Weight& first, View<const float> x, const Norm& norm);

  // A product that a norm follows.
  struct Product {
    const Weight* weight = nullptr;
    View<const float> x;
  };

  Backend& inner_;
  InputTap tap_;
  std::vector<float> normalized_, shares_;
  Product product_;
};

}  // namespace mica
