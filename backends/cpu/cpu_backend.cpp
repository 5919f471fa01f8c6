#include "backends/cpu/cpu_backend.h"

#include <algorithm>
#include <array>
#include <new>

#include "backends/cpu/attention.h"
#include "backends/cpu/embed.h"
#include "backends/cpu/formats.h"
#include "backends/cpu/isa.h"
#include "backends/cpu/linear.h"
#include "backends/cpu/normalize.h"
#include "lib/backend/step_limits.h"
#include "lib/base/error.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

// Rows that a thread gathers or normalizes at a time: fewer are not worth waking another.
constexpr int64_t kSharedTokens = 8;

class HostBuffer final : public DeviceBuffer {
 public:
  explicit HostBuffer(uint64_t bytes) : buffer_(bytes + kAlignment), bytes_(bytes) {}
  std::byte* data() const override {
    const auto address = reinterpret_cast<uintptr_t>(buffer_.data());
    return buffer_.data() + (-address & (kAlignment - 1));
  }
  uint64_t bytes() const override { return bytes_; }

 private:
  static constexpr uint64_t kAlignment = 256;
  AlignedBuffer buffer_;
  uint64_t bytes_;
};

const float* pointer(View<const float> view) {
  return view.data();
}

class CpuBackend final : public Backend {
 public:
  CpuBackend(ThreadPool& pool, const cpu::Kernels& kernels, Activations activations)
      : pool_(pool),
        kernels_(kernels),
        activations_(activations),
        linear_(pool, kernels, activations),
        attention_(pool, kernels) {}

  std::string name() const override {
    const int threads = pool_.size();
    return "cpu (" + std::string(kernels_.isa) + ", " + std::to_string(threads) +
           (threads == 1 ? " thread)" : " threads)");
  }

  std::unique_ptr<DeviceBuffer> allocate(uint64_t bytes) override {
    if (bytes > UINT64_MAX / 2) throw std::bad_alloc();
    return std::make_unique<HostBuffer>(bytes);
  }

  uint64_t reserve(const StepLimits& limits) override {
    const StepLimits wanted = larger(limits_, limits);
    if (wanted != limits_) {
      reserved_bytes_ = linear_.reserve(wanted) + attention_.reserve(wanted);
      limits_ = wanted;
    }
    return reserved_bytes_;
  }

  uint64_t measure(const StepLimits& limits) const override {
    if (limits == StepLimits{}) return 0;  // reserve() has nothing to do
    // Made and thrown away: memory that is not touched costs nothing.
    return cpu::LinearRunner(pool_, kernels_, activations_).reserve(limits) +
           cpu::AttentionRunner(pool_, kernels_).reserve(limits);
  }

  void require(const DType& dtype) override {
    if (cpu::find_format(dtype) || cpu::find_row_format(dtype)) return;
    throw Error(ErrorCode::kUnsupported,
                name() + ": expected a weight type known here, found " + dtype_name(dtype));
  }

  void embed(const EmbedArgs& args) override {
    const auto tokens = static_cast<int64_t>(args.ids.size());
    pool_.share(tokens, kSharedTokens, [&](int, Range part) {
      for (int64_t t = part.begin; t < part.end; ++t) {
        cpu::embed_row(*args.table, args.ids[t], args.scale, args.out.row(t));
      }
    });
  }

  void norm_linear(const NormLinearArgs& args) override {
    std::array<cpu::Linear, 3> linears;
    size_t count = 0;
    for (const Projection& projection : args.projections) {
      linears.at(count++) = {projection.weight, pointer(projection.bias), projection.out.data()};
    }
    linear_.run({.x = args.x, .norm = args.norm, .linears = std::span(linears).first(count)});
  }

  void gated_linear(const GatedLinearArgs& args) override {
    const cpu::Linear up{args.up, pointer(args.up_bias), args.out.data()};
    const cpu::Linear gated[] = {{args.gate, pointer(args.gate_bias), args.out.data()}, up};
    linear_.run({.x = args.x,
                 .norm = args.norm,
                 .linears = args.gate ? std::span(gated) : std::span(gated).last(1),
                 .end = cpu::LinearEnd::kActivate,
                 .activation = args.activation});
  }

  void linear_add(const LinearAddArgs& args) override {
    const cpu::Linear linears[] = {{args.weight, pointer(args.bias), args.residual.data()}};
    linear_.run(
        {.x = args.x, .linears = linears, .end = cpu::LinearEnd::kAdd, .scale = args.scale});
  }

  void norm_add(const NormAddArgs& args) override {
    const int64_t size = args.x.row_size();
    pool_.share(args.x.rows(), kSharedTokens, [&](int, Range part) {
      for (int64_t t = part.begin; t < part.end; ++t) {
        float* x = args.x.row(t);
        cpu::normalize(kernels_, args.norm, x, size, x);
        kernels_.add({.tokens = 1,
                      .count = size,
                      .y = {x, size},
                      .bias = nullptr,
                      .out = {args.residual.row(t), size},
                      .scale = args.scale});
      }
    });
  }

  void rope_store_kv(const RopeStoreArgs& args) override { attention_.rope_store_kv(args); }
  void attention(const AttentionArgs& args) override { attention_.attention(args); }

  void logits(const LogitsArgs& args) override {
    if (args.rows.empty()) return;
    const cpu::Linear linears[] = {{args.head, nullptr, args.out.data()}};
    linear_.run({.x = args.x,
                 .rows = args.rows,
                 .norm = args.norm,
                 .linears = linears,
                 .scale = args.scale,
                 .softcap = args.softcap,
                 .two_parts = true});
  }

 private:
  ThreadPool& pool_;
  const cpu::Kernels& kernels_;
  Activations activations_;
  cpu::LinearRunner linear_;
  cpu::AttentionRunner attention_;
  StepLimits limits_;
  uint64_t reserved_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(ThreadPool& pool, const CpuBackendOptions& options) {
  return cpu::make_backend(pool, cpu::kernels_of(choose_isa(options.isa)), options.activations);
}

std::unique_ptr<Backend> cpu::make_backend(ThreadPool& pool, const Kernels& kernels,
                                           Activations activations) {
  return std::make_unique<CpuBackend>(pool, kernels, activations);
}

}  // namespace mica
