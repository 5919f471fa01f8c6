// A file's bytes, mapped read-only, or read into memory where mapping is unwise (network file
// systems that truncate or change files underneath).
//
// The bytes live as long as the object. Reading them from several threads is safe. If the file is
// truncated while mapped, a SIGBUS handler maps zero pages in place of the missing ones and marks
// the file; check() then throws. Call check() after each step that read the bytes and before its
// result is shown. The handler is installed with the first mapping and passes on what is not ours.
#pragma once

#include <string>

#include "lib/base/checked.h"

namespace mica {

enum class LoadMode { kMap, kRead };

class MappedFile {
 public:
  // Throws Error(kRuntime) "PATH: cannot open: No such file or directory" and the like; a directory
  // or other non-regular file is refused.
  static MappedFile open(const std::string& path, LoadMode mode = LoadMode::kMap);

  // Bytes that lie in memory already and stay the caller's: for tests and fuzzers.
  static MappedFile borrow(Bytes bytes, std::string name);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  Bytes bytes() const;
  const std::string& path() const;

  // Throws Error(kRuntime) when the file was truncated or written to while mapped, by the handler's
  // mark or by fstat (size and modification time). Thread-safe; one system call.
  void check() const;

  // Says of a part of bytes() that it will not be read soon: its whole pages leave this process and
  // the system's cache, and are read anew when they are needed after all.
  void release(Bytes part) const;

 private:
  struct State;
  explicit MappedFile(State* state) : state_(state) {}
  State* state_ = nullptr;
};

// The whole of a small text file, at most `limit_bytes`.
std::string read_text_file(const std::string& path, uint64_t limit_bytes);

}  // namespace mica
