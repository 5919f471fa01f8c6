#include "formats/safetensors.h"

#include <algorithm>
#include <fmt/format.h>

#include "formats/invalid.h"
#include "lib/base/error.h"
#include "lib/base/json.h"

namespace mica {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

struct ElementType {
  std::string_view name;
  uint32_t bytes;
};
constexpr ElementType kElementTypes[] = {
    {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"F8_E8M0", 1},
    {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},     {"U32", 4},
    {"F32", 4},  {"I64", 8}, {"U64", 8}, {"F64", 8},     {"C64", 8},
};

uint64_t element_bytes(const std::string& type, const std::string& what) {
  for (const ElementType& known : kElementTypes) {
    if (known.name == type) return known.bytes;
  }
  throw Error(ErrorCode::kUnsupported,
              fmt::format("{}: type '{}' is not supported; expected F32, F16 or BF16", what, type));
}

// A whole number that is not negative; 3.0 is not one.
uint64_t size_number(const Json& json, const std::string& what) {
  const int64_t value = json.as_integer(what);
  if (value < 0 || !json.is_integer()) {
    fail_invalid(
        what, fmt::format("expected a whole number that is not negative, found {}", json.dump()));
  }
  return static_cast<uint64_t>(value);
}

struct Extent {
  uint64_t begin;
  uint64_t end;
};

Extent read_extent(const Json& offsets, const std::string& what) {
  const Json::Array& pair = offsets.as_array(what);
  if (pair.size() != 2)
    fail_invalid(what, fmt::format("expected two numbers, found {}", pair.size()));
  return {size_number(pair[0], what), size_number(pair[1], what)};
}

SafeTensor read_tensor(const Json::Member& member, Bytes data, const std::string& file) {
  SafeTensor tensor;
  tensor.name = member.first;
  const std::string what = fmt::format("{}: tensor '{}'", file, tensor.name);
  const Json& record = member.second;
  record.as_object(what);
  tensor.type = record["dtype"].as_string(what + ": dtype");
  uint64_t size = element_bytes(tensor.type, what);
  for (const Json& dim : record["shape"].as_array(what + ": shape")) {
    const uint64_t count = size_number(dim, what + ": shape");
    tensor.dims.push_back(static_cast<int64_t>(count));
    size = checked_mul(size, count, what + ": size");
  }
  const Extent extent = read_extent(record["data_offsets"], what + ": data_offsets");
  if (extent.end < extent.begin || extent.end - extent.begin != size) {
    fail_invalid(
        what, fmt::format("expected {} bytes by dtype and shape, found data_offsets [{}, {}]", size,
                          extent.begin, extent.end));
  }
  tensor.data = checked_slice(data, extent.begin, size, what + ": data_offsets");
  return tensor;
}

// Tensors follow one another and fill the file.
void check_coverage(const std::vector<SafeTensor>& tensors, Bytes data, const std::string& file) {
  const std::byte* covered = data.data();
  for (const SafeTensor& tensor : tensors) {
    if (tensor.data.data() != covered) {
      fail_invalid(
          fmt::format("{}: tensor '{}'", file, tensor.name),
          fmt::format("expected to begin at byte {}, where the tensor before it ends, found {}",
                      covered - data.data(), tensor.data.data() - data.data()));
    }
    covered += tensor.data.size();
  }
  if (covered != data.data() + data.size()) {
    fail_invalid(file, fmt::format("expected {} bytes of tensors, found {} bytes",
                                   covered - data.data(), data.size()));
  }
}

}  // namespace

std::vector<SafeTensor> parse_safetensors(Bytes bytes, const std::string& name) {
  const auto header_bytes = load_at<uint64_t>(bytes, 0, name);
  checked_range(header_bytes, 2, std::min(kMaxHeaderBytes, bytes.size() - kLengthBytes),
                name + ": length of the header");
  const Json header = Json::parse(as_text(bytes.subspan(kLengthBytes, header_bytes)), name);
  const Bytes data = bytes.subspan(kLengthBytes + header_bytes);
  std::vector<SafeTensor> tensors;
  for (const Json::Member& member : header.as_object(name + ": header")) {
    if (member.first == "__metadata__") {  // free texts
      const std::string what = name + ": __metadata__";
      for (const auto& [key, text] : member.second.as_object(what)) text.as_string(what);
      continue;
    }
    tensors.push_back(read_tensor(member, data, name));
  }
  std::sort(tensors.begin(), tensors.end(), [](const SafeTensor& a, const SafeTensor& b) {
    return std::pair(a.data.data(), a.data.size()) < std::pair(b.data.data(), b.data.size());
  });
  check_coverage(tensors, data, name);
  return tensors;
}

}  // namespace mica
