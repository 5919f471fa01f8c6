#include <doctest/doctest.h>
#include <string>

#include "lib/base/hash.h"
#include "lib/base/host.h"
#include "lib/base/json.h"
#include "lib/base/mapped_file.h"
#include "lib/base/output_file.h"
#include "lib/base/thread_pool.h"
#include "lib/base/utf8.h"
#include "tests/support/failing_new.h"
#include "tests/support/temp_folder.h"

using namespace mica;
using mica::testing::fail_each_allocation;
using mica::testing::TempFolder;

// Leaks are found by the address sanitizer's build of these tests.

TEST_CASE("JSON survives the failure of any allocation") {
  const std::string text =
      R"({"a long enough key to be on the heap": [1, "and a long enough value"],
      "a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10,"k":11,"l":12,"m":13,"n":14,
      "o":15,"p":16})";
  std::string written;
  CHECK(fail_each_allocation([&] { written = Json::parse(text, "t").dump(2); }) > 10);
  CHECK(Json::parse(written, "t") == Json::parse(text, "t"));
}

TEST_CASE("copying JSON survives the failure of any allocation") {
  const Json original =
      Json::parse(R"({"a":[1,["a long enough text to be on the heap"]],"b":{}})", "t");
  Json copy;
  CHECK(fail_each_allocation([&] { Json(original).dump(); }) > 3);
  CHECK(fail_each_allocation([&] { copy = original; }) > 3);
  CHECK(copy == original);
}

TEST_CASE("files survive the failure of any allocation") {
  const TempFolder folder;
  const std::string path = folder.put("a long enough name to be on the heap", "content");
  CHECK(fail_each_allocation([&] { MappedFile::open(path).check(); }) > 0);
  CHECK(fail_each_allocation([&] { MappedFile::open(path, LoadMode::kRead); }) > 0);
  CHECK(fail_each_allocation([&] { read_text_file(path, 100); }) > 0);
  CHECK(fail_each_allocation([&] {
          OutputFile file(path);
          file.write(as_bytes("new content"));
          file.commit();
        }) > 0);
  CHECK(folder.get("a long enough name to be on the heap") == "new content");
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("a thread pool survives the failure of any allocation") {
  CHECK(fail_each_allocation([] { ThreadPool(4).run([](int) {}); }) > 0);
}

TEST_CASE("hashes and streams survive the failure of any allocation") {
  CHECK(fail_each_allocation([] {
          StreamHash128 stream;
          stream.update(as_bytes("abc"));
          stream.digest().hex();
        }) > 0);
  CHECK(fail_each_allocation([] { replace_invalid_utf8("a long enough text for the heap \xff"); }) >
        0);
}

TEST_CASE("host facts survive the failure of any allocation") {
  CHECK(fail_each_allocation([] { choose_threads(read_host_facts(), 0); }) > 0);
}
