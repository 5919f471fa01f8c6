#include "lib/runtime/synthetic_model.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <random>
#include <sys/mman.h>
#include <system_error>
#include <unistd.h>

#include "formats/writer.h"
#include "lib/base/error.h"
#include "lib/base/half.h"
#include "lib/base/host.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

struct Shape {
  const char* size;
  const char* name;
  uint64_t layers, hidden_size, feed_forward_size, heads, kv_heads, head_size;
  uint64_t vocabulary_size, context_length;
  bool tied;
};
constexpr Shape kShapes[] = {
    {"1b", "synthetic 1b", 16, 2048, 8192, 32, 8, 64, 128256, 131072, true},
    {"3b", "synthetic 3b", 28, 3072, 8192, 24, 8, 128, 128256, 131072, true},
    {"7b", "synthetic 7b", 32, 4096, 11008, 32, 32, 128, 32000, 4096, false},
    {"8b", "synthetic 8b", 32, 4096, 14336, 32, 8, 128, 128256, 131072, false},
    {"13b", "synthetic 13b", 40, 5120, 13824, 40, 40, 128, 32000, 4096, false},
    {"70b", "synthetic 70b", 80, 8192, 28672, 64, 8, 128, 128256, 131072, false}};
constexpr uint64_t kPatternRows = 256;  // that are different from each other

const Shape& find_shape(std::string_view size) {
  std::string known;
  for (const Shape& shape : kShapes) {
    if (size == shape.size) return shape;
    known += (known.empty() ? "" : ", ") + std::string(shape.size);
  }
  throw Error(ErrorCode::kUsage,
              fmt::format("synthetic model: expected one of {}, found '{}'", known, size));
}

std::vector<TensorSpec> specs_of(const Shape& s, const DType& body) {
  const DType outer = find_weight_type(body) ? parse_dtype("q8g32") : body;
  const uint64_t d = s.hidden_size, f = s.feed_forward_size;
  const uint64_t q = s.heads * s.head_size, kv = s.kv_heads * s.head_size;
  std::vector<TensorSpec> specs;
  const auto add = [&](Role role, int layer, const DType& dtype, uint64_t rows, uint64_t cols) {
    specs.push_back({.role = role, .layer = layer, .dtype = dtype, .rows = rows, .cols = cols});
  };
  add(Role::kTokenEmbedding, kNoLayer, outer, s.vocabulary_size, d);
  add(Role::kOutputNorm, kNoLayer, kF32, 1, d);
  if (!s.tied) add(Role::kHead, kNoLayer, outer, s.vocabulary_size, d);
  for (int layer = 0; layer < static_cast<int>(s.layers); ++layer) {
    add(Role::kAttnNorm, layer, kF32, 1, d);
    add(Role::kAttnQ, layer, body, q, d);
    add(Role::kAttnK, layer, body, kv, d);
    add(Role::kAttnV, layer, body, kv, d);
    add(Role::kAttnOut, layer, body, d, q);
    add(Role::kFfnNorm, layer, kF32, 1, d);
    add(Role::kFfnGate, layer, body, f, d);
    add(Role::kFfnUp, layer, body, f, d);
    add(Role::kFfnDown, layer, body, d, f);
  }
  return specs;
}

Json metadata_of(const Shape& s) {
  const Json rope = Json::object({{"base", 500000.0}, {"size", s.head_size}, {"scaling", "none"}});
  return Json::object({{"model", Json::object({{"architecture", "llama"},
                                               {"name", s.name},
                                               {"layers", s.layers},
                                               {"hidden_size", s.hidden_size},
                                               {"feed_forward_size", s.feed_forward_size},
                                               {"heads", s.heads},
                                               {"kv_heads", s.kv_heads},
                                               {"head_size", s.head_size},
                                               {"vocabulary_size", s.vocabulary_size},
                                               {"context_length", s.context_length},
                                               {"norm_epsilon", 1e-5},
                                               {"activation", "silu"},
                                               {"rope", rope},
                                               {"tied_embeddings", s.tied}})}});
}

// Rows that a matrix repeats: random, of a variance that keeps the size of what they multiply.
std::vector<std::byte> pattern_of(const DType& dtype, uint64_t cols) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 1 / std::sqrt(static_cast<float>(cols)));
  std::vector<float> values(kPatternRows * cols);
  for (float& value : values) value = normal(random);
  std::vector<std::byte> bytes(tensor_bytes(dtype, kPatternRows, cols, "synthetic model"));
  if (const WeightType* type = find_weight_type(dtype)) {
    const uint64_t stride = slab_stride(dtype, cols, "synthetic model");
    for (uint64_t panel = 0; panel < kPatternRows / kPanelRows; ++panel) {
      type->encode(&values[panel * kPanelRows * cols], static_cast<int64_t>(cols), dtype.group,
                   &bytes[panel * stride]);
    }
    return bytes;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t half = dtype == kF16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]);
    if (dtype == kF32) {
      std::memcpy(&bytes[i * 4], &values[i], 4);
    } else {
      std::memcpy(&bytes[i * 2], &half, 2);
    }
  }
  return bytes;
}

std::vector<std::byte> ones(uint64_t count) {
  const std::vector<float> values(count, 1.0f);
  std::vector<std::byte> bytes(count * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// A file without a name: gone with its last descriptor and mapping, however the process ends.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(memfd_create("mica-synthetic", MFD_CLOEXEC)) {
    if (descriptor_ >= 0) return;
    throw Error(ErrorCode::kRuntime,
                fmt::format("synthetic model: cannot make a file in memory: {}",
                            std::generic_category().message(errno)));
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { close(descriptor_); }

  int descriptor() const { return descriptor_; }
  std::string path() const { return fmt::format("/proc/self/fd/{}", descriptor_); }

 private:
  int descriptor_;
};

void write_tensors(MicaWriter& writer, const Progress& progress) {
  struct Pattern {
    DType dtype;
    uint64_t cols;
    std::vector<std::byte> bytes;
  };
  std::vector<Pattern> patterns;
  uint64_t done = 0;
  const auto pattern = [&](const TensorSpec& spec) -> const std::vector<std::byte>& {
    for (const Pattern& known : patterns) {
      if (known.dtype == spec.dtype && known.cols == spec.cols) return known.bytes;
    }
    return patterns.emplace_back(Pattern{spec.dtype, spec.cols, pattern_of(spec.dtype, spec.cols)})
        .bytes;
  };
  for (const TensorSpec& spec : writer.specs()) {
    writer.begin_tensor();
    if (spec.rows == 1) {
      writer.write(ones(spec.cols));
    } else {
      const std::vector<std::byte>& bytes = pattern(spec);
      uint64_t left = tensor_bytes(spec.dtype, spec.rows, spec.cols, "synthetic model");
      while (left > 0) {
        const uint64_t count = std::min<uint64_t>(left, bytes.size());
        writer.write(Bytes(bytes).first(count));
        left -= count;
        done += count;
        if (progress && !progress(done, writer.planned_bytes())) {
          throw Error(ErrorCode::kInterrupted, "synthetic model: interrupted");
        }
      }
    }
    writer.end_tensor(0);
  }
}

}  // namespace

SyntheticShape synthetic_shape(std::string_view size, std::string_view quant) {
  const Shape& shape = find_shape(size);
  return {.metadata = metadata_of(shape), .specs = specs_of(shape, parse_dtype(quant))};
}

MicaFile make_synthetic_model(std::string_view size, std::string_view quant,
                              const Progress& progress) {
  const Shape& shape = find_shape(size);
  const std::vector<TensorSpec> specs = specs_of(shape, parse_dtype(quant));
  const uint64_t bytes = MicaWriter("synthetic model", specs, {}).planned_bytes();
  const uint64_t available = read_host_facts().memory_available_bytes;
  if (available > 0 && bytes > available) {
    throw Error(ErrorCode::kDoesNotFit,
                fmt::format("{} with {} weights: expected {} MiB of memory, found {} MiB available",
                            shape.name, quant, bytes >> 20, available >> 20));
  }
  const MemoryFile memory;
  MicaWriter writer("synthetic model", specs, {}, memory.descriptor());
  write_tensors(writer, progress);
  writer.finish(metadata_of(shape));
  return MicaFile::open(memory.path());
}

}  // namespace mica
