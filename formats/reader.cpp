#include "formats/reader.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <numeric>
#include <tuple>

#include "formats/mica_layout.h"
#include "formats/sniff.h"
#include "lib/base/error.h"

namespace mica {
namespace {

template <class... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

void check_hash(const Hash128& stored, const Hash128& found, const std::string& what) {
  if (stored == found) return;
  fail(ErrorCode::kVerification, "{}: expected checksum {}, found {} (damaged)", what, stored.hex(),
       found.hex());
}

void check_multiple(uint64_t value, uint64_t alignment, const std::string& what) {
  if (value % alignment == 0) return;
  fail(ErrorCode::kInvalidFile, "{}: expected a multiple of {}, found {}", what, alignment, value);
}

// FORMAT.md, "Header". Everything later relies on: a header of this version whose checksum agrees.
FileHeader read_header(Bytes file, const std::string& path) {
  if (!begins_like_mica(file)) {
    fail(ErrorCode::kInvalidFile, "{}: expected a .mica file, found {}", path,
         describe_foreign_bytes(file));
  }
  if (file.size() < sizeof(FileHeader)) {
    fail(ErrorCode::kInvalidFile, "{}: expected a header of {} bytes, found only {} (truncated)",
         path, sizeof(FileHeader), file.size());
  }
  const auto header = load_at<FileHeader>(file, 0, path);
  const Hash128 hash = hash_of_header(header);
  if (header.version > kFormatVersion) {  // what else is wrong cannot be judged here
    fail(ErrorCode::kUnsupported,
         "{}: header: expected version {} of the .mica format, found version {}: it needs a newer "
         "mica{}",
         path, kFormatVersion, header.version,
         header.header_hash == hash ? "" : ", or its header is damaged");
  }
  check_hash(header.header_hash, hash, path + ": header");
  checked_range(header.version, kFormatVersion, kFormatVersion, path + ": header: version");
  if ((header.required_features & ~kKnownFeatures) != 0) {
    fail(ErrorCode::kUnsupported,
         "{}: expected no required features but {:#x}, found {:#x}: it needs a newer mica", path,
         kKnownFeatures, header.required_features);
  }
  checked_range(header.header_bytes, sizeof(FileHeader), sizeof(FileHeader),
                path + ": header: header_bytes");
  if (header.file_bytes != file.size()) {
    fail(ErrorCode::kInvalidFile, "{}: expected {} bytes as its header says, found {} ({})", path,
         header.file_bytes, file.size(),
         file.size() < header.file_bytes ? "truncated" : "something was appended");
  }
  return header;
}

// FORMAT.md, "Regions and alignment": aligned, inside the file, in this order and disjoint.
void check_regions(const FileHeader& header, Bytes file, const std::string& path) {
  struct Rule {
    const char* name;
    const Region& region;
    uint64_t alignment;
  };
  const Rule rules[] = {
      {"directory", header.directory, kDirectoryAlignment},
      {"tokenizer", header.tokenizer, kRegionAlignment},
      {"weights", header.weights, kSegmentAlignment},
      {"metadata", header.metadata, kRegionAlignment},
  };
  uint64_t end = sizeof(FileHeader);
  for (const Rule& rule : rules) {
    const std::string what = fmt::format("{}: header: {} region", path, rule.name);
    checked_slice(file, rule.region.offset, rule.region.bytes, what);
    check_multiple(rule.region.offset, rule.alignment, what + ": offset");
    checked_range(rule.region.offset, end, file.size(), what + ": offset");
    end = rule.region.end();
  }
  checked_range(header.metadata.bytes, 2, kMaxMetadataBytes, path + ": header: metadata bytes");
  checked_range(header.record_stride, sizeof(FileRecord), kMaxRecordStride,
                path + ": header: record_stride");
  check_multiple(header.record_stride, alignof(FileRecord), path + ": header: record_stride");
  const uint64_t directory_bytes = checked_mul(uint64_t{header.tensor_count}, header.record_stride,
                                               path + ": header: directory size");
  checked_range(header.directory.bytes, directory_bytes, directory_bytes,
                path + ": header: directory bytes");
}

// FORMAT.md, "Directory": name.
std::string read_name(const FileRecord& record, const std::string& what) {
  const std::string_view field(record.name.data(), record.name.size());
  const size_t length = std::min(field.find('\0'), field.size());
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  const bool clean = field.substr(0, length).find_first_not_of(kAllowed) == field.npos &&
                     field.find_first_not_of('\0', length) == field.npos;
  if (!clean || length == 0 || length == field.size()) {
    fail(ErrorCode::kInvalidFile,
         "{}: expected a name of 1 to {} letters, digits and '._-', padded with zeros; found other "
         "bytes",
         what, field.size() - 1);
  }
  return std::string(field.substr(0, length));
}

void check_place(const FileRecord& record, const std::string& what) {
  const auto check = [&](int32_t value, int32_t limit, const char* field) {
    if (value >= -1 && value <= limit) return;
    fail(ErrorCode::kInvalidFile, "{}: {}: expected -1 to {}, found {}", what, field, limit, value);
  };
  check(record.layer, kMaxLayer, "layer");
  check(record.expert, kMaxExpert, "expert");
  const Role role{record.role};
  const bool in_layer = record.layer != kNoLayer;
  if (record.role == 0 || (role_name(role) != nullptr && role_in_layer(role) != in_layer)) {
    fail(ErrorCode::kInvalidFile,
         "{}: expected a role that fits its layer, found role {} in layer {}", what, record.role,
         record.layer);
  }
}

// FORMAT.md, "Directory": all that one record says about itself.
TensorRecord read_record(const FileRecord& record, const Region& weights, std::string name,
                         const std::string& what) {
  check_place(record, what);
  const DType dtype{.type = record.type,
                    .group = record.group,
                    .layout = TensorLayout{record.layout},
                    .code_bits = record.code_bits,
                    .scale_bytes = record.scale_bytes,
                    .offset_bytes = record.offset_bytes};
  check_dtype(dtype, what);
  checked_range(record.rows, 1, kMaxDim, what + ": rows");
  checked_range(record.cols, 1, kMaxDim, what + ": cols");
  const auto expect = [&](uint64_t found, uint64_t expected, const char* field) {
    if (found != expected) checked_range(found, expected, expected, what + ": " + field);
  };
  expect(record.padded_rows, padded_rows(dtype, record.rows), "padded rows");
  expect(record.padded_cols, record.cols, "padded cols");
  expect(record.slab_stride, slab_stride(dtype, record.cols, what), "slab stride");
  expect(record.bytes, tensor_bytes(dtype, record.rows, record.cols, what), "bytes");
  check_multiple(record.offset, kTensorAlignment, what + ": offset");
  if (record.offset < weights.offset || record.offset > weights.end() ||
      record.bytes > weights.end() - record.offset) {
    fail(ErrorCode::kInvalidFile,
         "{}: expected a place inside bytes {} to {}, found {} bytes at {}", what, weights.offset,
         weights.end(), record.bytes, record.offset);
  }
  const float error = record.relative_error;
  if (!std::isnan(error) && !(error >= 0 && std::isfinite(error))) {
    fail(ErrorCode::kInvalidFile, "{}: expected a relative error of 0 or more, found {}", what,
         error);
  }
  return {.name = std::move(name),
          .role = Role{record.role},
          .layer = record.layer,
          .expert = record.expert,
          .dtype = dtype,
          .rows = record.rows,
          .cols = record.cols,
          .padded_rows = record.padded_rows,
          .offset = record.offset,
          .bytes = record.bytes,
          .slab_stride = record.slab_stride,
          .relative_error = error,
          .hash = record.hash};
}

struct Directory {
  std::vector<TensorRecord> tensors;
  std::vector<uint32_t> segment_of;  // of tensors[i]
};

Directory read_directory(Bytes file, const FileHeader& header, const std::string& path) {
  const Bytes bytes = checked_slice(file, header.directory.offset, header.directory.bytes, path);
  check_hash(header.directory_hash, hash128(bytes), path + ": directory");
  Directory directory;
  directory.tensors.reserve(header.tensor_count);
  directory.segment_of.reserve(header.tensor_count);
  for (uint32_t i = 0; i < header.tensor_count; ++i) {
    const auto record = load_at<FileRecord>(bytes, uint64_t{i} * header.record_stride, path);
    std::string name = read_name(record, fmt::format("{}: tensor record {}", path, i));
    const std::string what = fmt::format("{}: tensor '{}'", path, name);
    if (i > 0 && name <= directory.tensors.back().name) {
      fail(ErrorCode::kInvalidFile, "{}: expected names in rising order, found it after '{}'", what,
           directory.tensors.back().name);
    }
    directory.tensors.push_back(read_record(record, header.weights, std::move(name), what));
    directory.segment_of.push_back(record.segment);
  }
  return directory;
}

std::vector<uint32_t> sorted_indices(size_t count, auto less) {
  std::vector<uint32_t> indices(count);
  std::iota(indices.begin(), indices.end(), 0u);
  std::sort(indices.begin(), indices.end(), less);
  return indices;
}

// FORMAT.md, "Segments": tensors in order of their offsets are disjoint, their segment numbers
// count up from 0 without a gap, and a segment has one layer and expert.
std::vector<Segment> read_segments(const Directory& directory, const std::string& path) {
  const auto& tensors = directory.tensors;
  const std::vector<uint32_t> by_offset =
      sorted_indices(tensors.size(), [&](uint32_t a, uint32_t b) {
        return std::tie(tensors[a].offset, a) < std::tie(tensors[b].offset, b);
      });
  std::vector<Segment> segments;
  uint64_t end = 0;
  for (const uint32_t index : by_offset) {
    const TensorRecord& tensor = tensors[index];
    const std::string what = fmt::format("{}: tensor '{}'", path, tensor.name);
    const uint32_t number = directory.segment_of[index];
    if (tensor.offset < end) {
      fail(ErrorCode::kInvalidFile, "{}: expected an offset of at least {}, found {} (overlap)",
           what, end, tensor.offset);
    }
    end = tensor.offset + tensor.bytes;
    if (number == segments.size()) {
      segments.push_back({tensor.layer, tensor.expert, tensor.offset, tensor.bytes});
      continue;
    }
    if (number + size_t{1} != segments.size() || segments.back().layer != tensor.layer ||
        segments.back().expert != tensor.expert) {
      fail(
          ErrorCode::kInvalidFile,
          "{}: expected its segment to go on or the next one to begin, found segment {} with layer "
          "{} after {} segments",
          what, number, tensor.layer, segments.size());
    }
    segments.back().bytes = end - segments.back().offset;
  }
  for (const Segment& segment : segments) {
    check_multiple(segment.offset, segment_alignment(segment.bytes),
                   fmt::format("{}: segment of {} bytes: offset", path, segment.bytes));
  }
  return segments;
}

auto place_of(const TensorRecord& tensor) {
  return std::tuple(tensor.layer, tensor.expert, tensor.role);
}

std::vector<uint32_t> index_roles(std::span<const TensorRecord> tensors, const std::string& path) {
  std::vector<uint32_t> by_role = sorted_indices(tensors.size(), [&](uint32_t a, uint32_t b) {
    return place_of(tensors[a]) < place_of(tensors[b]);
  });
  const auto twin = std::adjacent_find(by_role.begin(), by_role.end(), [&](uint32_t a, uint32_t b) {
    return place_of(tensors[a]) == place_of(tensors[b]);
  });
  if (twin != by_role.end()) {
    fail(ErrorCode::kInvalidFile,
         "{}: tensor '{}': expected one tensor of its role and layer, found '{}' as well", path,
         tensors[twin[0]].name, tensors[twin[1]].name);
  }
  return by_role;
}

}  // namespace

MicaFile MicaFile::open(const std::string& path, LoadMode mode) {
  return open(MappedFile::open(path, mode));
}

MicaFile MicaFile::open(MappedFile mapped) {
  MicaFile file(std::move(mapped));
  const Bytes bytes = file.file_.bytes();
  const std::string& path = file.path();
  const FileHeader header = read_header(bytes, path);
  check_regions(header, bytes, path);
  Directory directory = read_directory(bytes, header, path);
  file.segments_ = read_segments(directory, path);
  file.by_role_ = index_roles(directory.tensors, path);
  file.tensors_ = std::move(directory.tensors);

  const Bytes metadata = checked_slice(bytes, header.metadata.offset, header.metadata.bytes, path);
  check_hash(header.metadata_hash, hash128(metadata), path + ": metadata");
  file.metadata_ = Json::parse(as_text(metadata), path + ": metadata");
  file.metadata_.as_object(path + ": metadata");
  file.tokenizer_ = checked_slice(bytes, header.tokenizer.offset, header.tokenizer.bytes, path);
  file.version_ = header.version;
  file.directory_hash_ = header.directory_hash;
  file.header_hash_ = header.header_hash;
  file.check();  // what was read is what the file holds
  return file;
}

const TensorRecord* MicaFile::find(Role role, int layer, int expert) const {
  const std::tuple place(layer, expert, role);
  const auto found = std::lower_bound(
      by_role_.begin(), by_role_.end(), place,
      [&](uint32_t index, const auto& p) { return place_of(tensors_[index]) < p; });
  if (found == by_role_.end() || place_of(tensors_[*found]) != place) return nullptr;
  return &tensors_[*found];
}

Bytes MicaFile::data(const TensorRecord& record) const {
  return checked_slice(file_.bytes(), record.offset, record.bytes, record.name);
}

}  // namespace mica
