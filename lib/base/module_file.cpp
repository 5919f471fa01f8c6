#include "lib/base/module_file.h"

#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <sstream>

namespace mica {
namespace {

namespace fs = std::filesystem;

// Folders from a program or library up to the top of its build folder: a test lies three deep.
constexpr int kBuildDepth = 4;

// The library that holds this code, and the program.
std::vector<fs::path> own_files() {
  std::vector<fs::path> files;
  Dl_info info;
  std::error_code ignored;
  if (dladdr(reinterpret_cast<const void*>(&own_files), &info) && info.dli_fname) {
    files.push_back(fs::canonical(info.dli_fname, ignored));
  }
  files.push_back(fs::read_symlink("/proc/self/exe", ignored));
  return files;
}

void append_new(std::vector<std::string>& paths, const fs::path& path) {
  for (const std::string& known : paths) {
    if (known == path) return;
  }
  paths.push_back(path);
}

}  // namespace

std::vector<std::string> chosen_module_folders() {
  std::vector<std::string> folders;
  const char* variable = std::getenv("MICA_MODULE_DIR");
  std::istringstream list(variable ? variable : "");
  for (std::string folder; std::getline(list, folder, ':');) {
    if (!folder.empty()) folders.push_back(folder);
  }
  return folders;
}

std::vector<std::string> module_paths(std::string_view file_name, std::string_view build_folder) {
  std::vector<std::string> paths;
  for (const std::string& folder : chosen_module_folders()) {
    append_new(paths, fs::path(folder) / file_name);
  }
  if (!paths.empty()) return paths;
  for (const fs::path& file : own_files()) {
    fs::path folder = file.parent_path();
    for (int i = 0; i < kBuildDepth && folder.has_relative_path(); ++i) {
      const fs::path path = folder / build_folder / file_name;
      std::error_code ignored;
      if (fs::exists(path, ignored)) append_new(paths, path);
      folder = folder.parent_path();
    }
  }
  append_new(paths, fs::path(MICA_MODULE_FOLDER) / file_name);
  return paths;
}

}  // namespace mica
