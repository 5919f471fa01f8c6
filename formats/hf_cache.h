// The Hugging Face cache on this machine: where a name like ORG/NAME[@revision] lies. Nothing is
// ever downloaded.
#pragma once

#include <functional>
#include <string>

namespace mica {

// Looks up an environment variable; nullptr when it is not set.
using Environment = std::function<const char*(const char*)>;

struct HfSnapshot {
  std::string folder;
  std::string repository;  // "ORG/NAME"
  std::string download;    // "hf download ORG/NAME": the command that would fetch it
  std::string note;        // what was guessed; empty when nothing was
};

// Whether `text` has the form of such a name.
bool is_hf_name(const std::string& text);
// The folder of all repositories: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME,
// HOME.
std::string hf_cache_folder(const Environment& environment);
// Throws Error(kRuntime) with the command to run when the cache does not have it.
HfSnapshot find_hf_snapshot(const std::string& name, const Environment& environment);

}  // namespace mica
