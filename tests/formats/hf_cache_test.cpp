// The Hugging Face cache: where it is, which snapshot a name means, and what is said when there is
// none.
#include "formats/hf_cache.h"

#include <chrono>
#include <doctest/doctest.h>
#include <map>

#include "formats/importer.h"
#include "tests/formats/hf_samples.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_folder.h"

using namespace mica;
using namespace mica::testing;

namespace {

const std::string kOld(40, 'a');
const std::string kNew(40, 'b');

Environment environment(std::map<std::string, std::string> variables) {
  return [variables](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
}

// A cache with ORG/NAME in two snapshots; main is the older one.
struct Cache {
  TempFolder folder;
  std::string root = "models--ORG--NAME";
  Environment variables = environment({{"HF_HUB_CACHE", folder.path()}});

  Cache() {
    for (const std::string& commit : {kOld, kNew}) {
      folder.put(root + "/snapshots/" + commit + "/config.json", "{}");
    }
    // Times that differ whatever the clock's resolution.
    const auto now = std::filesystem::file_time_type::clock::now();
    std::filesystem::last_write_time(snapshot(kOld), now - std::chrono::hours(1));
    folder.put(root + "/refs/main", kOld + "\n");
    folder.put(root + "/refs/refs/pr/1", kNew);
  }
  std::string snapshot(const std::string& commit) const {
    return folder.file(root + "/snapshots/" + commit);
  }
  std::string find(const std::string& name) const {
    return find_hf_snapshot(name, variables).folder;
  }
};

}  // namespace

TEST_CASE("the cache lies where the variables say, the strongest first") {
  std::map<std::string, std::string> variables = {{"HOME", "/home/me"}};
  CHECK(hf_cache_folder(environment(variables)) == "/home/me/.cache/huggingface/hub");
  variables["XDG_CACHE_HOME"] = "/xdg";
  CHECK(hf_cache_folder(environment(variables)) == "/xdg/huggingface/hub");
  variables["HF_HOME"] = "~/hf";
  CHECK(hf_cache_folder(environment(variables)) == "/home/me/hf/hub");
  variables["HUGGINGFACE_HUB_CACHE"] = "/old";
  CHECK(hf_cache_folder(environment(variables)) == "/old");
  variables["HF_HUB_CACHE"] = "/new";
  CHECK(hf_cache_folder(environment(variables)) == "/new");
  variables["HF_HUB_CACHE"] = "";  // empty is not set
  CHECK(hf_cache_folder(environment(variables)) == "/old");
}

TEST_CASE("a name means the snapshot that main or its revision points at") {
  const Cache cache;
  CHECK(cache.find("ORG/NAME") == cache.snapshot(kOld));
  CHECK(cache.find("ORG/NAME@main") == cache.snapshot(kOld));
  CHECK(cache.find("ORG/NAME@refs/pr/1") == cache.snapshot(kNew));
  CHECK(cache.find("ORG/NAME@" + kNew) == cache.snapshot(kNew));
  CHECK(find_hf_snapshot("ORG/NAME", cache.variables).note.empty());
}

TEST_CASE("without refs the newest snapshot is used and said to be") {
  const Cache cache;
  std::filesystem::remove_all(cache.folder.file(cache.root + "/refs"));
  const HfSnapshot found = find_hf_snapshot("ORG/NAME", cache.variables);
  CHECK(found.folder == cache.snapshot(kNew));
  CHECK(found.note ==
        "the cache does not say which snapshot of ORG/NAME is current: the newest is used, " +
            kNew);
}

TEST_CASE("what the cache does not have is answered with the command that fetches it") {
  const Cache cache;
  const auto refusal = [&](const std::string& name) {
    return error_of([&] { cache.find(name); }).message();
  };
  const std::string none = ": expected a file, a folder or a model in the Hugging Face cache " +
                           cache.folder.path() +
                           ", found none; Mica downloads nothing: run `hf download ";
  CHECK(refusal("ORG/OTHER") == "ORG/OTHER" + none + "ORG/OTHER` first");
  CHECK(refusal("ORG/NAME@v2") == "ORG/NAME@v2" + none + "ORG/NAME --revision v2` first");
  cache.folder.put(cache.root + "/refs/v2", "../../../../etc");
  CHECK(refusal("ORG/NAME@v2") == "ORG/NAME@v2" + none + "ORG/NAME --revision v2` first");
}

TEST_CASE("only plain names are looked up in the cache") {
  for (const char* name : {"ORG/NAME", "a.b/c-d_e", "ORG/NAME@main", "ORG/NAME@refs/pr/1"}) {
    CHECK(is_hf_name(name));
  }
  for (const char* name : {"", "NAME", "/NAME", "ORG/", "../NAME", "ORG/..", "A/B/C", "ORG/NAME@",
                           "ORG/NAME@../x", "ORG/NAME@a//b", "a b/c", "./model.gguf@x y"}) {
    CHECK_FALSE(is_hf_name(name));
  }
}

TEST_CASE("a model of the cache is opened under its name") {
  const Cache cache;
  for (const auto& [file, text] : tiny_texts()) {
    cache.folder.put(cache.root + "/snapshots/" + kOld + "/" + file, text);
  }
  setenv("HF_HUB_CACHE", cache.folder.path().c_str(), 1);
  CHECK(error_of([&] { open_source("ORG/NAME", {}); }).message() ==
        cache.snapshot(kOld) +
            ": expected model.safetensors or model.safetensors.index.json, found none; `hf "
            "download ORG/NAME` fetches what is missing");
  cache.folder.put(cache.root + "/blobs/weights", tiny_safetensors().bytes());
  std::filesystem::create_symlink("../../blobs/weights",
                                  cache.snapshot(kOld) + "/model.safetensors");
  const auto importer = open_source("ORG/NAME", {});
  CHECK(importer->model().name == "ORG/NAME");
  CHECK(importer->model().config["name"] == Json("NAME"));
  unsetenv("HF_HUB_CACHE");
}
