#include "lib/base/mapped_file.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <memory>
#include <mutex>
#include <optional>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "lib/base/aligned_buffer.h"
#include "lib/base/error.h"

namespace mica {
namespace {

// The mappings, where a signal handler can read them. A slot is claimed by `taken`, and seen by the
// handler from the moment `base` is set until it is cleared.
struct Slot {
  std::atomic<bool> taken;
  std::atomic<uintptr_t> base;
  std::atomic<size_t> size;
  std::atomic<bool> damaged;
};

// The one mutable global of the library: a signal handler has no other way to know.
Slot slots[1024];
struct sigaction previous_action;
uintptr_t page_mask;
static_assert(std::atomic<uintptr_t>::is_always_lock_free);

Slot* find_slot(uintptr_t address) {
  for (Slot& slot : slots) {
    const uintptr_t base = slot.base.load(std::memory_order_acquire);
    const size_t size = slot.size.load(std::memory_order_relaxed);
    if (base != 0 && address >= base && address - base < size) return &slot;
  }
  return nullptr;
}

// Puts zero pages in place of the missing one and of all that follow, which are missing too.
// The system call is made directly: sanitizers' wrappers are not meant for signal handlers.
bool repair(uintptr_t address) {
  Slot* slot = find_slot(address);
  if (slot == nullptr) return false;
  slot->damaged.store(true, std::memory_order_release);
  const uintptr_t page = address & page_mask;
  const size_t rest = slot->base.load(std::memory_order_relaxed) +
                      slot->size.load(std::memory_order_relaxed) - page;
  return syscall(SYS_mmap, page, rest, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
         -1;
}

void handle_sigbus(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const bool by_kernel = info->si_code > 0;
  if (by_kernel && repair(reinterpret_cast<uintptr_t>(info->si_addr))) {
    errno = saved_errno;
    return;
  }
  if (previous_action.sa_flags & SA_SIGINFO) {
    previous_action.sa_sigaction(signal, info, context);
  } else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
    previous_action.sa_handler(signal);
  } else if (by_kernel || previous_action.sa_handler == SIG_DFL) {
    ::signal(SIGBUS, SIG_DFL);
    raise(SIGBUS);  // delivered when this handler returns
  }
  errno = saved_errno;
}

void install_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    page_mask = ~(static_cast<uintptr_t>(sysconf(_SC_PAGESIZE)) - 1);
    struct sigaction action = {};
    action.sa_sigaction = handle_sigbus;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &previous_action);
  });
}

[[noreturn]] void fail(const std::string& path, std::string_view action, int reason) {
  throw Error(ErrorCode::kRuntime, fmt::format("{}: cannot {}: {}", path, action,
                                               std::generic_category().message(reason)));
}

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags)
      : value_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags)) {
    if (value_ < 0) fail(path, "open", errno);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(value_); }
  operator int() const { return value_; }

 private:
  int value_;
};

// Reads until `size` bytes or the end of the file; returns how many.
size_t read_some(int descriptor, const std::string& path, void* out, size_t size) {
  constexpr size_t kMaxChunk = 1 << 30;
  size_t done = 0;
  while (done < size) {
    const ssize_t got =
        read(descriptor, static_cast<char*>(out) + done, std::min(size - done, kMaxChunk));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path, "read", errno);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

struct stat status_of(int descriptor, const std::string& path) {
  struct stat status;
  if (fstat(descriptor, &status) != 0) fail(path, "examine", errno);
  return status;
}

}  // namespace

struct MappedFile::State {
  // O_NONBLOCK: opening a pipe must be refused, not waited for.
  State(const std::string& path, LoadMode mode)
      : path(path), descriptor(std::in_place, path, O_NONBLOCK) {
    opened = status_of(*descriptor, path);
    if (!S_ISREG(opened.st_mode)) {
      throw Error(ErrorCode::kRuntime,
                  fmt::format("{}: cannot open: expected a regular file, found a {}", path,
                              S_ISDIR(opened.st_mode) ? "directory" : "special file"));
    }
    size = static_cast<size_t>(opened.st_size);
    if (size == 0) return;
    if (mode == LoadMode::kRead) {
      read_whole();
    } else {
      map();
    }
  }

  State(Bytes bytes, std::string name)
      : path(std::move(name)), data(bytes.data()), size(bytes.size()) {}

  ~State() {
    if (slot == nullptr) return;
    slot->base.store(0, std::memory_order_release);
    munmap(const_cast<std::byte*>(data), size);
    slot->taken.store(false, std::memory_order_release);
  }

  void read_whole() {
    buffer = AlignedBuffer(size);
    const size_t got = read_some(*descriptor, path, buffer.data(), size);
    if (got < size) fail_truncated(got);
    data = buffer.data();
  }

  void map() {
    install_handler();
    Slot* free_slot = std::find_if(std::begin(slots), std::end(slots), [](Slot& candidate) {
      return !candidate.taken.exchange(true, std::memory_order_acquire);
    });
    if (free_slot == std::end(slots)) {
      throw Error(ErrorCode::kRuntime,
                  fmt::format("{}: cannot map: expected at most {} mapped files, found more", path,
                              std::size(slots)));
    }
    void* pages = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, *descriptor, 0);
    if (pages == MAP_FAILED) {
      const int reason = errno;
      free_slot->taken.store(false, std::memory_order_release);
      fail(path, "map", reason);
    }
    // A hint, which makes Linux read the file into huge pages where its file system has them (ext4
    // from 6.16, XFS from 5.18): fewer to look up, for this process and later ones.
    madvise(pages, size, MADV_HUGEPAGE);
    slot = free_slot;
    data = static_cast<const std::byte*>(pages);
    slot->damaged.store(false, std::memory_order_relaxed);
    slot->size.store(size, std::memory_order_relaxed);
    slot->base.store(reinterpret_cast<uintptr_t>(pages), std::memory_order_release);
  }

  [[noreturn]] void fail_truncated(uint64_t found) const {
    throw Error(ErrorCode::kRuntime,
                fmt::format("{}: the file was cut while in use: expected {} bytes, found {}", path,
                            size, found));
  }

  std::string path;
  std::optional<Descriptor> descriptor;  // none when borrowed
  struct stat opened = {};
  AlignedBuffer buffer;  // LoadMode::kRead only
  const std::byte* data = nullptr;
  size_t size = 0;
  Slot* slot = nullptr;  // LoadMode::kMap only
};

MappedFile MappedFile::open(const std::string& path, LoadMode mode) {
  return MappedFile(std::make_unique<State>(path, mode).release());
}

MappedFile MappedFile::borrow(Bytes bytes, std::string name) {
  return MappedFile(std::make_unique<State>(bytes, std::move(name)).release());
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : state_(std::exchange(other.state_, nullptr)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  MappedFile taken(std::move(other));
  std::swap(state_, taken.state_);
  return *this;
}

MappedFile::~MappedFile() {
  delete state_;
}

Bytes MappedFile::bytes() const {
  return {state_->data, state_->size};
}

const std::string& MappedFile::path() const {
  return state_->path;
}

void MappedFile::check() const {
  if (state_->slot == nullptr) return;  // the bytes are in memory
  const struct stat now = status_of(*state_->descriptor, state_->path);
  const uint64_t found = static_cast<uint64_t>(now.st_size);
  if (found < state_->size) state_->fail_truncated(found);
  if (state_->slot->damaged.load(std::memory_order_acquire)) {
    throw Error(
        ErrorCode::kRuntime,
        fmt::format("{}: part of the file could not be read while in use (cut or a disk error)",
                    state_->path));
  }
  const timespec &before = state_->opened.st_mtim, &after = now.st_mtim;
  if (before.tv_sec != after.tv_sec || before.tv_nsec != after.tv_nsec) {
    throw Error(ErrorCode::kRuntime,
                fmt::format("{}: the file was written to while in use", state_->path));
  }
}

void MappedFile::release(Bytes part) const {
  if (state_->slot == nullptr) return;
  const auto begin = reinterpret_cast<uintptr_t>(part.data());
  const uintptr_t first = (begin + ~page_mask) & page_mask;
  const uintptr_t end = (begin + part.size()) & page_mask;
  if (first >= end) return;
  madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);
  const auto offset = static_cast<off_t>(first - reinterpret_cast<uintptr_t>(state_->data));
  posix_fadvise(*state_->descriptor, offset, static_cast<off_t>(end - first), POSIX_FADV_DONTNEED);
}

std::string read_text_file(const std::string& path, uint64_t limit_bytes) {
  const Descriptor descriptor(path, 0);
  std::string text;
  for (size_t chunk = 1 << 16;; chunk *= 2) {
    const size_t before = text.size();
    text.resize(before + chunk);
    const size_t got = read_some(descriptor, path, text.data() + before, chunk);
    text.resize(before + got);
    if (text.size() > limit_bytes) {
      throw Error(ErrorCode::kInvalidFile,
                  fmt::format("{}: expected at most {} bytes, found more", path, limit_bytes));
    }
    if (got < chunk) return text;
  }
}

}  // namespace mica
