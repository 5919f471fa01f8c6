#include "tests/support/mock_device.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <new>
#include <stdexcept>

#include "backends/cpu/cpu_backend.h"
#include "lib/base/error.h"

namespace mica::testing {
namespace {

void copy(const std::byte* from, std::byte* to, uint64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

// Segments with block tables of their own: the caller's are his again when an operation returns.
class OwnSegments {
 public:
  explicit OwnSegments(std::span<const BatchSegment> segments)
      : segments_(segments.begin(), segments.end()) {
    for (const BatchSegment& segment : segments) {
      blocks_.emplace_back(segment.blocks.begin(), segment.blocks.end());
    }
  }
  std::vector<BatchSegment> get() const {
    std::vector<BatchSegment> segments = segments_;
    for (size_t i = 0; i < segments.size(); ++i) segments[i].blocks = blocks_[i];
    return segments;
  }

 private:
  std::vector<BatchSegment> segments_;
  std::vector<std::vector<int32_t>> blocks_;
};

std::vector<int32_t> own(std::span<const int32_t> numbers) {
  return {numbers.begin(), numbers.end()};
}

}  // namespace

class MockBackend::Buffer final : public DeviceBuffer {
 public:
  Buffer(MockBackend& device, uint64_t bytes)
      : device_(device), bytes_(bytes), data_(device.memory_.allocate(bytes)) {}
  ~Buffer() override {
    device_.wait_for_all();
    device_.memory_.release(data_);
  }
  std::byte* data() const override { return data_; }
  uint64_t bytes() const override { return bytes_; }

 private:
  MockBackend& device_;
  uint64_t bytes_;
  std::byte* data_;
};

class MockBackend::Queue final : public CopyQueue {
 public:
  Queue(MockBackend& device, const MockDelays& delays) : device_(device), stream_(delays) {
    device.queues_.push_back(this);
  }
  ~Queue() override { std::erase(device_.queues_, this); }

  void upload(std::span<const std::byte> from, std::byte* to) override {
    device_.check_alive();
    std::byte* memory = device_.find(to, from.size(), "upload");
    stream_.add([=] { copy(from.data(), memory, from.size()); });
  }
  void download(const std::byte* from, std::span<std::byte> to) override {
    device_.check_alive();
    const std::byte* memory = device_.find(from, to.size(), "download");
    stream_.add([=] { copy(memory, to.data(), to.size()); });
  }
  void wait_for_operations() override {
    device_.check_alive();
    stream_.wait_for(device_.stream_.record());
  }
  void hold_operations() override {
    device_.check_alive();
    device_.stream_.wait_for(stream_.record());
  }
  void synchronize() override {
    device_.check_alive();
    stream_.synchronize();
  }
  void wait() { stream_.record()->wait(); }

 private:
  MockBackend& device_;
  MockStream stream_;
};

MockBackend::MockBackend(const MockOptions& options)
    : options_(options),
      memory_(options.memory_bytes),
      pool_(options.threads),
      cpu_(make_cpu_backend(pool_, {.activations = options.activations})),
      stream_(options.delays) {}

MockBackend::~MockBackend() {
  if (!options_.report_file.empty()) {
    std::ofstream(options_.report_file, std::ios::app) << report() << "\n";
  }
}

std::string MockBackend::report() const {
  return "peak " + std::to_string(peak_bytes()) + " of " + std::to_string(memory_.limit()) +
         " bytes, " + std::to_string(operations_) + " operations";
}

uint64_t MockBackend::free_bytes() const {
  return options_.claimed_free_bytes ? options_.claimed_free_bytes
                                     : memory_.limit() - memory_.used();
}

void MockBackend::check_alive() const {
  if (operations_ < options_.lost_after) return;
  throw Error(ErrorCode::kRuntime, "device lost: " + name() + " stopped after " +
                                       std::to_string(operations_) + " operations");
}

void MockBackend::run(std::function<void()> operation) {
  stream_.add(std::move(operation));
  ++operations_;
}

// As freeing does on a device.
void MockBackend::wait_for_all() {
  stream_.record()->wait();
  for (Queue* queue : queues_) queue->wait();
}

std::unique_ptr<DeviceBuffer> MockBackend::allocate(uint64_t bytes) {
  check_alive();
  return std::make_unique<Buffer>(*this, bytes);
}

std::unique_ptr<DeviceBuffer> MockBackend::allocate_host(uint64_t bytes) {
  check_alive();
  auto buffer = Backend::allocate_host(bytes);
  if (!options_.refuses_pinning) pinned_bytes_ += bytes;
  return buffer;
}

uint64_t MockBackend::reserve(const StepLimits& limits) {
  check_alive();
  stream_.record()->wait();
  // Refused before the CPU's memory grows, where that is foreseen.
  if (cpu_->measure(limits) > memory_.limit()) throw std::bad_alloc();
  const uint64_t bytes = cpu_->reserve(limits);
  memory_.hold(bytes);
  return bytes;
}

void MockBackend::upload(std::span<const std::byte> from, std::byte* to) {
  check_alive();
  std::byte* memory = find(to, from.size(), "upload");
  stream_.add([memory, bytes = std::vector(from.begin(), from.end())] {
    copy(bytes.data(), memory, bytes.size());
  });
}

void MockBackend::download(const std::byte* from, std::span<std::byte> to) {
  check_alive();
  const std::byte* memory = find(from, to.size(), "download");
  stream_.add([=] { copy(memory, to.data(), to.size()); });
  stream_.synchronize();
}

std::unique_ptr<CopyQueue> MockBackend::make_copy_queue() {
  check_alive();
  MockDelays delays = options_.delays;
  delays.seed += ++queues_made_;
  return std::make_unique<Queue>(*this, delays);
}

std::byte* MockBackend::find(const void* address, uint64_t bytes, const char* what) const {
  if (bytes == 0) return nullptr;
  std::byte* memory = memory_.find(address, bytes);
  if (memory == nullptr) {
    throw std::logic_error(std::string(what) + ": expected " + std::to_string(bytes) +
                           " bytes of one live buffer of the device, found another address");
  }
  return memory;
}

template <class T>
View<T> MockBackend::find(View<T> view, const char* what) const {
  if (view.empty()) return view;
  const auto bytes = static_cast<uint64_t>(view.size()) * sizeof(T);
  return {reinterpret_cast<T*>(find(view.data(), bytes, what)), view.dim(0), view.dim(1),
          view.dim(2), view.dim(3)};
}

Weight MockBackend::find(const Weight* weight, const char* what) const {
  Weight found = *weight;
  found.data = find(found.data, tensor_bytes(found.dtype, found.rows, found.cols, what), what);
  return found;
}

Norm MockBackend::find(const Norm& norm) const {
  Norm found = norm;
  found.weight = find(norm.weight, "norm weight");
  found.bias = find(norm.bias, "norm bias");
  return found;
}

KvLayer MockBackend::find(const KvLayer& kv, std::span<const BatchSegment> segments) const {
  int64_t most = -1;
  for (const BatchSegment& segment : segments) {
    const int64_t positions = segment.first_position + segment.tokens;
    const int64_t blocks = (positions + kKvBlockTokens - 1) / kKvBlockTokens;
    for (int64_t i = 0; i < blocks; ++i) most = std::max<int64_t>(most, segment.blocks[i]);
  }
  KvLayer found = kv;
  const int64_t bytes = most < 0 ? 0 : most * kv.block_stride + kv.layout.block_bytes();
  found.base = find(kv.base, static_cast<uint64_t>(bytes), "cache");
  return found;
}

void MockBackend::embed(const EmbedArgs& args) {
  check_alive();
  run([this, ids = own(args.ids), table = find(args.table, "table"), scale = args.scale,
       out = find(args.out, "out")] {
    cpu_->embed({.ids = ids, .table = &table, .scale = scale, .out = out});
  });
}

void MockBackend::norm_linear(const NormLinearArgs& args) {
  check_alive();
  std::vector<Weight> weights;
  std::vector<Projection> projections;
  for (const Projection& projection : args.projections) {
    weights.push_back(find(projection.weight, "weight"));
    projections.push_back({.weight = nullptr,
                           .bias = find(projection.bias, "bias"),
                           .out = find(projection.out, "out")});
  }
  run([this, x = find(args.x, "x"), norm = find(args.norm), weights, projections]() mutable {
    for (size_t i = 0; i < weights.size(); ++i) projections[i].weight = &weights[i];
    cpu_->norm_linear({.x = x, .norm = norm, .projections = projections});
  });
}

void MockBackend::gated_linear(const GatedLinearArgs& args) {
  check_alive();
  GatedLinearArgs found = args;
  found.x = find(args.x, "x");
  found.norm = find(args.norm);
  found.gate_bias = find(args.gate_bias, "gate bias");
  found.up_bias = find(args.up_bias, "up bias");
  found.out = find(args.out, "out");
  const Weight gate = args.gate ? find(args.gate, "gate") : Weight{};
  run([this, found, gate, up = find(args.up, "up")]() mutable {
    found.gate = found.gate ? &gate : nullptr;
    found.up = &up;
    cpu_->gated_linear(found);
  });
}

void MockBackend::linear_add(const LinearAddArgs& args) {
  check_alive();
  LinearAddArgs found = args;
  found.x = find(args.x, "x");
  found.bias = find(args.bias, "bias");
  found.residual = find(args.residual, "residual");
  run([this, found, weight = find(args.weight, "weight")]() mutable {
    found.weight = &weight;
    cpu_->linear_add(found);
  });
}

void MockBackend::norm_add(const NormAddArgs& args) {
  check_alive();
  NormAddArgs found = args;
  found.x = find(args.x, "x");
  found.norm = find(args.norm);
  found.residual = find(args.residual, "residual");
  run([this, found] { cpu_->norm_add(found); });
}

void MockBackend::rope_store_kv(const RopeStoreArgs& args) {
  check_alive();
  RopeStoreArgs found = args;
  found.q = find(args.q, "q");
  found.k = find(args.k, "k");
  found.v = find(args.v, "v");
  found.q_norm = find(args.q_norm);
  found.k_norm = find(args.k_norm);
  found.rope = {find(args.rope.cosine, "cosine"), find(args.rope.sine, "sine")};
  found.kv = find(args.kv, args.segments);
  run([this, found, own_segments = OwnSegments(args.segments)]() mutable {
    const auto segments = own_segments.get();
    found.segments = segments;
    cpu_->rope_store_kv(found);
  });
}

void MockBackend::attention(const AttentionArgs& args) {
  check_alive();
  AttentionArgs found = args;
  found.q = find(args.q, "q");
  found.kv = find(args.kv, args.segments);
  found.out = find(args.out, "out");
  run([this, found, own_segments = OwnSegments(args.segments)]() mutable {
    const auto segments = own_segments.get();
    found.segments = segments;
    cpu_->attention(found);
  });
}

void MockBackend::logits(const LogitsArgs& args) {
  check_alive();
  LogitsArgs found = args;
  found.x = find(args.x, "x");
  found.norm = find(args.norm);
  found.out = find(args.out, "out");
  run([this, found, rows = own(args.rows), head = find(args.head, "head")]() mutable {
    found.rows = rows;
    found.head = &head;
    cpu_->logits(found);
  });
}

}  // namespace mica::testing
