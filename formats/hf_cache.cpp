#include "formats/hf_cache.h"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <system_error>
#include <vector>

#include "lib/base/error.h"
#include "lib/base/mapped_file.h"

namespace mica {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxRefBytes = 4096;

bool is_name_character(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
         c == '_' || c == '.';
}

// A path component that cannot lead out of its folder.
bool is_plain(std::string_view part) {
  return !part.empty() && part.size() <= 96 && part != "." && part != ".." &&
         std::all_of(part.begin(), part.end(), is_name_character);
}

struct HfName {
  std::string organization;
  std::string model;
  std::string revision;  // empty: none was named
  bool valid = false;
};

HfName parse_name(const std::string& text) {
  HfName name;
  const size_t at = text.find('@');
  const std::string repository = text.substr(0, at);
  const size_t slash = repository.find('/');
  if (slash == repository.npos) return name;
  name.organization = repository.substr(0, slash);
  name.model = repository.substr(slash + 1);
  name.valid = is_plain(name.organization) && is_plain(name.model);
  if (at == text.npos) return name;
  name.revision = text.substr(at + 1);
  // A revision may be a path (refs/pr/1).
  size_t start = 0;
  while (start <= name.revision.size()) {
    const size_t end = std::min(name.revision.find('/', start), name.revision.size());
    name.valid = name.valid && is_plain(std::string_view(name.revision).substr(start, end - start));
    start = end + 1;
  }
  return name;
}

std::string trimmed(std::string text) {
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  return text;
}

// The most recently changed snapshot, or an empty path.
fs::path newest_snapshot(const fs::path& snapshots) {
  fs::path newest;
  fs::file_time_type newest_time{};
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(snapshots, error)) {
    if (!entry.is_directory(error)) continue;
    const auto time = entry.last_write_time(error);
    // Of equal age: by name, so that the answer is the same every time.
    if (newest.empty() || std::pair(time, entry.path()) > std::pair(newest_time, newest)) {
      newest = entry.path();
      newest_time = time;
    }
  }
  return newest;
}

std::string with_home(const char* path, const Environment& environment) {
  const char* home = environment("HOME");
  if (path[0] == '~' && (path[1] == '/' || path[1] == '\0') && home)
    return home + std::string(path + 1);
  return path;
}

}  // namespace

bool is_hf_name(const std::string& text) {
  return parse_name(text).valid;
}

std::string hf_cache_folder(const Environment& environment) {
  const auto set = [&](const char* name) {
    const char* value = environment(name);
    return value && *value ? value : nullptr;
  };
  // HUGGINGFACE_HUB_CACHE is the old spelling of HF_HUB_CACHE.
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (const char* value = set(name)) return with_home(value, environment);
  }
  if (const char* value = set("HF_HOME")) return with_home(value, environment) + "/hub";
  if (const char* value = set("XDG_CACHE_HOME")) {
    return with_home(value, environment) + "/huggingface/hub";
  }
  return with_home("~/.cache/huggingface/hub", environment);
}

HfSnapshot find_hf_snapshot(const std::string& text, const Environment& environment) {
  const HfName name = parse_name(text);
  if (!name.valid) {
    throw Error(ErrorCode::kUsage,
                fmt::format("{}: expected a name of the form ORG/NAME or ORG/NAME@REVISION", text));
  }
  HfSnapshot found;
  found.repository = name.organization + "/" + name.model;
  found.download = "hf download " + found.repository;
  if (!name.revision.empty()) found.download += " --revision " + name.revision;
  const fs::path cache = hf_cache_folder(environment);
  const fs::path root = cache / fmt::format("models--{}--{}", name.organization, name.model);
  const std::string revision = name.revision.empty() ? "main" : name.revision;

  std::error_code error;
  std::string commit = revision;  // a commit may be named itself
  if (fs::is_regular_file(root / "refs" / revision, error)) {
    commit = trimmed(read_text_file(root / "refs" / revision, kMaxRefBytes));
  }
  fs::path folder = root / "snapshots" / commit;
  if (!is_plain(commit) || !fs::is_directory(folder, error)) {
    folder = name.revision.empty() ? newest_snapshot(root / "snapshots") : fs::path();
    if (folder.empty()) {
      throw Error(
          ErrorCode::kRuntime,
          fmt::format(
              "{}: expected a file, a folder or a model in the Hugging Face cache {}, found none; "
              "Mica downloads nothing: run `{}` first",
              text, cache.string(), found.download));
    }
    found.note = fmt::format(
        "the cache does not say which snapshot of {} is current: the newest is used, {}",
        found.repository, folder.filename().string());
  }
  found.folder = folder.string();
  return found;
}

}  // namespace mica
