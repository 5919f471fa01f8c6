// Every reason for which a .mica file is refused: a damage, and the code and sentence that name it.
//
// The checksums are made right again after the damage, unless they are what is tested. The short
// ones are also kept as tests/data/bad/REASON.mica; with MICA_UPDATE_GOLDEN set, this test writes
// them.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <doctest/doctest.h>
#include <filesystem>
#include <functional>

#include "formats/reader.h"
#include "tests/formats/mica_samples.h"
#include "tests/support/error_of.h"

namespace mica::testing {
namespace {

struct BadFile {
  const char* reason;
  ErrorCode code;
  const char* sentence;  // of which this is a part
  std::function<void(FileImage&)> damage;
  bool seal = true;
};

auto header_edit(auto edit) {
  return [edit](FileImage& file) {
    FileHeader header = file.header();
    edit(header);
    file.set_header(header);
  };
}

// Records of tiny_model_specs(), sorted by name.
enum Index : size_t { kEmbedding, kNorm0, kQ0, kDown0, kNorm1, kQ1, kQBias1, kDown1, kLast };

auto record_edit(size_t index, auto edit) {
  return [index, edit](FileImage& file) {
    FileRecord record = file.record(index);
    edit(record);
    file.set_record(index, record);
  };
}

auto text_file(std::string text) {
  return [text](FileImage& file) {
    file.editable().assign(as_bytes(text).begin(), as_bytes(text).end());
  };
}

auto resized(int64_t change) {
  return [change](FileImage& file) { file.editable().resize(file.editable().size() + change); };
}

void set_name(FileRecord& record, std::string_view name) {
  record.name = {};
  std::copy(name.begin(), name.end(), record.name.begin());
}

void set_metadata(FileImage& file, std::string_view text) {
  FileHeader header = file.header();
  header.metadata.bytes = text.size();
  header.file_bytes = header.metadata.end();
  file.editable().resize(header.file_bytes);
  std::memcpy(file.editable().data() + header.metadata.offset, text.data(), text.size());
  file.set_header(header);
}

// Not a .mica file, or one that was cut or changed as a whole.
const std::vector<BadFile> kForeignFiles = {
    {"empty", ErrorCode::kInvalidFile, "expected a .mica file, found an empty file", text_file(""),
     false},
    {"html", ErrorCode::kInvalidFile, "an HTML page",
     text_file("\n<!DOCTYPE HTML>\n<html><body>404 Not Found</body></html>\n"), false},
    {"gguf", ErrorCode::kInvalidFile, "found a GGUF file: `mica convert` makes",
     text_file(std::string("GGUF\3\0\0\0\0\0\0\0\0\0\0\0", 16)), false},
    {"safetensors", ErrorCode::kInvalidFile, "found a safetensors file: `mica convert` takes",
     text_file(std::string("\2\0\0\0\0\0\0\0{}", 10)), false},
    {"zip", ErrorCode::kInvalidFile, "found a ZIP archive or PyTorch checkpoint",
     text_file("PK\3\4"), false},
    {"gzip", ErrorCode::kInvalidFile, "found a gzip archive: unpack it first",
     text_file("\x1f\x8b\x08"), false},
    {"pdf", ErrorCode::kInvalidFile, "expected a .mica file, found a PDF document",
     text_file("%PDF-1.7\n%"), false},
    {"git-lfs-pointer", ErrorCode::kInvalidFile, "found a Git LFS pointer: fetch",
     text_file("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"), false},
    {"json", ErrorCode::kInvalidFile, "found JSON text", text_file("{\"model_type\": \"llama\"}"),
     false},
    {"zeros", ErrorCode::kInvalidFile, "found zeros: a copy or download that did not finish",
     text_file(std::string(300, '\0')), false},
    {"text-mode", ErrorCode::kInvalidFile, "whose line ends were rewritten",
     text_file("\x89MIC\n\x1a\n and so on"), false},
    {"other-bytes", ErrorCode::kInvalidFile, "expected a .mica file, found other bytes",
     text_file("once upon a time"), false},
    {"header-cut", ErrorCode::kInvalidFile, "expected a header of 256 bytes, found only 255",
     [](FileImage& file) { file.editable().resize(255); }, false},
    {"header-checksum", ErrorCode::kVerification, "header: expected checksum",
     [](FileImage& file) {
       file.editable().resize(256);
       file.editable()[200] ^= std::byte{1};
     },
     false},
    {"newer-version", ErrorCode::kUnsupported,
     "header: expected version 1 of the .mica format, found version 2: it needs a newer mica",
     [](FileImage& file) {
       file.editable().resize(256);
       header_edit([](FileHeader& h) { h.version = 2; })(file);
     }},
    {"version-changed", ErrorCode::kUnsupported, "it needs a newer mica, or its header is damaged",
     [](FileImage& file) {
       file.editable().resize(256);
       file.editable()[8] = std::byte{3};
     },
     false},
    {"required-feature", ErrorCode::kUnsupported,
     "expected no required features but 0x0, found 0x8",
     [](FileImage& file) {
       file.editable().resize(256);
       header_edit([](FileHeader& h) { h.required_features = 8; })(file);
     }},
    {"file-cut", ErrorCode::kInvalidFile, "as its header says, found 256 (truncated)",
     [](FileImage& file) { file.editable().resize(256); }},
};

const std::vector<BadFile> kBadHeaders = {
    {"version-zero", ErrorCode::kInvalidFile, "header: version: expected 1, found 0",
     header_edit([](FileHeader& h) { h.version = 0; })},
    {"last-byte-cut", ErrorCode::kInvalidFile, "(truncated)", resized(-1)},
    {"byte-appended", ErrorCode::kInvalidFile, "(something was appended)", resized(1)},
    {"header-bytes", ErrorCode::kInvalidFile, "header_bytes: expected 256, found 512",
     header_edit([](FileHeader& h) { h.header_bytes = 512; })},
    {"directory-outside", ErrorCode::kInvalidFile, "header: directory region: expected",
     header_edit([](FileHeader& h) { h.directory.offset = 1 << 30; })},
    {"directory-in-header", ErrorCode::kInvalidFile, "directory region: offset: expected 256 to",
     header_edit([](FileHeader& h) { h.directory.offset = 192; })},
    {"directory-unaligned", ErrorCode::kInvalidFile,
     "directory region: offset: expected a multiple of 64",
     header_edit([](FileHeader& h) { h.directory.offset += 32; })},
    {"regions-overlap", ErrorCode::kInvalidFile, "tokenizer region: offset: expected 1984 to",
     header_edit([](FileHeader& h) { h.tokenizer.offset -= 256; })},
    {"region-sum-overflows", ErrorCode::kInvalidFile,
     "tokenizer region: expected 18446744073709551615 bytes",
     header_edit([](FileHeader& h) { h.tokenizer.bytes = UINT64_MAX; })},
    {"regions-out-of-order", ErrorCode::kInvalidFile, "metadata region: offset: expected",
     header_edit([](FileHeader& h) {
       h.metadata = {h.tokenizer.offset, 9};
     })},
    {"weights-unaligned", ErrorCode::kInvalidFile,
     "weights region: offset: expected a multiple of 65536",
     header_edit([](FileHeader& h) { h.weights.offset -= 256; })},
    {"metadata-too-short", ErrorCode::kInvalidFile,
     "metadata bytes: expected 2 to 16777216, found 1",
     header_edit([](FileHeader& h) { h.metadata.bytes = 1; })},
    {"stride-too-small", ErrorCode::kInvalidFile, "record_stride: expected 192 to 4096, found 184",
     header_edit([](FileHeader& h) { h.record_stride = 184; })},
    {"stride-too-large", ErrorCode::kInvalidFile,
     "record_stride: expected 192 to 4096, found 4294967288",
     header_edit([](FileHeader& h) { h.record_stride = UINT32_MAX - 7; })},
    {"stride-unaligned", ErrorCode::kInvalidFile,
     "record_stride: expected a multiple of 8, found 196",
     header_edit([](FileHeader& h) { h.record_stride = 196; })},
    {"more-tensors-than-bytes", ErrorCode::kInvalidFile,
     "directory bytes: expected 824633720640, found 1728",
     header_edit([](FileHeader& h) { h.tensor_count = UINT32_MAX; })},
    {"fewer-tensors-than-bytes", ErrorCode::kInvalidFile,
     "directory bytes: expected 1536, found 1728",
     header_edit([](FileHeader& h) { h.tensor_count--; })},
    {"directory-checksum", ErrorCode::kVerification, "directory: expected checksum",
     [](FileImage& file) { file.editable()[300] ^= std::byte{1}; }, false},
    {"metadata-checksum", ErrorCode::kVerification, "metadata: expected checksum",
     [](FileImage& file) { file.editable().back() ^= std::byte{1}; }, false},
    {"metadata-not-json", ErrorCode::kInvalidFile,
     "metadata: ", [](FileImage& file) { set_metadata(file, "{\"a\":}"); }},
    {"metadata-not-an-object", ErrorCode::kInvalidFile, "metadata: expected object, found array",
     [](FileImage& file) { set_metadata(file, "[1,2]"); }},
    {"metadata-key-twice", ErrorCode::kInvalidFile,
     "metadata: ", [](FileImage& file) { set_metadata(file, R"({"a":1,"a":2})"); }},
    {"metadata-not-utf8", ErrorCode::kInvalidFile,
     "metadata: ", [](FileImage& file) { set_metadata(file, "{\"a\":\"\xff\"}"); }},
    {"metadata-too-deep", ErrorCode::kInvalidFile, "levels",
     [](FileImage& file) { set_metadata(file, "{\"a\":" + std::string(100000, '[')); }},
};

const std::vector<BadFile> kBadRecords = {
    {"name-empty", ErrorCode::kInvalidFile, "tensor record 0: expected a name of 1 to 63",
     record_edit(kEmbedding, [](FileRecord& r) { set_name(r, ""); })},
    {"name-without-end", ErrorCode::kInvalidFile, "tensor record 0: expected a name",
     record_edit(kEmbedding, [](FileRecord& r) { set_name(r, std::string(64, 'a')); })},
    {"name-with-escape", ErrorCode::kInvalidFile, "tensor record 0: expected a name",
     record_edit(kEmbedding, [](FileRecord& r) { set_name(r, "a\x1b[31m"); })},
    {"name-goes-on-after-zero", ErrorCode::kInvalidFile, "tensor record 0: expected a name",
     record_edit(kEmbedding, [](FileRecord& r) { r.name[40] = 'x'; })},
    {"names-unsorted", ErrorCode::kInvalidFile,
     "'layers.0.attn.norm': expected names in rising order",
     record_edit(kEmbedding, [](FileRecord& r) { set_name(r, "zzz"); })},
    {"name-twice", ErrorCode::kInvalidFile,
     "expected names in rising order, found it after 'embedding'",
     record_edit(kNorm0, [](FileRecord& r) { set_name(r, "embedding"); })},
    {"role-and-layer-twice", ErrorCode::kInvalidFile,
     "expected one tensor of its role and layer, found",
     record_edit(kDown0, [](FileRecord& r) { r.role = static_cast<uint16_t>(Role::kAttnQ); })},
    {"role-zero", ErrorCode::kInvalidFile, "found role 0 in layer -1",
     record_edit(kEmbedding, [](FileRecord& r) { r.role = 0; })},
    {"role-outside-of-its-layer", ErrorCode::kInvalidFile, "expected a role that fits its layer",
     record_edit(kQ0, [](FileRecord& r) { r.layer = -1; })},
    {"layer-negative", ErrorCode::kInvalidFile, "layer: expected -1 to 65535, found -2",
     record_edit(kQ0, [](FileRecord& r) { r.layer = -2; })},
    {"layer-too-large", ErrorCode::kInvalidFile, "layer: expected -1 to 65535, found 65536",
     record_edit(kQ0, [](FileRecord& r) { r.layer = 65536; })},
    {"expert-negative", ErrorCode::kInvalidFile, "expert: expected -1 to 65535, found -2147483648",
     record_edit(kQ0, [](FileRecord& r) { r.expert = INT32_MIN; })},
    {"type-zero", ErrorCode::kInvalidFile,
     "expected a weight type whose fields agree, found type 0",
     record_edit(kQ0, [](FileRecord& r) { r.type = 0; })},
    {"layout-unknown", ErrorCode::kInvalidFile, "fields agree, found type 16 with layout 2",
     record_edit(kQ0, [](FileRecord& r) { r.layout = 2; })},
    {"code-bits-zero", ErrorCode::kInvalidFile, "fields agree",
     record_edit(kQ0, [](FileRecord& r) { r.type = 77, r.code_bits = 0; })},
    {"scale-bytes-too-many", ErrorCode::kInvalidFile, "fields agree",
     record_edit(kQ0, [](FileRecord& r) { r.type = 77, r.scale_bytes = 5; })},
    {"code-bits-of-a-known-type", ErrorCode::kInvalidFile, "fields agree",
     record_edit(kQ0, [](FileRecord& r) { r.code_bits = 8; })},
    {"group-of-a-known-type", ErrorCode::kInvalidFile, "fields agree",
     record_edit(kQ0, [](FileRecord& r) { r.group = 16; })},
    {"group-zero", ErrorCode::kInvalidFile, "fields agree",
     record_edit(kQ0, [](FileRecord& r) { r.type = 77, r.group = 0; })},
    {"group-in-rows", ErrorCode::kInvalidFile, "fields agree",
     record_edit(kNorm0, [](FileRecord& r) { r.group = 32; })},
    {"group-does-not-divide", ErrorCode::kInvalidFile, "divisible by group 64, found 32",
     record_edit(kQ0, [](FileRecord& r) { r.group = 64; })},
    {"rows-zero", ErrorCode::kInvalidFile,
     "'layers.0.attn.q': rows: expected 1 to 2147483647, found 0",
     record_edit(kQ0, [](FileRecord& r) { r.rows = 0; })},
    {"cols-too-large", ErrorCode::kInvalidFile, "cols: expected 1 to 2147483647, found 4294967296",
     record_edit(kQ0, [](FileRecord& r) { r.cols = uint64_t{1} << 32; })},
    {"padded-rows", ErrorCode::kInvalidFile, "padded rows: expected 32, found 20",
     record_edit(kQ0, [](FileRecord& r) { r.padded_rows = 20; })},
    {"padded-cols", ErrorCode::kInvalidFile, "padded cols: expected 32, found 64",
     record_edit(kQ0, [](FileRecord& r) { r.padded_cols = 64; })},
    {"slab-stride", ErrorCode::kInvalidFile, "slab stride: expected 320, found 256",
     record_edit(kQ0, [](FileRecord& r) { r.slab_stride = 256; })},
    {"bytes-too-few", ErrorCode::kInvalidFile, "bytes: expected 640, found 320",
     record_edit(kQ0, [](FileRecord& r) { r.bytes = 320; })},
    {"rows-beyond-the-file", ErrorCode::kInvalidFile, "bytes: expected 42949672640, found 640",
     record_edit(kQ0, [](FileRecord& r) { r.rows = r.padded_rows = 0x7ffffff0; })},
    {"offset-unaligned", ErrorCode::kInvalidFile, "offset: expected a multiple of 256",
     record_edit(kQ0, [](FileRecord& r) { r.offset += 64; })},
    {"offset-before-weights", ErrorCode::kInvalidFile, "expected a place inside bytes 65536 to",
     record_edit(kEmbedding, [](FileRecord& r) { r.offset -= 256; })},
    {"offset-behind-weights", ErrorCode::kInvalidFile, "expected a place inside bytes 65536 to",
     record_edit(kQ0, [](FileRecord& r) { r.offset = UINT64_MAX & ~uint64_t{255}; })},
    {"tensor-longer-than-weights", ErrorCode::kInvalidFile,
     "'output_norm': expected a place inside",
     header_edit([](FileHeader& h) { h.weights.bytes -= 1; })},
    {"tensors-overlap", ErrorCode::kInvalidFile, "(overlap)",
     [](FileImage& file) {
       FileRecord norm = file.record(kNorm0);
       norm.offset = file.record(kQ0).offset;
       file.set_record(kNorm0, norm);
     }},
    {"segment-skipped", ErrorCode::kInvalidFile,
     "expected its segment to go on or the next one to begin",
     record_edit(kDown0, [](FileRecord& r) { r.segment = 3; })},
    {"segment-not-from-zero", ErrorCode::kInvalidFile,
     "found segment 1 with layer -1 after 0 segments",
     record_edit(kEmbedding, [](FileRecord& r) { r.segment = 1; })},
    {"segment-of-two-layers", ErrorCode::kInvalidFile,
     "expected its segment to go on or the next one",
     record_edit(kDown0, [](FileRecord& r) { r.layer = 5; })},
    {"segment-unaligned", ErrorCode::kInvalidFile, "offset: expected a multiple of 65536",
     record_edit(kEmbedding, [](FileRecord& r) { r.offset += 256; })},
    {"error-negative", ErrorCode::kInvalidFile, "expected a relative error of 0 or more, found -1",
     record_edit(kQ0, [](FileRecord& r) { r.relative_error = -1; })},
    {"error-infinite", ErrorCode::kInvalidFile, "expected a relative error of 0 or more, found inf",
     record_edit(kQ0, [](FileRecord& r) { r.relative_error = HUGE_VALF; })},
};

FileImage make_bad(const BadFile& bad) {
  static const FileImage good = FileImage::of_model(tiny_model_specs());
  FileImage file = good;
  bad.damage(file);
  if (bad.seal) file.seal();
  return file;
}

void check_refused(const BadFile& bad, const std::function<MicaFile()>& open) {
  CAPTURE(bad.reason);
  const Error error = error_of(open);
  CHECK(error.code() == bad.code);
  CHECK(error.message().starts_with("x.mica: "));
  CHECK_MESSAGE((error.message().find(bad.sentence) != std::string::npos), error.message());
}

TEST_CASE("every kind of damage is refused with a sentence that names it") {
  size_t count = 0;
  for (const auto* list : {&kForeignFiles, &kBadHeaders, &kBadRecords}) {
    for (const BadFile& bad : *list) {
      const FileImage file = make_bad(bad);
      check_refused(bad,
                    [&] { return MicaFile::open(MappedFile::borrow(file.bytes(), "x.mica")); });
      ++count;
    }
  }
  CHECK(count >= 70);
}

TEST_CASE("the bad files that are kept are refused, and are what this table makes") {
  const std::string folder = MICA_SOURCE_ROOT "/tests/data/bad/";
  const TempFolder here;
  const auto previous = std::filesystem::current_path();
  for (const BadFile& bad : kForeignFiles) {
    const std::string path = folder + bad.reason + ".mica";
    const FileImage file = make_bad(bad);
    if (std::getenv("MICA_UPDATE_GOLDEN") != nullptr) {
      std::ofstream(path, std::ios::binary) << as_text(file.bytes());
    }
    std::filesystem::copy_file(path, here.file("x.mica"),
                               std::filesystem::copy_options::overwrite_existing);
    CHECK(here.get("x.mica") == as_text(file.bytes()));
    std::filesystem::current_path(here.path());
    check_refused(bad, [] { return MicaFile::open("x.mica"); });
    std::filesystem::current_path(previous);
  }
}

TEST_CASE("what a newer version may add is read and verified") {
  FileImage file = FileImage::of_model(tiny_model_specs());
  FileHeader header = file.header();
  header.optional_features = uint64_t{1} << 63;
  header.reserved[5] = 1;
  header.sha256[0] = 7;
  file.set_header(header);
  FileRecord record = file.record(kQ0);
  record.type = 77;  // a weight type of tomorrow
  record.reserved1[3] = 9;
  file.set_record(kQ0, record);
  FileRecord role = file.record(kQBias1);
  role.role = 999;
  file.set_record(kQBias1, role);
  file.editable()[header.tokenizer.end() + 10] = std::byte{1};  // data in a gap
  file.seal();
  const MicaFile opened = MicaFile::open(MappedFile::borrow(file.bytes(), "x.mica"));
  CHECK(opened.find_damage({}).empty());
  CHECK(opened.find(Role::kAttnQ, 0)->dtype.type == 77);
  CHECK(opened.find(Role{999}, 1) != nullptr);
}

TEST_CASE("longer records of a newer version are read") {
  const FileImage old = FileImage::of_model(one_segment_specs());
  FileHeader header = old.header();
  const uint64_t count = header.tensor_count;
  FileImage file = old;
  header.record_stride += 64;
  header.directory.bytes = count * header.record_stride;
  REQUIRE(header.directory.end() <= header.weights.offset);
  header.tokenizer.offset = 4096;
  for (size_t i = 0; i < count; ++i) {
    const FileRecord record = old.record(i);
    std::byte* place = file.editable().data() + header.directory.offset + i * header.record_stride;
    std::memcpy(place, &record, sizeof(record));
    std::memset(place + sizeof(record), 0xee, 64);
  }
  std::memset(file.editable().data() + header.directory.end(), 0, 4096 - header.directory.end());
  std::memcpy(file.editable().data() + 4096, "tokenizer", 9);
  file.set_header(header);
  file.seal();
  const MicaFile opened = MicaFile::open(MappedFile::borrow(file.bytes(), "x.mica"));
  CHECK(opened.find_damage({}).empty());
  CHECK(opened.tensors().size() == count);
  CHECK(as_text(opened.tokenizer_image()) == "tokenizer");
}

}  // namespace
}  // namespace mica::testing
