#include "lib/runtime/plan_rates.h"

#include <algorithm>
#include <cmath>

namespace mica {
namespace {

// Shares of a device's peaks that steps reach (shared/design/offload-cuda.md, "Targets").
constexpr double kReadShare = 0.5, kOperationShare = 0.45, kUploadShare = 0.8;
// A small card on a narrow slot.
constexpr DeviceFacts kSlowDevice{.read_bytes_per_second = 300e9,
                                  .int8_operations = 80e12,
                                  .float_operations = 40e12,
                                  .upload_bytes_per_second = 12e9};

double operations_rate(const PlanModel& model, const PlanRates& rates) {
  return model.traits.float_products ? rates.floats : rates.int8;
}

// Of one layer, or the head, in steps of `chunk` tokens.
double compute_seconds(const PlanPiece& piece, double operations, const PlanRates& rates,
                       int64_t tokens, int64_t chunk) {
  const double steps = std::ceil(static_cast<double>(tokens) / static_cast<double>(chunk));
  return std::max(2 * piece.weights * static_cast<double>(tokens) / operations,
                  steps * static_cast<double>(piece.bytes) / rates.read);
}

}  // namespace

PlanRates rates_of(const DeviceFacts& facts) {
  const auto known = [](double value, double otherwise) { return value > 0 ? value : otherwise; };
  return {
      .read = kReadShare * known(facts.read_bytes_per_second, kSlowDevice.read_bytes_per_second),
      .int8 = kOperationShare * known(facts.int8_operations, kSlowDevice.int8_operations),
      .floats = kOperationShare * known(facts.float_operations, kSlowDevice.float_operations),
      .upload =
          kUploadShare * known(facts.upload_bytes_per_second, kSlowDevice.upload_bytes_per_second)};
}

// Two channels of DDR4, and AVX2.
PlanRates default_host_rates(int threads) {
  return {
      .read = std::min(10e9 * threads, 40e9), .int8 = 100e9 * threads, .floats = 40e9 * threads};
}

double decode_seconds(const PlanModel& model, const Placement& placement, const PlaceRates& rates) {
  double seconds = 0;
  for (const PlacedPart& part : placement.parts) {
    double bytes = 0;
    for (int64_t i = part.first_layer; i < part.first_layer + part.layers; ++i)
      bytes += static_cast<double>(model.layers[i].bytes);
    if (&part == &placement.parts.back()) bytes += static_cast<double>(model.head.bytes);
    seconds += bytes / rates.of(part.device).read;
  }
  return seconds;
}

double prefill_seconds(const PlanModel& model, const Placement& placement, const PlaceRates& rates,
                       int64_t tokens) {
  const bool is_streamed = tokens >= placement.streaming.from_tokens;
  double seconds = 0;
  for (const PlacedPart& part : placement.parts) {
    const bool is_copied = is_streamed && part.device == kHostDevice;
    const PlanRates& at = rates.of(is_copied ? placement.parts[1].device : part.device);
    const double operations = operations_rate(model, at);
    const double copies =
        std::ceil(static_cast<double>(tokens) /
                  static_cast<double>(std::max<int64_t>(1, placement.streaming.tokens)));
    for (int64_t i = part.first_layer; i < part.first_layer + part.layers; ++i) {
      const PlanPiece& layer = model.layers[i];
      const double computed = compute_seconds(layer, operations, at, tokens, placement.chunk);
      const double copied = is_copied ? copies * static_cast<double>(layer.bytes) / at.upload : 0;
      seconds += std::max(computed, copied);
    }
  }
  const PlanRates& last = rates.of(placement.parts.back().device);
  return seconds + compute_seconds(model.head, operations_rate(model, last), last, 1, 1);
}

int64_t streaming_break_even(const PlanModel& model, const PlanRates& host,
                             const PlanRates& device) {
  if (operations_rate(model, device) <= operations_rate(model, host)) return INT64_MAX;
  double bytes = 0, weights = 0;
  for (const PlanPiece& layer : model.layers) {
    bytes += static_cast<double>(layer.bytes);
    weights += layer.weights;
  }
  const double host_seconds = 2 * weights / operations_rate(model, host);  // a token
  const double tokens = std::ceil(bytes / device.upload / host_seconds) + 1;
  return tokens < 1e9 ? static_cast<int64_t>(tokens) : INT64_MAX;
}

}  // namespace mica
