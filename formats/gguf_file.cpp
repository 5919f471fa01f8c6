#include "formats/gguf_file.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <iterator>

#include "formats/invalid.h"
#include "lib/base/error.h"
#include "lib/base/utf8.h"

namespace mica {
namespace {

constexpr uint64_t kMaxNameBytes = 1024;  // keys and tensor names; the specification has less
constexpr uint64_t kMaxAlignment = 1 << 20;
constexpr uint64_t kDefaultAlignment = 32;
// The least bytes a key (name length, a letter, type, a byte) and a tensor (name length, a letter,
// dimensions, one of them, type, offset) take: more cannot be in the file.
constexpr uint64_t kMinKeyBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;
constexpr uint32_t kMaxDimensions = 4;

struct ValueTypeFacts {
  const char* name;
  uint32_t bytes;  // 0: not of one size
};
constexpr ValueTypeFacts kValueTypes[] = {{"uint8", 1},  {"int8", 1},  {"uint16", 2},  {"int16", 2},
                                          {"uint32", 4}, {"int32", 4}, {"float32", 4}, {"bool", 1},
                                          {"string", 0}, {"array", 0}, {"uint64", 8},  {"int64", 8},
                                          {"float64", 8}};

const ValueTypeFacts& facts(GgufValueType type) {
  return kValueTypes[static_cast<uint32_t>(type)];
}

GgufValueType read_value_type(ByteReader& reader, std::string_view what) {
  const auto number = reader.read<uint32_t>();
  if (number >= std::size(kValueTypes)) {
    fail_invalid(what, fmt::format("expected a value type of 0 to 12, found {}", number));
  }
  return static_cast<GgufValueType>(number);
}

std::string_view read_string(ByteReader& reader) {
  const auto size = reader.read<uint64_t>();
  return as_text(reader.read_bytes(size));
}

std::string_view read_name(ByteReader& reader, std::string_view what) {
  const std::string_view name = read_string(reader);
  if (name.empty() || name.size() > kMaxNameBytes) {
    fail_invalid(what, fmt::format("expected 1 to {} bytes, found {}", kMaxNameBytes, name.size()));
  }
  if (find_invalid_utf8(name) != kValid) fail_invalid(what, "expected UTF-8, found other bytes");
  return name;
}

void check_version(ByteReader& reader, const std::string& name) {
  const auto version = reader.read<uint32_t>();
  if (version == 2 || version == 3) return;
  // A file of a big-endian machine differs from here on: the number's bytes stand the other way
  // round.
  const bool swapped = version != 0 && (version & 0xffff) == 0;
  throw Error(
      ErrorCode::kUnsupported,
      swapped ? fmt::format("{}: expected a little-endian GGUF file, found a big-endian one", name)
              : fmt::format("{}: expected GGUF version 2 or 3, found {}", name, version));
}

// Throws on a duplicate; `sorted` holds the names in order.
template <class Item>
void refuse_duplicates(const std::vector<Item>& sorted, const std::string& name, const char* kind) {
  const auto same = std::adjacent_find(
      sorted.begin(), sorted.end(), [](const Item& a, const Item& b) { return a.name == b.name; });
  if (same != sorted.end()) {
    fail_invalid(name,
                 fmt::format("expected distinct {}s, found {} '{}' twice", kind, kind, same->name));
  }
}

template <class T>
T load(Bytes value) {
  return load_at<T>(value, 0, "GGUF value");
}

// 1e-05f is 9.99999974737875e-06 as a double; what its author wrote was 1e-05.
double shortest_decimal(float value) {
  if (!std::isfinite(value)) return value;
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
  double decimal = 0;
  std::from_chars(digits, end, decimal);
  return decimal;
}

}  // namespace

GgufFile GgufFile::parse(Bytes bytes, std::string name) {
  GgufFile file;
  file.name_ = std::move(name);
  ByteReader reader(bytes, file.name_);
  if (bytes.size() < 4 || as_text(reader.read_bytes(4)) != "GGUF") {
    fail_invalid(file.name_, "expected a GGUF file, found no 'GGUF' at its start");
  }
  check_version(reader, file.name_);
  const auto tensor_count = reader.read<uint64_t>();
  const auto key_count = reader.read<uint64_t>();
  checked_range(key_count, 0, reader.remaining() / kMinKeyBytes, file.name_ + ": number of keys");
  for (uint64_t i = 0; i < key_count; ++i) file.parse_key(reader);
  std::sort(file.keys_.begin(), file.keys_.end(),
            [](const GgufKey& a, const GgufKey& b) { return a.name < b.name; });
  refuse_duplicates(file.keys_, file.name_, "key");

  checked_range(tensor_count, 0, reader.remaining() / kMinTensorBytes,
                file.name_ + ": number of tensors");
  std::vector<uint64_t> offsets;
  for (uint64_t i = 0; i < tensor_count; ++i) {
    file.parse_tensor(reader);
    offsets.push_back(reader.read<uint64_t>());
  }
  file.place_tensors(bytes, reader.position(), offsets);
  return file;
}

void GgufFile::parse_key(ByteReader& reader) {
  GgufKey key{};
  key.name = read_name(reader, name_ + ": name of a key");
  const std::string what = this->what(key.name);
  key.type = read_value_type(reader, what);
  if (key.type == GgufValueType::kString) {
    key.value = as_bytes(read_string(reader));
  } else if (key.type != GgufValueType::kArray) {
    key.value = reader.read_bytes(facts(key.type).bytes);
    if (key.type == GgufValueType::kBool) checked_range(load<uint8_t>(key.value), 0, 1, what);
  } else {
    key.element_type = read_value_type(reader, what);
    if (key.element_type == GgufValueType::kArray) {
      fail_invalid(what, "expected an array of numbers or strings, found one of arrays");
    }
    key.count = reader.read<uint64_t>();
    // A string takes at least its length.
    const uint64_t least = std::max<uint64_t>(facts(key.element_type).bytes, 1);
    checked_range(key.count, 0, reader.remaining() / least, what + ": number of elements");
    if (key.element_type == GgufValueType::kString) {
      ByteReader elements = reader;
      for (uint64_t i = 0; i < key.count; ++i) read_string(elements);
      key.value = reader.read_bytes(elements.position() - reader.position());
    } else {
      key.value = reader.read_bytes(key.count * facts(key.element_type).bytes);
    }
  }
  keys_.push_back(key);
}

// All of a tensor's record but its offset, which needs the end of the header to mean something.
void GgufFile::parse_tensor(ByteReader& reader) {
  GgufTensor tensor{};
  tensor.name = read_name(reader, name_ + ": name of a tensor");
  const std::string what = fmt::format("{}: tensor '{}'", name_, tensor.name);
  const auto dimensions = static_cast<uint32_t>(
      checked_range(reader.read<uint32_t>(), 1, kMaxDimensions, what + ": dimensions"));
  tensor.dims = {1, 1, 1, 1};
  for (uint32_t i = 0; i < dimensions; ++i) {
    tensor.dims[i] = checked_range(reader.read<uint64_t>(), 1, INT64_MAX,
                                   fmt::format("{}: dimension {}", what, i));
  }
  const auto type = reader.read<uint32_t>();
  tensor.type = find_gguf_type(type);
  if (tensor.type == nullptr) {
    const char* type_name = gguf_type_name(type);
    throw Error(
        ErrorCode::kUnsupported,
        fmt::format("{}: type {} is not supported; expected F32, F16, BF16, Q4_0, Q4_1, Q5_0, "
                    "Q5_1, Q8_0, Q4_K, Q5_K or Q6_K",
                    what, type_name ? type_name : std::to_string(type)));
  }
  if (tensor.dims[0] % tensor.type->block_weights != 0) {
    fail_invalid(what, fmt::format("expected rows of a multiple of {} weights for {}, found {}",
                                   tensor.type->block_weights, tensor.type->name, tensor.dims[0]));
  }
  tensors_.push_back(tensor);
}

void GgufFile::place_tensors(Bytes bytes, uint64_t header_end,
                             const std::vector<uint64_t>& offsets) {
  const uint64_t alignment = unsigned_integer("general.alignment").value_or(kDefaultAlignment);
  if (alignment == 0 || alignment > kMaxAlignment || (alignment & (alignment - 1)) != 0) {
    fail_invalid(
        what("general.alignment"),
        fmt::format("expected a power of two up to {}, found {}", kMaxAlignment, alignment));
  }
  const uint64_t data_start = checked_align_up(header_end, alignment, name_ + ": header");
  std::vector<GgufTensor> placed;  // sorted copy, for what needs an order
  for (size_t i = 0; i < tensors_.size(); ++i) {
    GgufTensor& tensor = tensors_[i];
    const std::string what = fmt::format("{}: tensor '{}'", name_, tensor.name);
    if (offsets[i] % alignment != 0) {
      fail_invalid(what, fmt::format("expected an offset that is a multiple of {}, found {}",
                                     alignment, offsets[i]));
    }
    uint64_t size =
        checked_mul(tensor.dims[0] / tensor.type->block_weights, tensor.type->block_bytes, what);
    for (int axis = 1; axis < 4; ++axis) size = checked_mul(size, tensor.dims[axis], what);
    tensor.data = checked_slice(bytes, checked_add(data_start, offsets[i], what), size, what);
    placed.push_back(tensor);
  }
  std::sort(placed.begin(), placed.end(),
            [](const GgufTensor& a, const GgufTensor& b) { return a.name < b.name; });
  refuse_duplicates(placed, name_, "tensor");
  std::sort(placed.begin(), placed.end(), [](const GgufTensor& a, const GgufTensor& b) {
    return std::pair(a.data.data(), a.name) < std::pair(b.data.data(), b.name);
  });
  for (size_t i = 1; i < placed.size(); ++i) {
    if (placed[i - 1].data.data() + placed[i - 1].data.size() > placed[i].data.data()) {
      fail_invalid(
          name_,
          fmt::format("expected tensors apart from each other, found '{}' and '{}' overlapping",
                      placed[i - 1].name, placed[i].name));
    }
  }
}

const GgufKey* GgufFile::find(std::string_view key) const {
  const auto at = std::lower_bound(keys_.begin(), keys_.end(), key,
                                   [](const GgufKey& a, std::string_view b) { return a.name < b; });
  return at != keys_.end() && at->name == key ? &*at : nullptr;
}

std::string GgufFile::what(std::string_view key) const {
  return fmt::format("{}: key '{}'", name_, key);
}

namespace {

[[noreturn]] void fail_type(const std::string& what, const char* expected, const GgufKey& key) {
  std::string found = facts(key.type).name;
  if (key.type == GgufValueType::kArray) {
    found = fmt::format("an array of {}", facts(key.element_type).name);
  }
  fail_invalid(what, fmt::format("expected {}, found {}", expected, found));
}

int64_t nonnegative(int64_t value, const std::string& what) {
  if (value < 0)
    fail_invalid(what, fmt::format("expected a number that is not negative, found {}", value));
  return value;
}

}  // namespace

std::optional<uint64_t> GgufFile::unsigned_integer(std::string_view name) const {
  const GgufKey* key = find(name);
  if (key == nullptr) return std::nullopt;
  switch (key->type) {
    case GgufValueType::kUint8:
      return load<uint8_t>(key->value);
    case GgufValueType::kUint16:
      return load<uint16_t>(key->value);
    case GgufValueType::kUint32:
      return load<uint32_t>(key->value);
    case GgufValueType::kUint64:
      return load<uint64_t>(key->value);
    case GgufValueType::kInt8:
      return nonnegative(load<int8_t>(key->value), what(name));
    case GgufValueType::kInt16:
      return nonnegative(load<int16_t>(key->value), what(name));
    case GgufValueType::kInt32:
      return nonnegative(load<int32_t>(key->value), what(name));
    case GgufValueType::kInt64:
      return nonnegative(load<int64_t>(key->value), what(name));
    default:
      fail_type(what(name), "an integer", *key);
  }
}

std::optional<double> GgufFile::number(std::string_view name) const {
  const GgufKey* key = find(name);
  if (key == nullptr) return std::nullopt;
  double value = 0;
  if (key->type == GgufValueType::kFloat32) {
    value = shortest_decimal(load<float>(key->value));
  } else if (key->type == GgufValueType::kFloat64) {
    value = load<double>(key->value);
  } else {
    fail_type(what(name), "a float", *key);
  }
  if (!std::isfinite(value))
    fail_invalid(what(name), fmt::format("expected a finite number, found {}", value));
  return value;
}

std::optional<bool> GgufFile::boolean(std::string_view name) const {
  const GgufKey* key = find(name);
  if (key == nullptr) return std::nullopt;
  if (key->type != GgufValueType::kBool) fail_type(what(name), "a bool", *key);
  return load<uint8_t>(key->value) != 0;
}

std::optional<std::string_view> GgufFile::string(std::string_view name) const {
  const GgufKey* key = find(name);
  if (key == nullptr) return std::nullopt;
  if (key->type != GgufValueType::kString) fail_type(what(name), "a string", *key);
  const std::string_view text = as_text(key->value);
  if (find_invalid_utf8(text) != kValid)
    fail_invalid(what(name), "expected UTF-8, found other bytes");
  return text;
}

std::optional<std::vector<std::string_view>> GgufFile::strings(std::string_view name) const {
  const GgufKey* key = find(name);
  if (key == nullptr) return std::nullopt;
  if (key->type != GgufValueType::kArray || key->element_type != GgufValueType::kString) {
    fail_type(what(name), "an array of strings", *key);
  }
  std::vector<std::string_view> elements;
  elements.reserve(key->count);
  ByteReader reader(key->value, name_);
  for (uint64_t i = 0; i < key->count; ++i) {
    elements.push_back(read_string(reader));
    if (find_invalid_utf8(elements.back()) != kValid) {
      fail_invalid(what(name), fmt::format("expected UTF-8, found other bytes in element {}", i));
    }
  }
  return elements;
}

template <class T>
std::optional<std::vector<T>> GgufFile::numbers(std::string_view name, GgufValueType type,
                                                const char* expected) const {
  const GgufKey* key = find(name);
  if (key == nullptr) return std::nullopt;
  if (key->type != GgufValueType::kArray || key->element_type != type) {
    fail_type(what(name), expected, *key);
  }
  std::vector<T> elements(key->count);
  if (!elements.empty()) std::memcpy(elements.data(), key->value.data(), key->value.size());
  return elements;
}

std::optional<std::vector<bool>> GgufFile::booleans(std::string_view name) const {
  const GgufKey* key = find(name);
  if (key == nullptr) return std::nullopt;
  if (key->type != GgufValueType::kArray || key->element_type != GgufValueType::kBool) {
    fail_type(what(name), "an array of bools", *key);
  }
  std::vector<bool> elements;
  for (const std::byte element : key->value) elements.push_back(element != std::byte{0});
  return elements;
}

std::optional<std::vector<int32_t>> GgufFile::int32s(std::string_view name) const {
  return numbers<int32_t>(name, GgufValueType::kInt32, "an array of int32");
}

std::optional<std::vector<float>> GgufFile::float32s(std::string_view name) const {
  return numbers<float>(name, GgufValueType::kFloat32, "an array of float32");
}

std::optional<Bytes> GgufFile::byte_array(std::string_view name) const {
  const GgufKey* key = find(name);
  if (key == nullptr) return std::nullopt;
  const bool is_bytes =
      key->element_type == GgufValueType::kUint8 || key->element_type == GgufValueType::kInt8;
  if (key->type != GgufValueType::kArray || !is_bytes) {
    fail_type(what(name), "an array of uint8 or int8", *key);
  }
  return key->value;
}

}  // namespace mica
