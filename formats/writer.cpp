#include "formats/writer.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <limits>
#include <optional>
#include <tuple>

#include "formats/mica_layout.h"
#include "lib/base/error.h"
#include "lib/base/output_file.h"

namespace mica {
namespace {

[[noreturn]] void fail(ErrorCode code, const std::string& path, const std::string& reason) {
  throw Error(code, path + ": " + reason);
}

std::string name_of(const TensorSpec& spec) {
  return tensor_name(spec.role, spec.layer, spec.expert);
}

// What a segment holds: 0 the embeddings, 1 a layer or a routed expert of it, 2 norm and head.
auto segment_key(const TensorSpec& spec) {
  const int part = role_in_layer(spec.role) ? 1 : spec.role == Role::kTokenEmbedding ? 0 : 2;
  return std::tuple(part, spec.layer, spec.expert);
}

auto file_order(const TensorSpec& spec) {
  return std::tuple_cat(segment_key(spec), std::tuple(role_order(spec.role)));
}

void check_spec(const TensorSpec& spec, const std::string& path) {
  const std::string what = fmt::format("{}: tensor '{}'", path, name_of(spec));
  const bool place_fits = role_name(spec.role) != nullptr &&
                          (role_in_layer(spec.role) ? spec.layer >= 0 && spec.layer <= kMaxLayer
                                                    : spec.layer == kNoLayer) &&
                          spec.expert >= kNoExpert && spec.expert <= kMaxExpert;
  if (!place_fits) {
    throw Error(
        ErrorCode::kUsage,
        fmt::format("{}: expected a known role in a layer that fits it, found role {} in layer "
                    "{}, expert {}",
                    what, static_cast<int>(spec.role), spec.layer, spec.expert));
  }
  check_dtype(spec.dtype, what);
  checked_range(spec.rows, 1, kMaxDim, what + ": rows");
  checked_range(spec.cols, 1, kMaxDim, what + ": cols");
}

FileRecord make_record(const TensorSpec& spec, const std::string& path) {
  const std::string name = name_of(spec);
  const std::string what = fmt::format("{}: tensor '{}'", path, name);
  FileRecord record;
  if (name.size() >= record.name.size()) fail(ErrorCode::kUsage, what, "the name is too long");
  std::copy(name.begin(), name.end(), record.name.begin());
  record.role = static_cast<uint16_t>(spec.role);
  record.type = spec.dtype.type;
  record.group = spec.dtype.group;
  record.layout = static_cast<uint8_t>(spec.dtype.layout);
  record.code_bits = spec.dtype.code_bits;
  record.scale_bytes = spec.dtype.scale_bytes;
  record.offset_bytes = spec.dtype.offset_bytes;
  record.layer = spec.layer;
  record.expert = spec.expert;
  record.rows = spec.rows;
  record.cols = spec.cols;
  record.padded_rows = padded_rows(spec.dtype, spec.rows);
  record.padded_cols = spec.cols;
  record.bytes = tensor_bytes(spec.dtype, spec.rows, spec.cols, what);
  record.slab_stride = slab_stride(spec.dtype, spec.cols, what);
  return record;
}

// Canonical form: members of every object sorted by their names, bytewise.
Json sorted(const Json& value) {
  if (value.is_array()) {
    Json::Array items;
    for (const Json& item : value.as_array()) items.push_back(sorted(item));
    return items;
  }
  if (!value.is_object()) return value;
  Json::Object members;
  for (const auto& [name, member] : value.as_object()) members.emplace_back(name, sorted(member));
  std::sort(members.begin(), members.end(),
            [](const Json::Member& a, const Json::Member& b) { return a.first < b.first; });
  return members;
}

template <class T>
Bytes bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

}  // namespace

struct MicaWriter::State {
  std::string path;
  std::vector<TensorSpec> specs;    // in the order of the file
  std::vector<FileRecord> records;  // the same order
  Bytes tokenizer;
  FileHeader header;

  int descriptor = -1;
  std::optional<OutputFile> out;
  size_t next = 0;  // tensor being written, or to be written next
  bool in_tensor = false;
  uint64_t tensor_end = 0;
  StreamHash128 tensor_hash;

  void place_segment(size_t first, size_t last, uint32_t number, uint64_t& position);
  void plan();
  void start();
};

// Tensors [first, last) behind `position`, which moves to their end.
void MicaWriter::State::place_segment(size_t first, size_t last, uint32_t number,
                                      uint64_t& position) {
  uint64_t size = 0;
  for (size_t i = first; i < last; ++i) {
    records[i].segment = number;
    records[i].offset = checked_align_up(size, kTensorAlignment, path);
    size = checked_add(records[i].offset, records[i].bytes, path);
  }
  const uint64_t start = checked_align_up(position, segment_alignment(size), path);
  for (size_t i = first; i < last; ++i) records[i].offset += start;
  position = checked_add(start, size, path);
}

void MicaWriter::State::plan() {
  header.tensor_count = checked_cast<uint32_t>(specs.size(), path);
  header.directory = {sizeof(FileHeader), specs.size() * sizeof(FileRecord)};
  header.tokenizer = {checked_align_up(header.directory.end(), kRegionAlignment, path),
                      tokenizer.size()};
  header.weights.offset = checked_align_up(header.tokenizer.end(), kSegmentAlignment, path);
  uint64_t position = header.weights.offset;
  uint32_t segments = 0;
  for (size_t first = 0, last; first < specs.size(); first = last) {
    for (last = first; last < specs.size(); ++last) {
      if (segment_key(specs[last]) != segment_key(specs[first])) break;
    }
    place_segment(first, last, segments++, position);
    if (segments == 1) header.weights.offset = records[0].offset;  // a large one may start later
  }
  header.weights.bytes = position - header.weights.offset;
}

void MicaWriter::State::start() {
  if (out) return;
  if (descriptor < 0) {
    out.emplace(path);
  } else {
    out.emplace(descriptor, path);
  }
  out->pad_to(header.tokenizer.offset);  // header and directory come last
  out->write(tokenizer);
}

MicaWriter::MicaWriter(std::string path, std::vector<TensorSpec> specs, Bytes tokenizer_image,
                       int descriptor)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.path = std::move(path);
  s.specs = std::move(specs);
  s.tokenizer = tokenizer_image;
  s.descriptor = descriptor;
  for (const TensorSpec& spec : s.specs) check_spec(spec, s.path);
  std::sort(s.specs.begin(), s.specs.end(),
            [](const TensorSpec& a, const TensorSpec& b) { return file_order(a) < file_order(b); });
  const auto twin = std::adjacent_find(
      s.specs.begin(), s.specs.end(),
      [](const TensorSpec& a, const TensorSpec& b) { return file_order(a) == file_order(b); });
  if (twin != s.specs.end()) {
    fail(ErrorCode::kUsage, s.path, fmt::format("tensor '{}' was given twice", name_of(*twin)));
  }
  for (const TensorSpec& spec : s.specs) s.records.push_back(make_record(spec, s.path));
  s.plan();
}

MicaWriter::~MicaWriter() = default;

const std::vector<TensorSpec>& MicaWriter::specs() const {
  return state_->specs;
}

uint64_t MicaWriter::planned_bytes() const {
  return state_->header.weights.end();
}

void MicaWriter::begin_tensor() {
  State& s = *state_;
  if (s.in_tensor || s.next == s.specs.size()) {
    fail(ErrorCode::kRuntime, s.path,
         s.in_tensor ? fmt::format("tensor '{}' was not ended", name_of(s.specs[s.next]))
                     : fmt::format("expected {} tensors, was given more", s.specs.size()));
  }
  s.start();
  s.out->pad_to(s.records[s.next].offset);
  s.tensor_end = s.records[s.next].offset + s.records[s.next].bytes;
  s.tensor_hash = StreamHash128();
  s.in_tensor = true;
}

void MicaWriter::write(Bytes bytes) {
  State& s = *state_;
  if (!s.in_tensor) fail(ErrorCode::kRuntime, s.path, "bytes were given outside of a tensor");
  if (bytes.size() > s.tensor_end - s.out->size()) {
    fail(ErrorCode::kRuntime, s.path,
         fmt::format("tensor '{}': expected {} bytes, was given more", name_of(s.specs[s.next]),
                     s.records[s.next].bytes));
  }
  s.tensor_hash.update(bytes);
  s.out->write(bytes);
}

void MicaWriter::end_tensor(float relative_error) {
  State& s = *state_;
  if (!s.in_tensor) fail(ErrorCode::kRuntime, s.path, "a tensor was ended that was not begun");
  FileRecord& record = s.records[s.next];
  if (s.out->size() != s.tensor_end) {
    fail(ErrorCode::kRuntime, s.path,
         fmt::format("tensor '{}': expected {} bytes, was given {}", name_of(s.specs[s.next]),
                     record.bytes, record.bytes - (s.tensor_end - s.out->size())));
  }
  record.hash = s.tensor_hash.digest();
  // One NaN for all, so that equal models are equal files.
  record.relative_error = std::isnan(relative_error) ? std::numeric_limits<float>::quiet_NaN()
                                                     : std::max(relative_error, 0.0f);
  s.in_tensor = false;
  ++s.next;
}

void MicaWriter::finish(const Json& metadata) {
  State& s = *state_;
  if (s.in_tensor || s.next != s.specs.size()) {
    fail(ErrorCode::kRuntime, s.path,
         fmt::format("expected {} tensors, was given {}", s.specs.size(), s.next));
  }
  metadata.as_object(s.path + ": metadata");
  const std::string text = sorted(metadata).dump();
  checked_range(text.size(), 2, kMaxMetadataBytes, s.path + ": metadata bytes");
  s.start();
  s.out->pad_to(s.header.weights.end());
  s.out->pad_to(checked_align_up(s.out->size(), kRegionAlignment, s.path));
  s.header.metadata = {s.out->size(), text.size()};
  s.out->write(as_bytes(text));
  s.header.file_bytes = s.out->size();

  std::sort(s.records.begin(), s.records.end(), [](const FileRecord& a, const FileRecord& b) {
    return std::string_view(a.name.data()) < std::string_view(b.name.data());
  });
  const Bytes directory = std::as_bytes(std::span(s.records));
  s.header.directory_hash = hash128(directory);
  s.header.tokenizer_hash = hash128(s.tokenizer);
  s.header.metadata_hash = hash128(as_bytes(text));
  s.header.header_hash = hash_of_header(s.header);
  s.out->write_at(s.header.directory.offset, directory);
  s.out->write_at(0, bytes_of(s.header));
  s.out->commit();
}

}  // namespace mica
