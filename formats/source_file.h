// A file of a source: its bytes and the name it has in error sentences.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/base/hash.h"
#include "lib/base/log.h"
#include "lib/base/mapped_file.h"

namespace mica {

struct SourceFile {
  std::string name;
  Bytes bytes;
  std::optional<MappedFile> map;  // owner of the bytes, unless the caller is

  static SourceFile open(const std::string& path);
  // Throws when the file was truncated underneath.
  void check() const {
    if (map) map->check();
  }
};

uint64_t total_bytes(const std::vector<SourceFile>& files);
// XXH3-128 over the bytes of all files in order. Throws Error(kInterrupted) when asked to stop.
Hash128 hash_files(const std::vector<SourceFile>& files, const Progress& progress);

}  // namespace mica
