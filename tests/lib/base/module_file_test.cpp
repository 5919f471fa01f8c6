#include "lib/base/module_file.h"

#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>

namespace mica {
namespace {

using Paths = std::vector<std::string>;

// What `paths` gives while MICA_MODULE_DIR is `value`, or is not set.
template <class Call>
Paths with_module_dir(const char* value, const Call& paths) {
  const char* before = std::getenv("MICA_MODULE_DIR");
  const std::string kept = before ? before : "";
  value ? setenv("MICA_MODULE_DIR", value, 1) : unsetenv("MICA_MODULE_DIR");
  const Paths found = paths();
  before ? setenv("MICA_MODULE_DIR", kept.c_str(), 1) : unsetenv("MICA_MODULE_DIR");
  return found;
}

TEST_CASE("a module is looked for in the folders of MICA_MODULE_DIR alone, in their order") {
  const auto paths = [] { return module_paths("mica-x.so", "backends/x"); };
  CHECK(with_module_dir("/a", paths) == Paths{"/a/mica-x.so"});
  CHECK(with_module_dir("/b/:/a::/b/", paths) == Paths{"/b/mica-x.so", "/a/mica-x.so"});
  CHECK(with_module_dir("/b:rel", chosen_module_folders) == Paths{"/b", "rel"});
  CHECK(with_module_dir("", chosen_module_folders).empty());
  CHECK(with_module_dir(nullptr, chosen_module_folders).empty());
}

TEST_CASE("else beside the program in its build folder, then in the library folder") {
  // This program's own folder and name stand for those of a module.
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe");
  const std::string name = program.filename();
  const auto paths = [&] { return module_paths(name, "lib/base"); };
  const Paths found = with_module_dir(nullptr, paths);
  REQUIRE(found.size() == 2);
  CHECK(found[0] == program);
  CHECK(found[1].ends_with("/mica/" + name));
  const auto absent = [] { return module_paths("mica-x.so", "backends/x"); };
  CHECK(with_module_dir("", absent).size() == 1);
}

}  // namespace
}  // namespace mica
