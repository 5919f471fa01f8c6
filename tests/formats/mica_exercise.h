// What sweeps and fuzzer do with damaged .mica bytes: make the checksums right again, so that the
// checks behind them are reached, and use everything a reader offers.
#pragma once

#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>

#include "formats/mica_layout.h"
#include "formats/reader.h"
#include "lib/base/error.h"

namespace mica::testing {

// Makes the checksums of header, directory, tokenizer and metadata agree with whatever bytes they
// cover; a region that lies outside of the file keeps its own.
inline void seal(std::span<std::byte> file) {
  if (file.size() < sizeof(FileHeader)) return;
  FileHeader header;
  std::memcpy(&header, file.data(), sizeof(header));
  const auto reseal = [&](const Region& region, Hash128& hash) {
    if (region.offset > file.size() || region.bytes > file.size() - region.offset) return;
    hash = hash128(file.subspan(region.offset, region.bytes));
  };
  reseal(header.directory, header.directory_hash);
  reseal(header.tokenizer, header.tokenizer_hash);
  reseal(header.metadata, header.metadata_hash);
  header.header_hash = hash_of_header(header);
  std::memcpy(file.data(), &header, sizeof(header));
}

// Opens the bytes and reads the ends of all they hold; false when they were refused. What was
// opened must be usable: then even an Error gets out.
inline bool exercise(Bytes bytes) {
  std::optional<MicaFile> file;
  try {
    file = MicaFile::open(MappedFile::borrow(bytes, "damaged.mica"));
  } catch (const Error&) {
    return false;
  }
  unsigned sum = 0;
  const auto touch = [&](Bytes part) {
    if (!part.empty())
      sum += static_cast<unsigned>(part.front()) + static_cast<unsigned>(part.back());
  };
  for (const TensorRecord& tensor : file->tensors()) {
    touch(file->data(tensor));
    if (file->find(tensor.role, tensor.layer, tensor.expert) != &tensor) {
      throw std::logic_error("find() does not find " + tensor.name);
    }
  }
  for (const Segment& segment : file->segments()) {
    touch(checked_slice(bytes, segment.offset, segment.bytes, "segment"));
  }
  touch(file->tokenizer_image());
  volatile unsigned keep = sum;
  static_cast<void>(keep);
  file->find_damage({});
  return true;
}

}  // namespace mica::testing
