// Weights as runs of bytes: how long one is, and what they are in a copy of it.
#include <algorithm>

#include "lib/model/weights.h"

namespace mica {
namespace {

// Every matrix and vector of a layer, norms as their vectors.
template <class Layer, class Visit>
void visit(Layer& w, const Visit& visit) {
  for (auto* matrix : {&w.q, &w.k, &w.v, &w.attn_out, &w.gate, &w.up, &w.down}) visit(*matrix);
  for (auto* vector : {&w.q_bias, &w.k_bias, &w.v_bias, &w.attn_out_bias, &w.gate_bias, &w.up_bias,
                       &w.down_bias}) {
    visit(*vector);
  }
  for (auto* norm :
       {&w.attn_norm, &w.q_norm, &w.k_norm, &w.attn_post_norm, &w.ffn_norm, &w.ffn_post_norm}) {
    visit(norm->weight);
    visit(norm->bias);
  }
}

WeightRun bytes_of(const Weight& weight) {
  if (!weight.present()) return {};
  return {weight.data, tensor_bytes(weight.dtype, static_cast<uint64_t>(weight.rows),
                                    static_cast<uint64_t>(weight.cols), "weight")};
}

WeightRun bytes_of(View<const float> vector) {
  if (vector.empty()) return {};
  return std::as_bytes(std::span(vector.data(), static_cast<size_t>(vector.size())));
}

// Grows from piece to piece.
class Extent {
 public:
  void add(WeightRun piece) {
    if (piece.empty()) return;
    begin_ = begin_ == nullptr ? piece.data() : std::min(begin_, piece.data());
    end_ = std::max(end_, piece.data() + piece.size());
  }
  WeightRun run() const { return {begin_, end_}; }

 private:
  const std::byte* begin_ = nullptr;
  const std::byte* end_ = nullptr;
};

void move(Weight& weight, WeightRun from, uintptr_t to) {
  if (!weight.present()) return;
  weight.data = reinterpret_cast<const std::byte*>(to + (weight.data - from.data()));
}

void move(View<const float>& vector, WeightRun from, uintptr_t to) {
  if (vector.empty()) return;
  const auto* place = reinterpret_cast<const std::byte*>(vector.data());
  vector = {reinterpret_cast<const float*>(to + (place - from.data())), vector.rows(),
            vector.row_size()};
}

}  // namespace

WeightRun run_of(const LayerWeights& weights) {
  Extent extent;
  visit(weights, [&](const auto& piece) { extent.add(bytes_of(piece)); });
  return extent.run();
}

WeightRun run_of(const Weight& weight) {
  return bytes_of(weight);
}

WeightRun run_of(const Norm& norm) {
  Extent extent;
  extent.add(bytes_of(norm.weight));
  extent.add(bytes_of(norm.bias));
  return extent.run();
}

LayerWeights relocated(const LayerWeights& weights, WeightRun from, uintptr_t to) {
  LayerWeights copy = weights;
  visit(copy, [&](auto& piece) { move(piece, from, to); });
  return copy;
}

Weight relocated(const Weight& weight, WeightRun from, uintptr_t to) {
  Weight copy = weight;
  move(copy, from, to);
  return copy;
}

Norm relocated(const Norm& norm, WeightRun from, uintptr_t to) {
  Norm copy = norm;
  move(copy.weight, from, to);
  move(copy.bias, from, to);
  return copy;
}

}  // namespace mica
