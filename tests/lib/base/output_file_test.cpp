#include "lib/base/output_file.h"

#include <algorithm>
#include <doctest/doctest.h>
#include <filesystem>
#include <random>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/error_of.h"
#include "tests/support/temp_folder.h"

using namespace mica;
using mica::testing::error_of;
using mica::testing::TempFolder;

namespace {

size_t files_in(const TempFolder& folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder.path()), {}));
}

// While alive, files cannot grow beyond `bytes`: writes come short, then fail with EFBIG.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_;
};

}  // namespace

TEST_CASE("a file appears with commit, whole, and no other file stays behind") {
  const TempFolder folder;
  const std::string path = folder.file("out.bin");
  {
    OutputFile file(path);
    file.write(as_bytes("hello"));
    CHECK(file.size() == 5);
    CHECK(!std::filesystem::exists(path));
    file.commit();
    CHECK(folder.get("out.bin") == "hello");
  }
  CHECK(folder.get("out.bin") == "hello");
  CHECK(files_in(folder) == 1);
}

TEST_CASE("pieces of any size, padding and overwriting give what they give in memory") {
  const TempFolder folder;
  std::mt19937 random(5);
  std::string expected;
  OutputFile file(folder.file("out"));
  for (int i = 0; i < 200; ++i) {
    const std::string piece(i % 20 == 0 ? random() % 3'000'000 : random() % 5000,
                            static_cast<char>('a' + i % 26));
    file.write(as_bytes(piece));
    expected += piece;
    if (i % 7 == 0) {
      const uint64_t end = (expected.size() + 4095) / 4096 * 4096;
      file.pad_to(end);
      expected.resize(end, '\0');
    }
    if (i % 5 == 0 && !expected.empty()) {
      const size_t at = random() % expected.size();
      const std::string patch(std::min<size_t>(expected.size() - at, random() % 3000), '#');
      file.write_at(at, as_bytes(patch));
      expected.replace(at, patch.size(), patch);
    }
    REQUIRE(file.size() == expected.size());
  }
  file.pad_to(0);  // already beyond
  file.commit();
  CHECK((folder.get("out") == expected));  // too long to print
}

TEST_CASE("only what was written can be overwritten") {
  const TempFolder folder;
  OutputFile file(folder.file("out"));
  file.write(as_bytes("0123456789"));
  file.write_at(10, {});
  CHECK_THROWS_AS(file.write_at(8, as_bytes("abc")), Error);
  CHECK_THROWS_AS(file.write_at(11, {}), Error);
  CHECK_THROWS_AS(file.write_at(std::numeric_limits<uint64_t>::max(), as_bytes("a")), Error);
  file.write_at(7, as_bytes("abc"));
  file.commit();
  CHECK(folder.get("out") == "0123456abc");
}

TEST_CASE("without commit the old file stays as it was and the new one leaves no trace") {
  const TempFolder folder;
  folder.put("out", "old");
  {
    OutputFile file(folder.file("out"));
    file.write(as_bytes(std::string(3 << 20, 'n')));
    CHECK(files_in(folder) == 2);
  }
  CHECK(folder.get("out") == "old");
  CHECK(files_in(folder) == 1);
}

TEST_CASE("commit replaces the old file at once") {
  const TempFolder folder;
  folder.put("out", "old");
  OutputFile file(folder.file("out"));
  file.write(as_bytes("new"));
  file.commit();
  CHECK(folder.get("out") == "new");
  CHECK_THROWS_AS(file.write(as_bytes("more")), Error);
  CHECK_THROWS_AS(file.commit(), Error);
  CHECK(folder.get("out") == "new");
}

TEST_CASE("a file that the caller has open is written in place and stays open") {
  const int descriptor = memfd_create("test", MFD_CLOEXEC);
  REQUIRE(descriptor >= 0);
  {
    OutputFile file(descriptor, "nameless");
    file.write(as_bytes("hello world"));
    file.write_at(0, as_bytes("J"));
    file.commit();
    CHECK(error_of([&] { file.write(as_bytes("!")); }).message().find("nameless: ") == 0);
  }
  { OutputFile dropped(descriptor, "nameless"); }
  std::string text(20, '\0');
  text.resize(std::max<ssize_t>(pread(descriptor, text.data(), text.size(), 0), 0));
  CHECK(text == "Jello world");
  close(descriptor);
}

TEST_CASE("a name without a folder is a file of the working directory") {
  const TempFolder folder;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  OutputFile file("plain");
  file.commit();
  std::filesystem::current_path(before);
  CHECK(folder.get("plain").empty());
  CHECK(files_in(folder) == 1);
}

TEST_CASE("what cannot be written is refused at once with its name and the reason") {
  const TempFolder folder;
  const Error error = error_of([&] { OutputFile{folder.file("no/such/out")}; });
  CHECK(error.code() == ErrorCode::kRuntime);
  CHECK(error.message() ==
        folder.file("no/such/out") + ": cannot create: No such file or directory");
  CHECK(error_of([&] { OutputFile{folder.path()}; }).message() ==
        folder.path() + ": cannot write: expected a regular file or none, found a directory");
  CHECK_THROWS_AS(OutputFile{folder.path() + "/"}, Error);
  CHECK_THROWS_AS(OutputFile{"/dev/null"}, Error);
  CHECK_THROWS_AS(OutputFile{""}, Error);
  CHECK(files_in(folder) == 0);
}

TEST_CASE("a temporary file left by another run is neither used nor removed") {
  const TempFolder folder;
  const std::string left = ".out.tmp-" + std::to_string(getpid());
  folder.put(left, "left");
  OutputFile file(folder.file("out"));
  file.write(as_bytes("new"));
  file.commit();
  CHECK(folder.get("out") == "new");
  CHECK(folder.get(left) == "left");
}

TEST_CASE("once committed a file does not touch its temporary name again") {
  const TempFolder folder;
  const std::string name = ".out.tmp-" + std::to_string(getpid());
  {
    OutputFile file(folder.file("out"));
    CHECK(std::filesystem::exists(folder.file(name)));
    file.commit();
    folder.put(name, "of another");
  }
  CHECK(folder.get(name) == "of another");
}

TEST_CASE("two files of one name may be written at once; the last commit stays") {
  const TempFolder folder;
  OutputFile first(folder.file("out"));
  OutputFile second(folder.file("out"));
  first.write(as_bytes("first"));
  second.write(as_bytes("second"));
  second.commit();
  first.commit();
  CHECK(folder.get("out") == "first");
  CHECK(files_in(folder) == 1);
}

TEST_CASE("the longest name that a folder takes can be written") {
  const TempFolder folder;
  const std::string name(255, 'n');
  OutputFile file(folder.file(name));
  file.commit();
  CHECK(std::filesystem::exists(folder.file(name)));
}

TEST_CASE("a new file is for all to read, as the umask says") {
  const TempFolder folder;
  const mode_t before = umask(022);
  OutputFile file(folder.file("out"));
  file.commit();
  umask(before);
  struct stat status;
  REQUIRE(stat(folder.file("out").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0644);
}

TEST_CASE("a write that comes short and then fails keeps the old file") {
  const TempFolder folder;
  folder.put("out", "old");
  {
    OutputFile file(folder.file("out"));
    const FileSizeLimit limit(2'500'000);
    const Error error = error_of([&] {
      file.write(as_bytes(std::string(3'000'000, 'n')));
      file.commit();
    });
    CHECK(error.code() == ErrorCode::kRuntime);
    CHECK(error.message() == folder.file("out") + ": cannot write: File too large");
  }
  CHECK(folder.get("out") == "old");
  CHECK(files_in(folder) == 1);
}

TEST_CASE("a rename that fails is told and removes the temporary file") {
  const TempFolder folder;
  {
    OutputFile file(folder.file("out"));
    file.write(as_bytes("new"));
    folder.put("out/in-the-way", "");
    CHECK(error_of([&] { file.commit(); }).message() ==
          folder.file("out") + ": cannot rename into place: Is a directory");
  }
  CHECK(files_in(folder) == 1);
}
