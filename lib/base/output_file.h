// A file that appears whole or not at all: written under a temporary name in the same folder, then
// fsync, rename, fsync of the folder.
//
// Not thread-safe. Unless commit() has returned, the destructor removes the temporary file and an
// old file of the final name is untouched. Short writes are continued; every failure is
// Error(kRuntime) with the path and the system's reason.
#pragma once

#include <string>

#include "lib/base/checked.h"

namespace mica {

// Makes a rename to `path` survive a power cut.
void sync_folder(const std::string& path);

class OutputFile {
 public:
  explicit OutputFile(std::string path);
  // An empty file that the caller has open for writing, and closes: commit() writes what is left.
  // `name` is for error sentences.
  OutputFile(int descriptor, std::string name);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(Bytes bytes);                      // appends
  void write_at(uint64_t offset, Bytes bytes);  // overwrites only what was written before
  void pad_to(uint64_t offset);                 // appends zeros up to `offset`
  uint64_t size() const { return size_; }
  void commit();

 private:
  void flush();

  std::string path_;
  std::string temporary_path_;  // empty: the caller's file, or committed
  std::string buffer_;
  uint64_t size_ = 0;
  int descriptor_ = -1;
};

}  // namespace mica
