// The container of a GGUF file (version 2 and 3, little-endian): keys with values, and where
// tensors lie. Knows nothing of models.
//
// Everything is checked when parsed; values stay in the file's bytes, which must outlive the
// object. Memory used is in proportion to the number of keys and tensors the file really has.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf_blocks.h"
#include "lib/base/checked.h"

namespace mica {

enum class GgufValueType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

struct GgufKey {
  std::string_view name;
  GgufValueType type;
  GgufValueType element_type;  // of an array
  uint64_t count;              // elements of an array
  Bytes value;                 // the number, the string's text, or the array's elements
};

struct GgufTensor {
  std::string_view name;
  const GgufType* type;
  std::array<uint64_t, 4> dims;  // innermost first; 1 beyond those the file has
  Bytes data;
};

class GgufFile {
 public:
  // `name` begins every error sentence. Throws Error(kInvalidFile), or Error(kUnsupported) for
  // versions and tensor types that exist but cannot be read here.
  static GgufFile parse(Bytes bytes, std::string name);

  const std::string& name() const { return name_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }  // in the order of the file

  const std::vector<GgufKey>& keys() const { return keys_; }  // sorted by name

  // The key, or nullptr.
  const GgufKey* find(std::string_view key) const;

  // Values by type; nothing when the key is absent. Throw when it holds something else.
  std::optional<uint64_t> unsigned_integer(std::string_view key) const;  // any integer type, >= 0
  std::optional<double> number(std::string_view key) const;  // f32 as its shortest decimal
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string_view> string(std::string_view key) const;  // valid UTF-8
  // The elements of an array, views into the file. Strings are valid UTF-8.
  std::optional<std::vector<std::string_view>> strings(std::string_view key) const;
  std::optional<std::vector<int32_t>> int32s(std::string_view key) const;
  std::optional<std::vector<bool>> booleans(std::string_view key) const;
  std::optional<std::vector<float>> float32s(std::string_view key) const;
  std::optional<Bytes> byte_array(std::string_view key) const;  // of u8 or i8

  // "model.gguf: key 'llama.block_count'", to begin a sentence with.
  std::string what(std::string_view key) const;

 private:
  template <class T>
  std::optional<std::vector<T>> numbers(std::string_view key, GgufValueType type,
                                        const char* expected) const;
  void parse_key(ByteReader& reader);
  void parse_tensor(ByteReader& reader);
  void place_tensors(Bytes bytes, uint64_t header_end, const std::vector<uint64_t>& offsets);

  std::string name_;
  std::vector<GgufKey> keys_;  // sorted by name once parsed
  std::vector<GgufTensor> tensors_;
};

}  // namespace mica
