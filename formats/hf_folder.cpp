// Finds the files of a model folder and says what is wrong when they are not there.
#include <filesystem>
#include <fmt/format.h>
#include <set>
#include <system_error>

#include "formats/huggingface.h"
#include "lib/base/error.h"

namespace mica {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxTextBytes = 256
                                   << 20;  // tokenizer.json of the largest vocabularies has 35 MB
constexpr const char* kTexts[] = {"config.json",         "generation_config.json",
                                  "tokenizer.json",      "tokenizer_config.json",
                                  "chat_template.jinja", "model.safetensors.index.json"};
// What stands in for tokenizer.json.
constexpr const char* kSentencePieceFiles[] = {"tokenizer.model", "added_tokens.json"};

struct ForeignFile {
  const char* prefix;
  const char* suffix;
  const char* advice;
};
constexpr ForeignFile kForeignFiles[] = {
    {"adapter_config", ".json",
     "a LoRA adapter: merge it into its base model first (merge_and_unload of the Python package "
     "peft)"},
    {"pytorch_model", ".bin",
     "PyTorch weights, which are programs and are not run here: save the model as safetensors "
     "(save_pretrained of the Python package transformers)"},
    {"consolidated.", ".pth",
     "weights in the original PyTorch form: convert them to the Hugging Face layout"},
    {"consolidated", ".safetensors",
     "weights in the original Mistral form: take the repository's model.safetensors"},
    {"", ".gguf", "GGUF files: name one of them instead of the folder"},
    {"tf_model", ".h5", "TensorFlow weights: save the model as safetensors"},
    {"flax_model", ".msgpack", "Flax weights: save the model as safetensors"},
};

// What the folder has instead of what was expected.
std::string describe(const fs::path& folder) {
  std::error_code error;
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder, error))
    names.insert(entry.path().filename());
  for (const ForeignFile& foreign : kForeignFiles) {
    for (const std::string& name : names) {
      if (name.starts_with(foreign.prefix) && name.ends_with(foreign.suffix)) {
        return fmt::format("'{}', {}", name, foreign.advice);
      }
    }
  }
  return names.empty() ? "an empty folder" : "none";
}

// Weight files in the order of their names.
std::set<std::string> shard_names(const std::string& index_text, const std::string& what) {
  std::set<std::string> names;
  const Json index = Json::parse(index_text, what);
  for (const auto& [tensor, file] : index["weight_map"].as_object(what + ": weight_map")) {
    const std::string& name = file.as_string(what + ": weight_map");
    if (name.empty() || name.find('/') != name.npos || name == "." || name == "..") {
      throw Error(
          ErrorCode::kInvalidFile,
          fmt::format("{}: weight_map: expected the name of a file in the folder, found '{}'", what,
                      name));
    }
    names.insert(name);
  }
  if (names.empty()) {
    throw Error(ErrorCode::kInvalidFile, what + ": weight_map: expected tensors, found none");
  }
  return names;
}

}  // namespace

HfFolder read_hf_folder(const std::string& path, const std::string& advice) {
  HfFolder folder;
  folder.path = path;
  std::error_code error;
  folder.name = fs::weakly_canonical(path, error).filename();
  const fs::path root = path;
  const auto exists = [&](const std::string& name) { return fs::exists(root / name, error); };
  const auto require = [&](bool present, const char* expected) {
    if (present) return;
    throw Error(ErrorCode::kRuntime,
                fmt::format("{}: expected {}, found {}{}", path, expected, describe(root), advice));
  };
  if (exists("adapter_config.json")) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: expected a model, found {}", path, describe(root)));
  }
  require(exists("config.json"), "a model folder with config.json");
  if (exists("hf_quant_config.json")) {
    throw Error(ErrorCode::kUnsupported,
                path +
                    ": a checkpoint quantized by ModelOpt (hf_quant_config.json) is not "
                    "supported; expected the unquantized model, or a GGUF file");
  }
  for (const char* name : kTexts) {
    if (exists(name)) folder.texts[name] = read_text_file(root / name, kMaxTextBytes);
  }
  std::set<std::string> shards;
  const auto index = folder.texts.find("model.safetensors.index.json");
  if (exists("model.safetensors")) {
    shards.insert("model.safetensors");
    folder.texts.erase("model.safetensors.index.json");  // as in transformers, the one file wins
  } else if (index != folder.texts.end()) {
    shards = shard_names(index->second, (root / index->first).string());
  }
  require(!shards.empty(), "model.safetensors or model.safetensors.index.json");
  for (const std::string& name : shards) {
    if (!exists(name)) {
      throw Error(ErrorCode::kRuntime,
                  fmt::format("{}: expected the file '{}', which model.safetensors.index.json "
                              "names, found none{}",
                              path, name, advice));
    }
    folder.shards.push_back(SourceFile::open(root / name));
    folder.shards.back().name = name;
  }
  if (!folder.texts.contains("tokenizer.json")) {
    for (const char* name : kSentencePieceFiles) {
      if (exists(name)) folder.texts[name] = read_text_file(root / name, kMaxTextBytes);
    }
    if (!folder.texts.contains("tokenizer.model")) {
      folder.notes.push_back(
          "no tokenizer.json and no tokenizer.model: the folder has no tokenizer");
    }
  }
  return folder;
}

}  // namespace mica
