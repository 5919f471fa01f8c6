// The bytes of a .mica file as structs and named sums. FORMAT.md is the specification; each part
// names its section. Internal to formats/: others use reader.h and writer.h.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string_view>

#include "lib/base/checked.h"
#include "lib/base/hash.h"
#include "lib/tensor/dtype.h"

namespace mica {

// Structs below are copied to and from the file as they are.
static_assert(std::endian::native == std::endian::little);

// FORMAT.md, "Header".
constexpr std::array<uint8_t, 8> kMagic = {0x89, 'M', 'I', 'C', '\r', '\n', 0x1a, '\n'};
constexpr uint32_t kFormatVersion = 1;
constexpr uint64_t kKnownFeatures = 0;  // required or optional: none yet

struct Region {
  uint64_t offset = 0;  // from the start of the file
  uint64_t bytes = 0;
  uint64_t end() const { return offset + bytes; }
};

// Whether these bytes begin as a .mica file does.
bool begins_like_mica(Bytes file);

struct FileHeader {
  std::array<uint8_t, 8> magic = kMagic;
  uint32_t version = kFormatVersion;
  uint32_t header_bytes = 256;
  uint64_t file_bytes = 0;
  uint64_t required_features = 0;
  uint64_t optional_features = 0;
  Region directory;
  uint32_t tensor_count = 0;
  uint32_t record_stride = 192;
  Region tokenizer;
  Region weights;
  Region metadata;
  Hash128 directory_hash;
  Hash128 tokenizer_hash;
  Hash128 metadata_hash;
  std::array<uint8_t, 32> sha256{};  // reserved for signing
  std::array<uint8_t, 48> reserved{};
  Hash128 header_hash;  // of all bytes before it
};
static_assert(sizeof(FileHeader) ==
              8 + 2 * 4 + 3 * 8 + 16 + 2 * 4 + 3 * 16 + 3 * 16 + 32 + 48 + 16);
static_assert(sizeof(FileHeader) == 256);
constexpr uint64_t kHashedHeaderBytes = sizeof(FileHeader) - sizeof(Hash128);

// FORMAT.md, "Directory".
struct FileRecord {
  std::array<char, 64> name{};  // zero-padded, at least one zero
  uint16_t role = 0;
  uint16_t type = 0;
  uint16_t group = 0;
  uint8_t layout = 0;
  uint8_t code_bits = 0;
  uint8_t scale_bytes = 0;
  uint8_t offset_bytes = 0;
  std::array<uint8_t, 2> reserved0{};
  uint32_t segment = 0;
  int32_t layer = -1;
  int32_t expert = -1;
  uint64_t rows = 0;
  uint64_t cols = 0;
  uint64_t padded_rows = 0;
  uint64_t padded_cols = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t slab_stride = 0;
  Hash128 hash;
  float relative_error = 0;
  std::array<uint8_t, 28> reserved1{};
};
static_assert(sizeof(FileRecord) == 64 + 3 * 2 + 6 + 3 * 4 + 7 * 8 + 16 + 4 + 28);
static_assert(sizeof(FileRecord) == 192);
constexpr uint32_t kMaxRecordStride = 4096;

// FORMAT.md, "Regions and alignment".
constexpr uint64_t kDirectoryAlignment = 64;
constexpr uint64_t kRegionAlignment = 256;  // tokenizer, metadata
constexpr uint64_t kTensorAlignment = 256;
constexpr uint64_t kSegmentAlignment = 64 << 10;
constexpr uint64_t kLargeSegmentAlignment = 2 << 20;
constexpr uint64_t kLargeSegmentBytes = 32 << 20;

inline uint64_t segment_alignment(uint64_t bytes) {
  return bytes >= kLargeSegmentBytes ? kLargeSegmentAlignment : kSegmentAlignment;
}

// FORMAT.md, "Limits".
constexpr uint64_t kMaxDim = INT32_MAX;
constexpr int32_t kMaxLayer = 65535;
constexpr int32_t kMaxExpert = 65535;
constexpr uint64_t kMaxMetadataBytes = 16 << 20;

// Throws Error(kInvalidFile) beginning with `what` unless the fields of `dtype` agree with each
// other and, where its number is known, with FORMAT.md, "Weight types".
void check_dtype(const DType& dtype, std::string_view what);

inline Hash128 hash_of_header(const FileHeader& header) {
  return hash128({reinterpret_cast<const std::byte*>(&header), kHashedHeaderBytes});
}

}  // namespace mica
