// GGUF files for tests, built field by field so that any field can be made wrong.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mica::testing {

// Numbers of the types in a GGUF file.
constexpr uint32_t kGgufUint8 = 0, kGgufUint32 = 4, kGgufInt32 = 5, kGgufFloat32 = 6, kGgufBool = 7,
                   kGgufString = 8, kGgufArray = 9, kGgufUint64 = 10;
constexpr uint32_t kTensorF32 = 0, kTensorF16 = 1, kTensorQ4_0 = 2, kTensorQ4_1 = 3,
                   kTensorQ8_0 = 8;

template <class T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}
std::string gguf_string(std::string_view text);
// Element type, count, elements.
std::string gguf_strings(const std::vector<std::string>& elements);
std::string gguf_int32s(const std::vector<int32_t>& elements);
std::string gguf_float32s(const std::vector<float>& elements);

struct GgufSample {
  struct Key {
    std::string name;
    uint32_t type;
    std::string value;
  };
  struct Tensor {
    std::string name;
    std::vector<uint64_t> dims;  // innermost first
    uint32_t type;
    std::string data;
    std::optional<uint64_t> offset;      // else where the data lies
    std::optional<uint32_t> dimensions;  // else the number of dims
  };

  std::string magic = "GGUF";
  uint32_t version = 3;
  std::vector<Key> keys;
  std::vector<Tensor> tensors;
  std::optional<uint64_t> key_count;
  std::optional<uint64_t> tensor_count;
  uint64_t alignment = 32;

  void set(const std::string& key, uint32_t type, const std::string& value);  // replaces or adds
  void set(const std::string& key, uint32_t value) { set(key, kGgufUint32, raw(value)); }
  void set(const std::string& key, float value) { set(key, kGgufFloat32, raw(value)); }
  void set(const std::string& key, bool value) { set(key, kGgufBool, raw(value)); }
  void set(const std::string& key, const char* text) { set(key, kGgufString, gguf_string(text)); }
  void remove(const std::string& key);
  Tensor& tensor(const std::string& name);
  void remove_tensor(const std::string& name);

  // Everything before the tensors' data, padding included.
  std::string header() const;
  std::string bytes() const;
};

struct TinyGguf {
  std::string architecture = "llama";  // "qwen2" has biases of query, key and value
  int layers = 1;
  uint32_t matrix_type = kTensorF32;
  uint64_t hidden_size = 4;  // also of the feed-forward network
  uint64_t heads = 2;
  uint64_t kv_heads = 1;
  bool tied = true;
};

// A model of four tokens, "a", "b", "ab" and the control token "<s>". Weights count 0, 1, 2, ... in
// the order of the file (floats) or are bytes that do (blocks, with scales of 0.5).
GgufSample tiny_gguf(const TinyGguf& shape = {});

}  // namespace mica::testing
