#include "lib/base/output_file.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "lib/base/error.h"

namespace mica {
namespace {

// A huge page: where a file system's cache has such pages, the file can be mapped with them.
constexpr size_t kBufferBytes = 2 << 20;
constexpr int kMaxNameTries = 100;
// Longest part of the final name kept in the temporary one: NAME_MAX is 255.
constexpr size_t kMaxNameBytes = 200;

[[noreturn]] void fail(const std::string& path, const char* action, int reason) {
  throw Error(ErrorCode::kRuntime, fmt::format("{}: cannot {}: {}", path, action,
                                               std::generic_category().message(reason)));
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? "." : path.substr(0, slash + 1);
}

void refuse_irregular(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode)) return;
  throw Error(ErrorCode::kRuntime,
              fmt::format("{}: cannot write: expected a regular file or none, found a {}", path,
                          S_ISDIR(status.st_mode) ? "directory" : "special file"));
}

void write_all(int descriptor, const std::string& path, uint64_t offset, Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail(path, "write", written < 0 ? errno : EIO);
    offset += static_cast<uint64_t>(written);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

}  // namespace

// Some file systems cannot and say EINVAL.
void sync_folder(const std::string& path) {
  const int folder = open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;  // a folder may be writable and yet not readable
  const int error = fsync(folder) == 0 ? 0 : errno;
  close(folder);
  if (error != 0 && error != EINVAL) fail(path, "sync its folder", error);
}

OutputFile::OutputFile(std::string path) : path_(std::move(path)) {
  if (path_.empty() || path_.back() == '/') fail(path_, "write", path_.empty() ? ENOENT : EISDIR);
  refuse_irregular(path_);
  const size_t slash = path_.rfind('/');
  const size_t name_start = slash == path_.npos ? 0 : slash + 1;
  const std::string stem = fmt::format("{}.{}.tmp-{}", path_.substr(0, name_start),
                                       path_.substr(name_start, kMaxNameBytes), getpid());
  buffer_.reserve(kBufferBytes);
  for (int attempt = 0; descriptor_ < 0; ++attempt) {
    temporary_path_ = attempt == 0 ? stem : fmt::format("{}-{}", stem, attempt);
    descriptor_ = ::open(temporary_path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && (errno != EEXIST || attempt == kMaxNameTries))
      fail(path_, "create", errno);
  }
}

OutputFile::OutputFile(int descriptor, std::string name)
    : path_(std::move(name)), descriptor_(descriptor) {
  buffer_.reserve(kBufferBytes);
}

OutputFile::~OutputFile() {
  if (temporary_path_.empty()) return;
  if (descriptor_ >= 0) close(descriptor_);
  unlink(temporary_path_.c_str());
}

// All bytes pass through the buffer: a system call that met a cut mapping would say "Bad address",
// while a copy lets MappedFile notice.
void OutputFile::write(Bytes bytes) {
  if (descriptor_ < 0) fail(path_, "write", EBADF);
  while (!bytes.empty()) {
    const size_t part = std::min(bytes.size(), kBufferBytes - buffer_.size());
    buffer_.append(as_text(bytes.first(part)));
    size_ += part;
    bytes = bytes.subspan(part);
    if (buffer_.size() == kBufferBytes) flush();
  }
}

void OutputFile::write_at(uint64_t offset, Bytes bytes) {
  if (descriptor_ < 0) fail(path_, "write", EBADF);
  if (offset > size_ || bytes.size() > size_ - offset) {
    throw Error(ErrorCode::kRuntime,
                fmt::format("{}: cannot overwrite {} bytes at offset {}: {} bytes were written",
                            path_, bytes.size(), offset, size_));
  }
  flush();
  write_all(descriptor_, path_, offset, bytes);
}

void OutputFile::pad_to(uint64_t offset) {
  static constexpr std::byte kZeros[4096] = {};
  while (size_ < offset) {
    write(Bytes(kZeros).first(std::min<uint64_t>(sizeof(kZeros), offset - size_)));
  }
}

void OutputFile::commit() {
  flush();
  if (temporary_path_.empty()) {
    descriptor_ = -1;
    return;
  }
  if (fsync(descriptor_) != 0) fail(path_, "sync", errno);
  const int descriptor = std::exchange(descriptor_, -1);
  if (close(descriptor) != 0) fail(path_, "close", errno);
  if (rename(temporary_path_.c_str(), path_.c_str()) != 0) fail(path_, "rename into place", errno);
  temporary_path_.clear();
  sync_folder(path_);
}

void OutputFile::flush() {
  if (descriptor_ < 0) fail(path_, "write", EBADF);
  write_all(descriptor_, path_, size_ - buffer_.size(), as_bytes(buffer_));
  buffer_.clear();
}

}  // namespace mica
