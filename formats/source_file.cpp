#include "formats/source_file.h"

#include <algorithm>

#include "lib/base/error.h"

namespace mica {

SourceFile SourceFile::open(const std::string& path) {
  SourceFile file{path, {}, MappedFile::open(path)};
  file.bytes = file.map->bytes();
  return file;
}

uint64_t total_bytes(const std::vector<SourceFile>& files) {
  uint64_t total = 0;
  for (const SourceFile& file : files) total += file.bytes.size();
  return total;
}

Hash128 hash_files(const std::vector<SourceFile>& files, const Progress& progress) {
  constexpr uint64_t kStep = 16 << 20;
  const uint64_t total = total_bytes(files);
  uint64_t done = 0;
  StreamHash128 hash;
  for (const SourceFile& file : files) {
    for (uint64_t at = 0; at < file.bytes.size(); at += kStep) {
      const Bytes piece = file.bytes.subspan(at, std::min(kStep, file.bytes.size() - at));
      hash.update(piece);
      done += piece.size();
      if (progress && !progress(done, total)) {
        throw Error(ErrorCode::kInterrupted, "interrupted while hashing " + file.name);
      }
    }
    file.check();
  }
  return hash.digest();
}

}  // namespace mica
