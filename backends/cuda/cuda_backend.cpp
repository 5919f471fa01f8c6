#include "backends/cuda/cuda_backend.h"

#include <array>
#include <cstdlib>
#include <new>
#include <string>

#include "backends/cuda/attention_steps.h"
#include "backends/cuda/kernels/launchers.h"
#include "backends/cuda/products.h"
#include "backends/cuda/staging.h"
#include "backends/cuda/workspace.h"
#include "lib/backend/step_limits.h"
#include "lib/base/error.h"
#include "quant/weight_type.h"

namespace mica::cuda {
namespace {

class CudaBuffer final : public DeviceBuffer {
 public:
  CudaBuffer(Driver& driver, uint64_t bytes) : memory_(driver, bytes), bytes_(bytes) {}
  std::byte* data() const override { return memory_.data(); }
  uint64_t bytes() const override { return bytes_; }

 private:
  DeviceMemory memory_;
  uint64_t bytes_;
};

class PinnedBuffer final : public DeviceBuffer {
 public:
  PinnedBuffer(Driver& driver, std::byte* data, uint64_t bytes)
      : driver_(driver), data_(data), bytes_(bytes) {}
  ~PinnedBuffer() override { driver_.release_pinned(data_); }
  std::byte* data() const override { return data_; }
  uint64_t bytes() const override { return bytes_; }

 private:
  Driver& driver_;
  std::byte* data_;
  uint64_t bytes_;
};

class CudaQueue final : public CopyQueue {
 public:
  CudaQueue(Driver& driver, StreamHandle operations)
      : driver_(driver), operations_(operations), copies_(driver), done_(driver), held_(driver) {}
  ~CudaQueue() override {
    try {
      synchronize();          // the host's memory may go away
    } catch (const Error&) {  // a lost device copies nothing any more
    }
  }

  void upload(std::span<const std::byte> from, std::byte* to) override {
    driver_.upload(from.data(), to, from.size(), copies_.get());
  }
  void download(const std::byte* from, std::span<std::byte> to) override {
    driver_.download(from, to.data(), to.size(), copies_.get());
  }
  void wait_for_operations() override {
    driver_.record(done_.get(), operations_);
    driver_.wait(copies_.get(), done_.get());
  }
  void hold_operations() override {
    driver_.record(held_.get(), copies_.get());
    driver_.wait(operations_, held_.get());
  }
  void synchronize() override { driver_.synchronize_stream(copies_.get()); }

 private:
  Driver& driver_;
  StreamHandle operations_;
  Stream copies_;
  Event done_, held_;
};

Act act_of(Activation activation) {
  return activation == Activation::kSilu   ? Act::kSilu
         : activation == Activation::kGelu ? Act::kGelu
                                           : Act::kGeluTanh;
}

int64_t chosen_gemm_tokens(int64_t fallback) {
  const char* text = std::getenv("MICA_CUDA_GEMM_TOKENS");
  if (text == nullptr || *text == 0) return fallback;
  char* end = nullptr;
  const long long value = std::strtoll(text, &end, 10);
  if (*end == 0 && value >= 0) return value;
  throw Error(
      ErrorCode::kUsage,
      std::string("MICA_CUDA_GEMM_TOKENS: expected a number of tokens, or 0 for never; found '") +
          text + "'");
}

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const CudaOptions& options)
      : index_(options.device),
        activations_(options.activations),
        driver_(Driver::open(options.device)),
        gemm_tokens_(chosen_gemm_tokens(options.gemm_tokens)),
        gemm_(gemm_tokens_ > 0 ? Gemm::load(*driver_) : nullptr),
        stream_(*driver_),
        ring_(*driver_, stream_.get()),
        attention_(ring_) {}
  ~CudaBackend() override {
    try {
      driver_->synchronize_stream(stream_.get());
    } catch (const Error&) {  // nothing runs on a lost device
    }
  }

  std::string name() const override {
    return "cuda " + std::to_string(index_) + " (" + driver_->device_name() + ")";
  }
  bool is_host() const override { return false; }
  uint64_t free_bytes() const override { return driver_->free_bytes(); }

  std::unique_ptr<DeviceBuffer> allocate(uint64_t bytes) override {
    auto buffer = std::make_unique<CudaBuffer>(*driver_, bytes);
    if (bytes > 0) driver_->clear(buffer->data(), bytes, stream_.get());
    driver_->synchronize_stream(stream_.get());  // queues may use it at once
    return buffer;
  }

  std::unique_ptr<DeviceBuffer> allocate_host(uint64_t bytes) override {
    if (std::byte* data = driver_->allocate_pinned(bytes)) {
      return std::make_unique<PinnedBuffer>(*driver_, data, bytes);
    }
    return Backend::allocate_host(bytes);
  }

  uint64_t reserve(const StepLimits& limits) override {
    const StepLimits held = limits_, wanted = larger(held, limits);
    if (wanted == held) return space_.bytes;
    try {
      place_workspace(wanted);
    } catch (const std::bad_alloc&) {
      place_workspace(held);  // it may have been promised to another session
      throw;
    }
    return space_.bytes;
  }
  uint64_t measure(const StepLimits& limits) const override {
    return limits == StepLimits{} ? 0 : lay_out(nullptr, needs(limits)).bytes;
  }

  void require(const DType& dtype) override {
    if (dtype == kF32 || dtype == kF16 || dtype == kBF16 || find_weight_type(dtype)) return;
    throw Error(ErrorCode::kUnsupported,
                name() + ": expected a weight type known here, found " + dtype_name(dtype));
  }

  void upload(std::span<const std::byte> from, std::byte* to) override {
    if (from.size() <= kSmallCopy) return ring_.upload(from.data(), to, from.size());
    driver_->upload(from.data(), to, from.size(), stream_.get());
    driver_->synchronize_stream(stream_.get());
  }
  void download(const std::byte* from, std::span<std::byte> to) override {
    driver_->download(from, to.data(), to.size(), stream_.get());
    driver_->synchronize_stream(stream_.get());
  }
  std::unique_ptr<CopyQueue> make_copy_queue() override {
    return std::make_unique<CudaQueue>(*driver_, stream_.get());
  }

  void embed(const EmbedArgs& args) override;
  void norm_linear(const NormLinearArgs& args) override;
  void gated_linear(const GatedLinearArgs& args) override;
  void linear_add(const LinearAddArgs& args) override;
  void norm_add(const NormAddArgs& args) override;
  void logits(const LogitsArgs& args) override;
  void rope_store_kv(const RopeStoreArgs& args) override {
    attention_.rope_store_kv(session(), args);
  }
  void attention(const AttentionArgs& args) override { attention_.attention(session(), args); }

 private:
  static constexpr uint64_t kSmallCopy = 64 << 10;

  WorkspaceNeeds needs(const StepLimits& limits) const {
    return {limits, activations_, gemm_ ? gemm_tokens_ : 0, gemm_ ? gemm_->workspace_bytes() : 0};
  }
  void place_workspace(const StepLimits& limits) {
    driver_->synchronize_stream(stream_.get());
    attention_.forget();
    space_ = {};
    limits_ = {};
    memory_ = DeviceMemory();  // the old first: both may not fit
    if (limits == StepLimits{}) return;
    memory_ = DeviceMemory(*driver_, lay_out(nullptr, needs(limits)).bytes);
    space_ = lay_out(memory_.data(), needs(limits));
    limits_ = limits;
  }
  Session session() {
    return {*driver_, stream_.get(), activations_, gemm_.get(), gemm_tokens_, space_};
  }
  // Of rows of x, [T, K].
  static End end_of(EndKind kind, View<const float> bias, View<float> out) {
    return {.kind = kind, .bias = bias.data(), .out = out.data(), .stride = out.row_size()};
  }

  int index_;
  Activations activations_;
  std::unique_ptr<Driver> driver_;
  int64_t gemm_tokens_;
  std::unique_ptr<Gemm> gemm_;
  Stream stream_;
  StagingRing ring_;
  StepLimits limits_;
  Workspace space_;
  DeviceMemory memory_;
  AttentionSteps attention_;
};

void CudaBackend::embed(const EmbedArgs& args) {
  if (args.ids.empty()) return;
  ring_.upload(args.ids.data(), space_.ids, args.ids.size_bytes());
  driver_->use();
  launch_embed({.stream = stream_.get(), .x = static_cast<unsigned>(args.ids.size())},
               {space_.ids, matrix_of(*args.table), args.scale, args.out.data()});
  driver_->check_launch("embed");
}

void CudaBackend::norm_linear(const NormLinearArgs& args) {
  std::array<Product, 3> products;
  size_t count = 0;
  for (const Projection& projection : args.projections) {
    products.at(count++) = {projection.weight,
                            end_of(EndKind::kStore, projection.bias, projection.out)};
  }
  multiply(session(), {.x = args.x.data(), .tokens = args.x.rows(), .norm = norm_args(args.norm)},
           std::span(products).first(count));
}

void CudaBackend::gated_linear(const GatedLinearArgs& args) {
  Product up{args.up, end_of(EndKind::kGate, args.up_bias, args.out)};
  up.end.activation = act_of(args.activation);
  if (!args.gate) up.end.kind = EndKind::kActivate;
  const Product products[] = {{args.gate, end_of(EndKind::kStore, args.gate_bias, args.out)}, up};
  multiply(session(), {.x = args.x.data(), .tokens = args.x.rows(), .norm = norm_args(args.norm)},
           args.gate ? std::span(products) : std::span(products).last(1));
}

void CudaBackend::linear_add(const LinearAddArgs& args) {
  Product product{args.weight, end_of(EndKind::kAdd, args.bias, args.residual)};
  product.end.scale = args.scale;
  multiply(session(), {.x = args.x.data(), .tokens = args.x.rows()}, {&product, 1});
}

void CudaBackend::norm_add(const NormAddArgs& args) {
  if (args.x.rows() == 0) return;
  driver_->use();
  launch_norm_add({.stream = stream_.get(),
                   .x = static_cast<unsigned>(args.x.rows()),
                   .shared_bytes = prepare_shared_bytes()},
                  {args.x.data(), static_cast<int32_t>(args.x.row_size()), norm_args(args.norm),
                   args.scale, args.residual.data()});
  driver_->check_launch("norm_add");
}

void CudaBackend::logits(const LogitsArgs& args) {
  if (args.rows.empty()) return;
  ring_.upload(args.rows.data(), space_.ids, args.rows.size_bytes());
  Product product{args.head, end_of(EndKind::kLogits, {}, args.out)};
  product.end.scale = args.scale;
  product.end.softcap = args.softcap;
  multiply(session(),
           {.x = args.x.data(),
            .rows = space_.ids,
            .tokens = std::ssize(args.rows),
            .norm = norm_args(args.norm),
            .two_parts = args.head->dtype.group > 0 && activations_ == Activations::kInt8},
           {&product, 1});
}

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
  return std::make_unique<CudaBackend>(options);
}

}  // namespace mica::cuda
