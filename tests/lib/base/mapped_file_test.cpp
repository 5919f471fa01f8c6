#include "lib/base/mapped_file.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <numeric>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "tests/support/error_of.h"
#include "tests/support/temp_folder.h"

using namespace mica;
using mica::testing::error_of;
using mica::testing::TempFolder;

namespace {

const size_t kPage = static_cast<size_t>(sysconf(_SC_PAGESIZE));

// In place before the library's handler, which must pass foreign faults on to it.
sigjmp_buf foreign_fault;
const bool kForeignHandler = [] {
  struct sigaction action = {};
  action.sa_handler = [](int) { siglongjmp(foreign_fault, 1); };
  return sigaction(SIGBUS, &action, nullptr) == 0;
}();

uint64_t sum(Bytes bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), uint64_t{0},
                         [](uint64_t total, std::byte byte) { return total + uint64_t(byte); });
}

void cut(const std::string& path, size_t bytes) {
  REQUIRE(truncate(path.c_str(), static_cast<off_t>(bytes)) == 0);
}

}  // namespace

TEST_CASE("a file has the same bytes mapped and read") {
  const TempFolder folder;
  for (const size_t size : {size_t{1}, kPage - 1, kPage, kPage + 1, size_t{3'000'000}}) {
    std::string text(size, ' ');
    for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 >> 3);
    const std::string path = folder.put("data", text);
    for (const LoadMode mode : {LoadMode::kMap, LoadMode::kRead}) {
      const MappedFile file = MappedFile::open(path, mode);
      CHECK(as_text(file.bytes()) == text);
      CHECK(file.path() == path);
      file.check();
    }
  }
}

TEST_CASE("an empty file is a file") {
  const TempFolder folder;
  const std::string path = folder.put("empty", "");
  for (const LoadMode mode : {LoadMode::kMap, LoadMode::kRead}) {
    const MappedFile file = MappedFile::open(path, mode);
    CHECK(file.bytes().empty());
    file.check();
  }
}

TEST_CASE("what cannot be opened is refused with its name and the reason") {
  const TempFolder folder;
  const Error missing = error_of([&] { MappedFile::open(folder.file("missing")); });
  CHECK(missing.code() == ErrorCode::kRuntime);
  CHECK(missing.message() == folder.file("missing") + ": cannot open: No such file or directory");
  CHECK(error_of([&] { MappedFile::open(folder.path()); }).message() ==
        folder.path() + ": cannot open: expected a regular file, found a directory");
  CHECK_THROWS_AS(MappedFile::open("/dev/null"), Error);
  REQUIRE(mkfifo(folder.file("pipe").c_str(), 0600) == 0);
  CHECK_THROWS_AS(MappedFile::open(folder.file("pipe")), Error);  // and does not wait for a writer
}

TEST_CASE("a moved file keeps its bytes") {
  const TempFolder folder;
  MappedFile first = MappedFile::open(folder.put("a", "first"));
  MappedFile second = MappedFile::open(folder.put("b", "second"));
  const std::byte* address = first.bytes().data();
  MappedFile third(std::move(first));
  CHECK(third.bytes().data() == address);
  second = std::move(third);
  CHECK(as_text(second.bytes()) == "first");
  second.check();
}

TEST_CASE("a file cut while mapped reads as zeros behind the cut and check() throws") {
  const TempFolder folder;
  const size_t size = 64 * kPage;
  for (int round = 0; round < 300; ++round) {
    const std::string path = folder.put("data", std::string(size, '\1'));
    const MappedFile file = MappedFile::open(path);
    const size_t kept = static_cast<size_t>(round) * 997 % size;
    if (round % 2 == 0) CHECK(sum(file.bytes()) == size);  // pages already there are taken away too
    cut(path, kept);
    REQUIRE(sum(file.bytes()) == kept);
    const Error error = error_of([&] { file.check(); });
    REQUIRE(error.code() == ErrorCode::kRuntime);
    REQUIRE(error.message() == path + ": the file was cut while in use: expected " +
                                   std::to_string(size) + " bytes, found " + std::to_string(kept));
  }
}

TEST_CASE("a file cut and grown again stays marked") {
  const TempFolder folder;
  const std::string path = folder.put("data", std::string(8 * kPage, 'x'));
  const MappedFile file = MappedFile::open(path);
  struct stat before;
  REQUIRE(stat(path.c_str(), &before) == 0);
  cut(path, 0);
  CHECK(sum(file.bytes()) == 0);
  cut(path, 8 * kPage);
  const timespec times[2] = {before.st_atim, before.st_mtim};
  REQUIRE(utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
  CHECK(error_of([&] { file.check(); }).message() ==
        path + ": part of the file could not be read while in use (cut or a disk error)");
}

TEST_CASE("a cut inside the last page is found though no signal tells of it") {
  const TempFolder folder;
  const std::string path = folder.put("data", std::string(kPage + 100, 'x'));
  const MappedFile file = MappedFile::open(path);
  cut(path, kPage + 99);
  CHECK(sum(file.bytes()) == (kPage + 99) * 'x');
  CHECK_THROWS_AS(file.check(), Error);
}

TEST_CASE("a file rewritten in place is found though its size is the same") {
  const TempFolder folder;
  const std::string path = folder.put("data", "one");
  const MappedFile file = MappedFile::open(path);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // a tick of the file system's clock
  folder.put("data", "two");
  CHECK(error_of([&] { file.check(); }).message() ==
        path + ": the file was written to while in use");
}

TEST_CASE("a file that was replaced by a rename or removed goes on") {
  const TempFolder folder;
  const std::string path = folder.put("data", "old bytes");
  const MappedFile file = MappedFile::open(path);
  REQUIRE(rename(folder.put("new", "new bytes!").c_str(), path.c_str()) == 0);
  file.check();
  CHECK(as_text(file.bytes()) == "old bytes");
}

TEST_CASE("a file that was read into memory does not care what becomes of it") {
  const TempFolder folder;
  const std::string path = folder.put("data", std::string(4 * kPage, 'x'));
  const MappedFile file = MappedFile::open(path, LoadMode::kRead);
  cut(path, 0);
  CHECK(sum(file.bytes()) == 4 * kPage * 'x');
  file.check();
}

TEST_CASE("several threads may meet the cut at once, and other mappings are left alone") {
  const TempFolder folder;
  const size_t size = 256 * kPage;
  const MappedFile other = MappedFile::open(folder.put("other", std::string(size, '\1')));
  for (int round = 0; round < 30; ++round) {
    const std::string path = folder.put("data", std::string(size, '\1'));
    const MappedFile file = MappedFile::open(path);
    std::atomic<bool> stop = false;
    std::vector<std::thread> readers;
    for (int reader = 0; reader < 3; ++reader) {
      readers.emplace_back([&] {
        while (!stop) {
          if (sum(file.bytes()) > size || sum(other.bytes()) != size) std::abort();
        }
      });
    }
    for (size_t kept = size; kept > 0; kept /= 4) cut(path, kept - 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    stop = true;
    for (std::thread& reader : readers) reader.join();
    CHECK_THROWS_AS(file.check(), Error);
    other.check();
  }
}

TEST_CASE("a slot is free again once its file is closed") {
  const TempFolder folder;
  const std::string path = folder.put("data", std::string(2 * kPage, 'x'));
  {
    const MappedFile file = MappedFile::open(path);
    cut(path, 0);
    CHECK(sum(file.bytes()) == 0);
  }
  folder.put("data", std::string(2 * kPage, 'x'));
  for (int i = 0; i < 3000; ++i) MappedFile::open(path).check();
}

TEST_CASE("more mappings than there are slots is an error, not a fault") {
  const TempFolder folder;
  const std::string path = folder.put("data", "x");
  std::vector<MappedFile> files;
  const Error error = error_of([&] {
    for (int i = 0; i < 1025; ++i) files.push_back(MappedFile::open(path));
  });
  CHECK(error.code() == ErrorCode::kRuntime);
  files.clear();
  CHECK_NOTHROW(MappedFile::open(path));
}

TEST_CASE("a fault that is not ours goes to the handler that was there before") {
  REQUIRE(kForeignHandler);
  const TempFolder folder;
  const MappedFile ours = MappedFile::open(folder.put("ours", "x"));
  const std::string path = folder.put("foreign", std::string(kPage, 'x'));
  const int descriptor = open(path.c_str(), O_RDONLY);
  void* pages = mmap(nullptr, kPage, PROT_READ, MAP_SHARED, descriptor, 0);
  REQUIRE(pages != MAP_FAILED);
  cut(path, 0);
  volatile bool caught = false;
  if (sigsetjmp(foreign_fault, 1) == 0) {
    static_cast<void>(*static_cast<volatile char*>(pages));
  } else {
    caught = true;
  }
  CHECK(caught);
  ours.check();
  munmap(pages, kPage);
  close(descriptor);
}

TEST_CASE("a released part leaves the process by whole pages and reads the same afterwards") {
  const TempFolder folder;
  std::string text(8 * kPage, ' ');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 31 >> 3);
  const MappedFile file = MappedFile::open(folder.put("data", text));
  const uint64_t expected = sum(file.bytes());
  // Of the process's own table (bit 63: present), whatever the system's cache holds.
  const auto mapped_pages = [&] {
    const int table = open("/proc/self/pagemap", O_RDONLY);
    REQUIRE(table >= 0);
    uint64_t entries[8] = {};
    const auto page = reinterpret_cast<uintptr_t>(file.bytes().data()) / kPage;
    const ssize_t got = pread(table, entries, sizeof(entries), static_cast<off_t>(page * 8));
    close(table);
    REQUIRE(got == sizeof(entries));
    return std::count_if(std::begin(entries), std::end(entries),
                         [](uint64_t entry) { return entry >> 63 != 0; });
  };
  CHECK(mapped_pages() == 8);
  file.release(file.bytes().subspan(100, kPage));  // no whole page
  CHECK(mapped_pages() == 8);
  file.release(file.bytes().subspan(100, 4 * kPage));  // pages 1, 2 and 3
  CHECK(mapped_pages() == 5);
  CHECK(sum(file.bytes()) == expected);
  file.check();
}

TEST_CASE("a small text file is read whole, a large one refused") {
  const TempFolder folder;
  const std::string text(200'000, 'x');
  const std::string path = folder.put("text", text);
  CHECK(read_text_file(path, 200'000) == text);
  const Error error = error_of([&] { read_text_file(path, 199'999); });
  CHECK(error.code() == ErrorCode::kInvalidFile);
  CHECK(error.message() == path + ": expected at most 199999 bytes, found more");
  CHECK(read_text_file(folder.put("empty", ""), 0).empty());
  CHECK_THROWS_AS(read_text_file(folder.path(), 100), Error);
  CHECK_THROWS_AS(read_text_file(folder.file("missing"), 100), Error);
  CHECK(!read_text_file("/proc/self/status", 1 << 20).empty());  // files without a size
}
