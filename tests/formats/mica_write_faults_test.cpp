// Every system call of a writer fails once: the old file stays as it was, or the new one is whole.
// A program of its own, since it stands in for system calls.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <algorithm>
#include <cerrno>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <filesystem>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "formats/reader.h"
#include "tests/formats/mica_samples.h"
#include "tests/support/error_of.h"

namespace {

// The call with number `fail_at` fails with `reason`; with reason 0 a write writes half.
int fail_at = -1;
int reason = 0;
int calls = 0;

bool is_faulty() {
  return calls++ == fail_at;
}

template <class Call>
int faulty(Call call) {
  if (is_faulty() && reason != 0) {
    errno = reason;
    return -1;
  }
  return static_cast<int>(call());
}

}  // namespace

// With _FILE_OFFSET_BITS=64 this is pwrite64 here and in the library alike.
extern "C" ssize_t pwrite(int descriptor, const void* bytes, size_t size, off_t offset) {
  if (is_faulty()) {
    if (reason != 0) {
      errno = reason;
      return -1;
    }
    size = (size + 1) / 2;
  }
  return syscall(SYS_pwrite64, descriptor, bytes, size, offset);
}
extern "C" int fsync(int descriptor) {
  return faulty([&] { return syscall(SYS_fsync, descriptor); });
}
extern "C" int rename(const char* from, const char* to) noexcept {
  return faulty([&] { return syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to); });
}

namespace mica::testing {
namespace {

// Large enough for several writes: OutputFile's buffer holds 1 MiB.
std::vector<TensorSpec> large_specs() {
  std::vector<TensorSpec> specs = tiny_model_specs();
  for (int layer = 2; layer < 6; ++layer) {
    specs.push_back(
        {.role = Role::kFfnDown, .layer = layer, .dtype = kF32, .rows = 300, .cols = 1024});
  }
  return specs;
}

int count_calls(auto action) {
  fail_at = -1;
  calls = 0;
  action();
  return calls;
}

struct Scene {
  TempFolder folder;
  std::string path = folder.file("model.mica");
  std::string old_bytes, new_bytes;

  Scene() {
    write_model(path, large_specs(), tiny_model_metadata());
    new_bytes = folder.get("model.mica");
    write_model(path, one_segment_specs(), tiny_model_metadata());
    old_bytes = folder.get("model.mica");
  }
  void restore() const { write_model(path, one_segment_specs(), tiny_model_metadata()); }
  void convert() const { write_model(path, large_specs(), tiny_model_metadata()); }
  // Nothing but the model, old or new.
  bool is_clean() const {
    const auto files = std::filesystem::directory_iterator(folder.path());
    return std::distance(begin(files), end(files)) == 1;
  }
};

TEST_CASE("a failure of any system call leaves the old file or the new one, and nothing else") {
  const Scene scene;
  const int total = count_calls([&] { scene.convert(); });
  CHECK(total >= 8);  // several writes, fsync, rename, fsync of the folder
  scene.restore();
  for (const int each : {ENOSPC, EIO}) {
    for (int k = 0; k < total; ++k) {
      fail_at = k;
      reason = each;
      calls = 0;
      const Error error = error_of([&] { scene.convert(); });
      fail_at = -1;
      CHECK(error.code() == ErrorCode::kRuntime);
      CHECK(error.message().starts_with(scene.path + ": cannot "));
      const std::string found = scene.folder.get("model.mica");
      const bool is_last = k == total - 1;  // after the rename
      CHECK((found == (is_last ? scene.new_bytes : scene.old_bytes)));
      CHECK(scene.is_clean());
      if (is_last) scene.restore();
    }
  }
}

TEST_CASE("short and interrupted writes are continued") {
  const Scene scene;
  const int total = count_calls([&] { scene.convert(); });
  int short_writes = 0;
  for (int k = 0; k < total; ++k) {
    scene.restore();
    fail_at = k;
    reason = 0;
    calls = 0;
    scene.convert();
    short_writes += calls == total + 1;  // the rest of a short write is one more
    fail_at = -1;
    CHECK((scene.folder.get("model.mica") == scene.new_bytes));
    CHECK(MicaFile::open(scene.path).find_damage({}).empty());
  }
  CHECK(short_writes == total - 3);  // all but two fsyncs and the rename

  fail_at = 0;
  reason = EINTR;
  calls = 0;
  scene.convert();
  CHECK((scene.folder.get("model.mica") == scene.new_bytes));
}

}  // namespace
}  // namespace mica::testing
