// A backend that shows what one matrix is multiplied with, and passes all on to another one: up to
// there, since what a step would do behind it is left out. Both the other one and the matrix
// outlive it.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "lib/backend/backend.h"

namespace mica {

// Valid while it is shown.
struct ShownInput {
  View<const float> x;            // [T, K], after its norm
  std::span<const float> shares;  // [T], how much a row counts (positive), or empty: all alike
};
using ShowInput = std::function<void(const ShownInput& input)>;

class TapBackend final : public Backend {
 public:
  // `watched`: q, attn_out, up or down, for all matrices with the same input.
  TapBackend(Backend& inner, const Weight& watched, ShowInput show)
      : inner_(inner), watched_(&watched), show_(std::move(show)) {}

  std::string name() const override { return inner_.name(); }
  std::unique_ptr<DeviceBuffer> allocate(uint64_t bytes) override { return inner_.allocate(bytes); }
  uint64_t reserve(const StepLimits& limits) override { return inner_.reserve(limits); }
  void require(const DType& dtype) override { inner_.require(dtype); }

  void embed(const EmbedArgs& args) override;
  void norm_linear(const NormLinearArgs& args) override;
  void gated_linear(const GatedLinearArgs& args) override;
  void linear_add(const LinearAddArgs& args) override;
  void norm_add(const NormAddArgs& args) override;
  void rope_store_kv(const RopeStoreArgs& args) override;
  void attention(const AttentionArgs& args) override;
  void logits(const LogitsArgs& args) override { inner_.logits(args); }

 private:
  void show(View<const float> x, const Norm& norm);

  Backend& inner_;
  const Weight* watched_;
  ShowInput show_;
  std::vector<float> normalized_, shares_;
  View<const float> before_norm_;  // the watched input of a product that a norm follows
  bool is_done_ = false;           // with the step: it was shown
};

}  // namespace mica
