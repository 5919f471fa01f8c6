// One wrong byte anywhere: opening fails or find_damage names the piece that the byte belongs to.
#include <algorithm>
#include <doctest/doctest.h>

#include "formats/reader.h"
#include "tests/formats/mica_samples.h"
#include "tests/support/error_of.h"

namespace mica::testing {
namespace {

struct Piece {
  std::string name;
  uint64_t begin;
  uint64_t end;
  bool found_by_open = false;
};

// All of the file: pieces and, between them, padding.
std::vector<Piece> pieces_of(const FileImage& file) {
  const FileHeader header = file.header();
  std::vector<Piece> pieces = {{"header", 0, sizeof(FileHeader), true},
                               {"directory", header.directory.offset, header.directory.end(), true},
                               {"tokenizer", header.tokenizer.offset, header.tokenizer.end()},
                               {"metadata", header.metadata.offset, header.metadata.end(), true}};
  for (size_t i = 0; i < header.tensor_count; ++i) {
    const FileRecord record = file.record(i);
    pieces.push_back({record.name.data(), record.offset, record.offset + record.bytes});
  }
  std::sort(pieces.begin(), pieces.end(),
            [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
  std::vector<Piece> all;
  for (const Piece& piece : pieces) {
    const uint64_t end = all.empty() ? 0 : all.back().end;
    if (end < piece.begin) all.push_back({"padding before " + piece.name, end, piece.begin});
    all.push_back(piece);
  }
  return all;
}

void check_named(const FileImage& file, const Piece& piece, uint64_t at) {
  const auto open = [&] { return MicaFile::open(MappedFile::borrow(file.bytes(), "x.mica")); };
  if (piece.found_by_open) {
    const Error error = error_of(open);
    // Magic and version are looked at first; bit 0 of byte 8 makes version 0 of version 1.
    const std::string expected = at < 8              ? "expected a .mica file"
                                 : at > 8 && at < 12 ? "or its header is damaged"
                                                     : piece.name + ": expected checksum";
    if (error.message().find(expected) == std::string::npos) {
      FAIL_CHECK("byte " << at << ": expected '" << expected << "', found '" << error.message()
                         << "'");
    }
    return;
  }
  const std::vector<std::string> damage = open().find_damage({});
  if (damage != std::vector<std::string>{piece.name}) {
    FAIL_CHECK("byte " << at << ": expected '" << piece.name << "', found "
                       << (damage.empty() ? "nothing" : damage[0]));
  }
}

// Flips every `step`th byte and those at the borders of pieces.
void check_every_byte(FileImage file, uint64_t step) {
  std::vector<std::byte>& bytes = file.editable();
  for (const Piece& piece : pieces_of(file)) {
    for (uint64_t at = piece.begin; at < piece.end; ++at) {
      if (at % step != 0 && at != piece.begin && at + 1 != piece.end) continue;
      const std::byte old = bytes[at];
      bytes[at] ^= std::byte(1 << at % 8);
      check_named(file, piece, at);
      bytes[at] = old;
    }
  }
}

TEST_CASE("every wrong byte of a file of one segment is found and named") {
  check_every_byte(FileImage::of_model(one_segment_specs()), 1);
}

TEST_CASE("wrong bytes of a file of four segments are found and named") {
  check_every_byte(FileImage::of_model(tiny_model_specs()), 61);
}

TEST_CASE("bytes behind the metadata are padding") {
  FileImage file = FileImage::of_model(one_segment_specs());
  FileHeader header = file.header();
  header.file_bytes += 2;
  file.editable().resize(header.file_bytes);
  file.set_header(header);
  file.seal();
  const auto damage = [&] {
    return MicaFile::open(MappedFile::borrow(file.bytes(), "x.mica")).find_damage({});
  };
  CHECK(damage().empty());
  file.editable().back() = std::byte{1};
  CHECK(damage() == std::vector<std::string>{"padding at the end"});
}

TEST_CASE("several damages are all named, in the order of the file") {
  FileImage file = FileImage::of_model(tiny_model_specs());
  const FileHeader header = file.header();
  file.editable()[header.metadata.offset - 1] = std::byte{1};
  file.editable()[header.tokenizer.offset] ^= std::byte{1};
  file.editable()[file.record(2).offset] ^= std::byte{1};
  const MicaFile opened = MicaFile::open(MappedFile::borrow(file.bytes(), "x.mica"));
  CHECK(opened.find_damage({}) ==
        std::vector<std::string>{"tokenizer", "layers.0.attn.q", "padding before metadata"});
}

TEST_CASE("a file that changes after it was opened is not verified against what it became") {
  FileImage file = FileImage::of_model(one_segment_specs());
  const MicaFile opened = MicaFile::open(MappedFile::borrow(file.bytes(), "x.mica"));
  FileRecord record = file.record(0);
  record.relative_error = 0.5f;
  file.set_record(0, record);
  CHECK(opened.find_damage({}) == std::vector<std::string>{"directory"});
  file.seal();
  CHECK(opened.find_damage({}) == std::vector<std::string>{"header"});
}

}  // namespace
}  // namespace mica::testing
