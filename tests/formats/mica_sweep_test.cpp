// Damaged files by the hundred thousand: no crash, no exception but Error, no allocation that the
// file's size does not bound.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <cstddef>
#include <cstring>
#include <doctest/doctest.h>

#include "tests/formats/mica_exercise.h"
#include "tests/formats/mica_samples.h"
#include "tests/support/counting_new.h"

namespace mica::testing {
namespace {

// A record of 192 bytes in the file becomes a TensorRecord (with a longer name on the heap), an
// entry of three index vectors and a piece of find_damage; sentences, the state of a checksum and
// small objects come on top.
constexpr int64_t kBytesPerFileByte = 4;
constexpr int64_t kFixedBytes = 64 << 10;

class Sweep {
 public:
  explicit Sweep(std::vector<TensorSpec> specs) : good(FileImage::of_model(std::move(specs))) {}
  ~Sweep() { MESSAGE(files_ << " files, " << opened_ << " of them opened"); }

  void try_bytes(Bytes bytes) {
    const int64_t before = allocated_bytes;
    reset_peak();
    opened_ += exercise(bytes);
    const int64_t limit = kFixedBytes + kBytesPerFileByte * std::ssize(bytes);
    if (peak_bytes - before > limit || allocated_bytes != before) {
      FAIL_CHECK("file " << files_ << ": " << peak_bytes - before << " bytes were allocated, "
                         << allocated_bytes - before << " of them stay");
    }
    ++files_;
  }

  // As it is, and with checksums that agree.
  void try_both(FileImage& file) {
    try_bytes(file.bytes());
    const FileHeader header = file.header();
    file.seal();
    try_bytes(file.bytes());
    file.set_header(header);
  }

  uint64_t files() const { return files_; }
  uint64_t opened() const { return opened_; }
  const FileImage good;

 private:
  uint64_t files_ = 0;
  uint64_t opened_ = 0;
};

TEST_CASE("a file cut at any byte is refused") {
  Sweep sweep(one_segment_specs());
  for (uint64_t size = 0; size < sweep.good.bytes().size(); ++size) {
    sweep.try_bytes(sweep.good.bytes().first(size));
  }
  CHECK(sweep.files() > 65000);
  CHECK(sweep.opened() == 0);
}

TEST_CASE("a file cut at any byte whose header agrees with its size is refused") {
  Sweep sweep(one_segment_specs());
  FileImage file = sweep.good;
  for (uint64_t size = file.bytes().size() - 1; size >= sizeof(FileHeader); --size) {
    FileHeader header = sweep.good.header();
    header.file_bytes = size;
    file.editable().resize(size);
    file.set_header(header);
    file.seal();
    sweep.try_bytes(file.bytes());
  }
  CHECK(sweep.opened() == 0);
}

TEST_CASE("no wrong bit of header, directory, tokenizer or metadata does harm") {
  Sweep sweep(tiny_model_specs());
  const FileHeader header = sweep.good.header();
  FileImage file = sweep.good;
  for (const Region& region : {Region{0, header.tokenizer.end()}, header.metadata}) {
    for (uint64_t bit = 8 * region.offset; bit < 8 * region.end(); ++bit) {
      file.editable()[bit / 8] ^= std::byte(1 << bit % 8);
      sweep.try_both(file);
      file.editable()[bit / 8] ^= std::byte(1 << bit % 8);
    }
  }
  CHECK(sweep.files() > 2 * 8 * (256 + 9 * 192));
}

// A number of the file, 1 to 8 bytes.
struct Field {
  uint64_t offset;
  int bytes;
};

#define MICA_FIELD(type, member)                 \
  Field {                                        \
    offsetof(type, member), sizeof(type::member) \
  }

std::vector<Field> header_fields() {
  std::vector<Field> fields = {
      MICA_FIELD(FileHeader, file_bytes), MICA_FIELD(FileHeader, required_features),
      MICA_FIELD(FileHeader, tensor_count), MICA_FIELD(FileHeader, record_stride)};
  for (const size_t region : {offsetof(FileHeader, directory), offsetof(FileHeader, tokenizer),
                              offsetof(FileHeader, weights), offsetof(FileHeader, metadata)}) {
    fields.push_back({region, 8});
    fields.push_back({region + 8, 8});
  }
  return fields;
}

std::vector<Field> record_fields(size_t index) {
  std::vector<Field> fields = {
      {offsetof(FileRecord, name), 1},        MICA_FIELD(FileRecord, role),
      MICA_FIELD(FileRecord, type),           MICA_FIELD(FileRecord, group),
      MICA_FIELD(FileRecord, layout),         MICA_FIELD(FileRecord, code_bits),
      MICA_FIELD(FileRecord, scale_bytes),    MICA_FIELD(FileRecord, offset_bytes),
      MICA_FIELD(FileRecord, segment),        MICA_FIELD(FileRecord, layer),
      MICA_FIELD(FileRecord, expert),         MICA_FIELD(FileRecord, rows),
      MICA_FIELD(FileRecord, cols),           MICA_FIELD(FileRecord, padded_rows),
      MICA_FIELD(FileRecord, padded_cols),    MICA_FIELD(FileRecord, offset),
      MICA_FIELD(FileRecord, bytes),          MICA_FIELD(FileRecord, slab_stride),
      MICA_FIELD(FileRecord, relative_error),
  };
  for (Field& field : fields) field.offset += sizeof(FileHeader) + index * sizeof(FileRecord);
  return fields;
}

uint64_t load(const FileImage& file, Field field) {
  uint64_t value = 0;
  std::memcpy(&value, file.bytes().data() + field.offset, field.bytes);
  return value;
}

void store(FileImage& file, Field field, uint64_t value) {
  std::memcpy(file.editable().data() + field.offset, &value, field.bytes);
}

// Values at which sums, products, casts and comparisons turn over; cut to the field's size.
std::vector<uint64_t> boundary_values(uint64_t old, uint64_t file_bytes) {
  return {
      0,          1,          old - 1,    old + 1,   old * 2,           file_bytes,    0x7fffffff,
      0x80000000, 0xffffffff, UINT64_MAX, INT64_MAX, uint64_t{1} << 63, ~uint64_t{255}};
}

void try_pairs(Sweep& sweep, const std::vector<Field>& fields) {
  FileImage file = sweep.good;
  const uint64_t file_bytes = file.bytes().size();
  for (size_t a = 0; a < fields.size(); ++a) {
    const uint64_t old_a = load(file, fields[a]);
    for (const uint64_t value_a : boundary_values(old_a, file_bytes)) {
      store(file, fields[a], value_a);
      for (size_t b = a + 1; b < fields.size(); ++b) {
        const uint64_t old_b = load(file, fields[b]);
        for (const uint64_t value_b : boundary_values(old_b, file_bytes)) {
          store(file, fields[b], value_b);
          const FileHeader header = file.header();
          file.seal();
          sweep.try_bytes(file.bytes());
          file.set_header(header);
        }
        store(file, fields[b], old_b);
      }
    }
    store(file, fields[a], old_a);
  }
}

TEST_CASE("no pair of boundary values in header and one record does harm") {
  Sweep sweep(tiny_model_specs());
  std::vector<Field> fields = header_fields();
  const std::vector<Field> record = record_fields(2);  // layers.0.attn.q: panels
  fields.insert(fields.end(), record.begin(), record.end());
  try_pairs(sweep, fields);
  CHECK(sweep.files() > 70000);
}

TEST_CASE("no pair of boundary values in two neighbouring records does harm") {
  Sweep sweep(one_segment_specs());
  std::vector<Field> fields = record_fields(0);
  const std::vector<Field> record = record_fields(1);
  fields.insert(fields.end(), record.begin(), record.end());
  try_pairs(sweep, fields);
  CHECK(sweep.files() > 70000);
}

// Metadata is the one part whose form in memory is larger than its text: a number of two characters
// becomes a Json of 40 bytes, in vectors that grow by doubling.
TEST_CASE("the memory of any metadata is bounded by its size") {
  constexpr int64_t kBytesPerCharacter = 3 * sizeof(Json) / 2;
  for (const char* item : {"0,", "[],", "{},", "\"\",", "1.5,"}) {
    FileImage file = FileImage::of_model(one_segment_specs());
    FileHeader header = file.header();
    std::string text = "{\"a\":[";
    while (text.size() < (1 << 20)) text += item;
    text.back() = ']';
    text += '}';
    header.metadata.bytes = text.size();
    header.file_bytes = header.metadata.end();
    file.editable().resize(header.file_bytes);
    std::memcpy(file.editable().data() + header.metadata.offset, text.data(), text.size());
    file.set_header(header);
    file.seal();
    const int64_t before = allocated_bytes;
    reset_peak();
    CHECK(exercise(file.bytes()));
    CHECK(peak_bytes - before < kFixedBytes + kBytesPerCharacter * std::ssize(text));
  }
}

}  // namespace
}  // namespace mica::testing
