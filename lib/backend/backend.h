// What a device must be able to do: about a dozen fused operations over views.
//
// Calls on one Backend are ordered and come from one thread at a time; an operation is complete, or
// behaves as if it were for the next one, when it returns. All views and weights point into memory
// of that backend (of the host's for a CPU; see is_host()). Memory comes from allocate(); a step's
// scratch memory is sized in advance by reserve(), so that operations never allocate. Arguments are
// trusted (lib/model has checked them).
//
// Shapes: T tokens, D model, H heads, K kv heads, E head size, V vocabulary, F feed-forward.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "lib/backend/activation.h"
#include "lib/backend/kv_layout.h"
#include "lib/tensor/dtype.h"
#include "lib/tensor/view.h"

namespace mica {

// A weight matrix [rows, cols] = [N, K] as it lies in the file, or a vector [1, K].
struct Weight {
  DType dtype;
  int64_t rows = 0;
  int64_t cols = 0;
  const std::byte* data = nullptr;
  uint64_t slab_stride = 0;
  bool present() const { return data != nullptr; }
};

// Both in rows of D: y = x / sqrt(mean(x^2) + epsilon) * weight (RMSNorm, arXiv:1910.07467), or
// y = (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias (LayerNorm, arXiv:1607.06450).
enum class NormKind { kRms, kLayer };

struct Norm {
  NormKind kind = NormKind::kRms;
  View<const float> weight;  // [D]; empty: no norm
  View<const float> bias;    // [D] or empty; kLayer
  float epsilon = 0;
  bool present() const { return !weight.empty(); }
};

struct Projection {
  const Weight* weight = nullptr;  // [N, D]
  View<const float> bias;          // [N] or empty
  View<float> out;                 // [T, N]
};

struct EmbedArgs {
  std::span<const int32_t> ids;   // [T], below table rows
  const Weight* table = nullptr;  // [V, D]
  float scale = 1;                // of the rows
  View<float> out;                // [T, D]
};

// out_i = norm(x) * W_i^T + bias_i for up to three projections that share the input's group.
struct NormLinearArgs {
  View<const float> x;  // [T, D]
  Norm norm;
  std::span<const Projection> projections;
};

// out = activation(norm(x) * gate^T + gate_bias) * (norm(x) * up^T + up_bias), or without a gate
// out = activation(norm(x) * up^T + up_bias)
struct GatedLinearArgs {
  View<const float> x;  // [T, D]
  Norm norm;
  const Weight* gate = nullptr;  // [F, D] or null
  const Weight* up = nullptr;    // [F, D]
  View<const float> gate_bias;   // [F] or empty
  View<const float> up_bias;
  Activation activation = Activation::kSilu;
  View<float> out;  // [T, F]
};

// residual += scale * (x * W^T + bias), in one rounding after that of the bias
struct LinearAddArgs {
  View<const float> x;             // [T, K]
  const Weight* weight = nullptr;  // [N, K]
  View<const float> bias;          // [N] or empty
  float scale = 1;
  View<float> residual;  // [T, N]
};

// residual += scale * norm(x)
struct NormAddArgs {
  View<float> x;  // [T, D]; overwritten by its norm
  Norm norm;
  float scale = 1;
  View<float> residual;  // [T, D]
};

// Rows [first_row, first_row + tokens) of a batch belong to one sequence, at positions
// first_position, first_position + 1, ...
struct BatchSegment {
  int64_t first_row = 0;
  int64_t tokens = 0;
  int64_t first_position = 0;
  std::span<const int32_t> blocks;  // block table: block of positions 16 i .. 16 i + 15
};

// Cosine and sine of each row's rotation angles; pairs are (i, i + size/2), as in Hugging Face
// models. Empty: no rotation.
struct RopeTable {
  View<const float> cosine;  // [T, size / 2]
  View<const float> sine;    // [T, size / 2]
  int64_t pairs() const { return cosine.empty() ? 0 : cosine.row_size(); }
};

// Norms and rotates q in place, likewise k, and stores k and v in the cache. (RoPE,
// arXiv:2104.09864; norms of queries and keys, arXiv:2010.04245)
struct RopeStoreArgs {
  View<float> q;        // [T, H, E]
  View<float> k;        // [T, K, E]; overwritten by what is stored
  View<const float> v;  // [T, K, E]
  Norm q_norm;          // [E] for each head, or [H * E] for all heads of a row together
  Norm k_norm;          // [E] or [K * E]
  RopeTable rope;
  KvLayer kv;
  std::span<const BatchSegment> segments;
};

// out[t, h] = softmax(cap(scale * q[t, h] . K)) V over the last `window` positions up to that of t,
// cap(x) = softcap * tanh(x / softcap). Key blocks lie at fixed positions and are combined in a
// fixed order: results do not depend on T or on threads. With KvType::kInt8, float(scale * log2(e))
// * q takes part in scores as quant/activations.h quantizes it, one group a head.
struct AttentionArgs {
  View<const float> q;  // [T, H, E]
  KvLayer kv;
  std::span<const BatchSegment> segments;
  float scale = 1;             // usually 1 / sqrt(E)
  float softcap = 0;           // 0: none
  int64_t window = INT64_MAX;  // at least 1
  View<float> out;             // [T, H, E]
};

// out[i] = cap(scale * (norm(x[rows[i]]) * head^T)): logits only where they are asked for. With
// int8 activations their input is taken in two parts (quant/README.md, "The head").
struct LogitsArgs {
  View<const float> x;            // [T, D]
  std::span<const int32_t> rows;  // [R], below T
  Norm norm;
  const Weight* head = nullptr;  // [V, D]
  float scale = 1;
  float softcap = 0;  // as that of attention
  View<float> out;    // [R, V]
};

// The largest step that will be run, for scratch memory.
struct StepLimits {
  int64_t tokens = 0;       // T
  int64_t logit_rows = 0;   // R
  int64_t input_cols = 0;   // largest K of a weight
  int64_t output_rows = 0;  // largest N of a weight of the layers
  int64_t heads = 0;
  int64_t head_size = 0;
  int64_t context = 0;         // positions
  bool float_weights = false;  // f32, f16 or bf16 among those multiplied

  bool operator==(const StepLimits&) const = default;
};

// Memory of a backend; freed with the object, which must not outlive the backend.
class DeviceBuffer {
 public:
  virtual ~DeviceBuffer() = default;
  virtual std::byte* data() const = 0;
  virtual uint64_t bytes() const = 0;
};

// Copies between a backend's memory and the host's that go on beside its operations, in the order
// of the calls. Both orders between copies and operations are said by fences:
//
//   queue.upload(layer 2 -> slot A)
//   queue.hold_operations()     operations called from here on find layer 2
//   queue.wait_for_operations() copies called from here on find slot B no longer in use
//   queue.upload(layer 3 -> slot B); operations of layer 2 ...
//
// Used by the thread that calls the backend; must not outlive it.
class CopyQueue {
 public:
  virtual ~CopyQueue() = default;
  // Return at once. The host's memory must stay as it is until synchronize(), or until operations
  // held for the copy are known to be done.
  virtual void upload(std::span<const std::byte> from, std::byte* to) = 0;
  virtual void download(const std::byte* from, std::span<std::byte> to) = 0;
  // Copies called later wait for the operations called so far.
  virtual void wait_for_operations() = 0;
  // Operations called later wait for the copies called so far.
  virtual void hold_operations() = 0;
  // Returns when all copies called so far are done.
  virtual void synchronize() = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;  // "cpu (avx512vnni, 2 threads)"

  // Zeroed, aligned to 256 bytes. Throws std::bad_alloc.
  virtual std::unique_ptr<DeviceBuffer> allocate(uint64_t bytes) = 0;
  // Makes room for steps up to `limits`, besides those reserved before; returns the scratch bytes
  // now held.
  virtual uint64_t reserve(const StepLimits& limits) = 0;
  // What reserve(limits) alone would make a new backend hold, to the byte.
  virtual uint64_t measure(const StepLimits& limits) const = 0;

  // Of its memory now; 0: not known.
  virtual uint64_t free_bytes() const { return 0; }

  // Whether its memory is the host's, so that views of it may be read and written in place. Of
  // another device's memory the host knows the addresses only, and must copy; spans in arguments
  // (ids, rows, segments, block tables) are always the host's.
  virtual bool is_host() const { return true; }
  // In the order of the operations; the host's memory may be used again when they return, and
  // download() has brought what operations before it wrote. Throw Error(kRuntime) when the device
  // was lost.
  virtual void upload(std::span<const std::byte> from, std::byte* to);
  virtual void download(const std::byte* from, std::span<std::byte> to);
  virtual std::unique_ptr<CopyQueue> make_copy_queue();
  // Memory of the host that copies to and from the device reach fast (pinned), or plain memory
  // where the system refuses that. Aligned to 4096 bytes, not zeroed. Throws std::bad_alloc.
  virtual std::unique_ptr<DeviceBuffer> allocate_host(uint64_t bytes);

  // Throws Error(kUnsupported) naming the type when weights of `dtype` cannot be used.
  virtual void require(const DType& dtype) = 0;

  virtual void embed(const EmbedArgs& args) = 0;
  virtual void norm_linear(const NormLinearArgs& args) = 0;
  virtual void gated_linear(const GatedLinearArgs& args) = 0;
  virtual void linear_add(const LinearAddArgs& args) = 0;
  virtual void norm_add(const NormAddArgs& args) = 0;
  virtual void rope_store_kv(const RopeStoreArgs& args) = 0;
  virtual void attention(const AttentionArgs& args) = 0;
  virtual void logits(const LogitsArgs& args) = 0;
};

// How products with q4 and q8 weights take their input.
enum class Activations {
  kInt8,  // int8 in the weight's groups (quant/activations.h): fast
  kF32,   // decoded weights times floats: for exact checks
};

}  // namespace mica
