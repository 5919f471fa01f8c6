#include "lib/runtime/placed_weights.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <fmt/format.h>
#include <new>

#include "lib/base/error.h"

namespace mica {
namespace {

constexpr uint64_t kAlignment = 256;
constexpr uint64_t kPieceBytes = 32 << 20;

// The weights of a part as they lie from some address on.
struct PartImage {
  struct Piece {
    WeightRun from;
    uint64_t offset;
  };
  ModelWeights weights;
  std::vector<Piece> pieces;  // that it is copied from
  uint64_t bytes = 0;
};

// The one code that both measures and places.
PartImage lay_out(const ModelWeights& mapped, std::span<const PlacedPart> parts, size_t index,
                  std::byte* base) {
  PartImage image;
  const auto add = [&](const auto& weights) {
    const WeightRun run = run_of(weights);
    const uint64_t offset = image.bytes;
    image.pieces.push_back({run, offset});
    image.bytes += (run.size() + kAlignment - 1) / kAlignment * kAlignment;
    return relocated(weights, run, reinterpret_cast<uintptr_t>(base) + offset);
  };
  ModelWeights& weights = image.weights;
  weights.traits = mapped.traits;
  weights.layers.resize(mapped.layers.size());
  if (index == 0) weights.embedding = add(mapped.embedding);
  const PlacedPart& part = parts[index];
  for (int64_t i = part.first_layer; i < part.first_layer + part.layers; ++i)
    weights.layers[i] = add(mapped.layers[i]);
  if (index + 1 < parts.size()) return image;
  weights.output_norm = add(mapped.output_norm);
  const bool has_head = index == 0 && mapped.head.data == mapped.embedding.data;
  weights.head = has_head ? weights.embedding : add(mapped.head);
  return image;
}

void check_placement(const Engine& engine, const ModelWeights& mapped, const Placement& placement) {
  int64_t next = 0;
  const auto devices = std::ssize(engine.devices());
  for (const PlacedPart& part : placement.parts) {
    const bool known = part.device >= kHostDevice && part.device < devices;
    if (known && part.first_layer == next && part.layers >= 0) {
      next += part.layers;
      continue;
    }
    throw Error(ErrorCode::kUsage,
                fmt::format("placement: expected layers from {} on one of {} devices or the host, "
                            "found {} layers from {} on device {}",
                            next, devices, part.layers, part.first_layer, part.device));
  }
  if (next != std::ssize(mapped.layers)) {
    throw Error(ErrorCode::kUsage,
                fmt::format("placement: expected {} layers, found {}", mapped.layers.size(), next));
  }
}

// Copies to one device by way of memory that it reaches fast.
class Copier {
 public:
  explicit Copier(Backend& device)
      : pieces_{device.allocate_host(kPieceBytes), device.allocate_host(kPieceBytes)},
        queue_(device.make_copy_queue()) {}

  void copy(WeightRun from, std::byte* to) {
    while (!from.empty()) {
      const size_t bytes = std::min<size_t>(from.size(), kPieceBytes);
      std::byte* piece = pieces_[next_]->data();
      std::memcpy(piece, from.data(), bytes);  // while the other piece is on its way
      queue_->synchronize();
      queue_->upload({piece, bytes}, to);
      next_ = 1 - next_;
      from = from.subspan(bytes);
      to += bytes;
    }
  }
  void finish() { queue_->synchronize(); }

 private:
  std::array<std::unique_ptr<DeviceBuffer>, 2> pieces_;
  std::unique_ptr<CopyQueue> queue_;  // ends first: a piece may be on its way
  size_t next_ = 0;
};

}  // namespace

PlacedWeights::PlacedWeights(const Engine& engine, const ModelWeights& mapped)
    : parts_{{.backend = &engine.backend(),
              .weights = &mapped,
              .layers = {0, std::ssize(mapped.layers)}}} {}

uint64_t PlacedWeights::part_bytes(const ModelWeights& mapped, const Placement& placement,
                                   size_t index) {
  const bool mapped_host =
      placement.parts[index].device == kHostDevice && !placement.streaming.possible();
  if (mapped_host) return 0;
  return lay_out(mapped, placement.parts, index, nullptr).bytes;
}

PlacedWeights::PlacedWeights(const Engine& engine, const MicaFile& file, const ModelWeights& mapped,
                             const Placement& placement, const Progress& progress)
    : streaming_{placement.streaming.from_tokens, placement.streaming.tokens} {
  check_placement(engine, mapped, placement);
  uint64_t total = 0, done = 0;
  for (size_t i = 0; i < placement.parts.size(); ++i) total += part_bytes(mapped, placement, i);
  const auto copied = [&](WeightRun run) {
    done += run.size();
    if (!progress || progress(done, total)) return;
    throw Error(ErrorCode::kInterrupted,
                fmt::format("loading: stopped after {} of {} MiB", done >> 20, total >> 20));
  };
  for (size_t i = 0; i < placement.parts.size(); ++i) {
    const PlacedPart& part = placement.parts[i];
    Backend& backend = part.device == kHostDevice ? engine.backend() : engine.device(part.device);
    parts_.push_back(
        {.backend = &backend, .weights = &mapped, .layers = {part.first_layer, part.layers}});
    if (part_bytes(mapped, placement, i) == 0) continue;
    // Host layers that are streamed lie where the device of the next part reaches them.
    Backend& reached_by =
        part.device == kHostDevice ? engine.device(placement.parts[i + 1].device) : backend;
    memory_.push_back(place(mapped, placement, i, backend, reached_by, copied));
    // Of what the host computes there is one copy in its memory.
    if (part.device == kHostDevice) {
      for (int64_t layer = 0; layer < part.layers; ++layer)
        file.release(run_of(mapped.layers[part.first_layer + layer]));
    }
    parts_.back().weights = &memory_.back()->weights;
  }
}

std::unique_ptr<PlacedWeights::Memory> PlacedWeights::place(
    const ModelWeights& mapped, const Placement& placement, size_t index, Backend& backend,
    Backend& reached_by, const std::function<void(WeightRun)>& copied) {
  auto memory = std::make_unique<Memory>();
  const uint64_t bytes = part_bytes(mapped, placement, index);
  try {
    memory->buffer = backend.is_host() ? reached_by.allocate_host(bytes) : backend.allocate(bytes);
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::kDoesNotFit,
                fmt::format("{}: expected {} MiB for the weights of {} layers, found {} MiB free",
                            backend.name(), bytes >> 20, placement.parts[index].layers,
                            backend.free_bytes() >> 20));
  }
  std::byte* base = memory->buffer->data();
  PartImage image = lay_out(mapped, placement.parts, index, base);
  std::unique_ptr<Copier> copier;
  if (!backend.is_host()) copier = std::make_unique<Copier>(backend);
  for (const PartImage::Piece& piece : image.pieces) {
    if (copier) {
      copier->copy(piece.from, base + piece.offset);
    } else {
      std::memcpy(base + piece.offset, piece.from.data(), piece.from.size());
    }
    copied(piece.from);
  }
  if (copier) copier->finish();
  memory->weights = std::move(image.weights);
  return memory;
}

}  // namespace mica
