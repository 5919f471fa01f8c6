#include "lib/runtime/plan_words.h"

#include <algorithm>
#include <fmt/format.h>

namespace mica {
namespace {

const char* name_of(KvType type) {
  switch (type) {
    case KvType::kF16:
      return "f16";
    case KvType::kBF16:
      return "bf16";
    case KvType::kF32:
      return "f32";
    case KvType::kInt8:
      break;
  }
  return "int8";
}

}  // namespace

std::string plan_size(uint64_t bytes) {
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return fmt::format("{} bytes", bytes);
  auto value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; value >= 1000 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return value < 100 ? fmt::format("{:.1f} {}", value, kUnits[unit])
                     : fmt::format("{:.0f} {}", value, kUnits[unit]);
}

std::string PlanWords::purpose() const {
  int64_t on_devices = 0;
  for (const PlacedPart& part : plan_.placement.parts)
    on_devices += part.device == kHostDevice ? 0 : part.layers;
  if (on_devices == 0) return "so that the host's memory does";
  return fmt::format("so that {} of {} layers have room on devices", on_devices,
                     model_.layers.size());
}

std::string PlanWords::layers_on_host(const std::vector<PlanDevice>& devices,
                                      const Placement& alone) const {
  const PlacedPart& first = plan_.placement.parts.front();
  std::string room;
  for (const PlanDevice& device : devices)
    room += fmt::format("{}{} on {}", room.empty() ? "" : ", ", plan_size(device.budget_bytes),
                        device.name);
  if (first.layers < std::ssize(model_.layers)) {
    return fmt::format("layers 0 .. {} of {} on the host: {} do not hold all layers",
                       first.layers - 1, model_.layers.size(), room);
  }
  Placement one = alone;
  const auto layers = std::ssize(model_.layers);
  one.parts = {{kHostDevice, 0, layers - 1}, {0, layers - 1, 1}};
  const PlanBytes needed = part_bytes(model_, one, 1, devices.front().workspace);
  return fmt::format(
      "all layers on the host: one layer and the head need {} on a device, there are {}",
      plan_size(needed.total()), room);
}

std::string PlanWords::smaller_chunk(int64_t wished) const {
  return fmt::format("prompts in steps of {} tokens instead of {}, {}", plan_.placement.chunk,
                     wished, purpose());
}

std::string PlanWords::other_kv(KvType wished) const {
  return fmt::format("keys and values in {} instead of {}, {}", name_of(plan_.placement.kv),
                     name_of(wished), purpose());
}

std::string PlanWords::shorter_context(int64_t wished) const {
  return fmt::format("a context of {} tokens instead of {}, {}", plan_.placement.context, wished,
                     purpose());
}

std::string PlanWords::layers_for_streaming(int64_t layers, double plain_rate, double rate) const {
  return fmt::format(
      "{} layer{} fewer on devices, for the slots that prompts of {} tokens and more stream the "
      "host's layers through: decode {:.3g} instead of {:.3g} tokens/s",
      layers, layers == 1 ? "" : "s", plan_.placement.streaming.from_tokens, rate, plain_rate);
}

std::string PlanWords::no_room_for_slots(int64_t layers) const {
  return fmt::format(
      "1 layer on devices, though {} have room: a little more memory holds the slots of streaming "
      "besides it, or give --gpu-layers {}",
      layers, layers);
}

std::string PlanWords::embedding_on_host() const {
  return fmt::format("the embedding ({}) on the host", plan_size(model_.embedding.bytes));
}

void PlanWords::say_if_mapped_too_much(std::vector<std::string>& sentences) const {
  const PlanPlace& host = plan_.places.front();
  const uint64_t used = std::min(host.bytes.total(), host.budget_bytes);
  const uint64_t left = host.budget_bytes - used;
  if (host.mapped_bytes <= left) return;
  sentences.push_back(
      fmt::format("weights of {} are mapped on the host, whose memory has {} left for them: the "
                  "rest is read from disk with every token",
                  plan_size(host.mapped_bytes), plan_size(left)));
}

std::string deficit_sentence(const Plan& plan) {
  std::string missing, fits;
  for (const PlanPlace& place : plan.places) {
    if (place.deficit_bytes == 0) continue;
    missing += fmt::format("{}{}: expected {} bytes of memory, found {} ({} missing)",
                           missing.empty() ? "" : "; ", place.name, place.bytes.total(),
                           place.budget_bytes, plan_size(place.deficit_bytes));
  }
  for (const std::string& option : plan.would_fit)
    fits += (fits.empty() ? "; it fits with " : " or ") + option;
  return missing + fits;
}

}  // namespace mica
