// Model folders on disk: which files they need, and what is said when they hold others.
#include <doctest/doctest.h>

#include "tests/formats/hf_samples.h"
#include "tests/formats/import_exercise.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_folder.h"

using namespace mica;
using namespace mica::testing;

namespace {

// A folder on disk.
std::string write_folder(const TempFolder& folder, const std::string& name,
                         const TinyFolder& shape = {}) {
  for (const auto& [file, text] : tiny_texts(shape)) folder.put(name + "/" + file, text);
  folder.put(name + "/model.safetensors", tiny_safetensors(shape).bytes());
  return folder.file(name);
}

// The same with each layer in a file of its own.
std::string write_sharded(const TempFolder& folder, const TinyFolder& shape) {
  const SafetensorsSample whole = tiny_safetensors(shape);
  std::map<std::string, SafetensorsSample> shards;
  Json map = Json::object();
  for (const auto& tensor : whole.tensors) {
    const std::string shard =
        tensor.name.find("layers.1.") != tensor.name.npos ? "2.safetensors" : "1.safetensors";
    shards[shard].tensors.push_back(tensor);
    map[tensor.name] = shard;
  }
  for (const auto& [file, text] : tiny_texts(shape)) folder.put("sharded/" + file, text);
  for (const auto& [file, sample] : shards) folder.put("sharded/" + file, sample.bytes());
  folder.put("sharded/model.safetensors.index.json", Json::object({{"weight_map", map}}).dump());
  return folder.file("sharded");
}

}  // namespace

TEST_CASE("a folder on disk is opened by its path") {
  const TempFolder folder;
  const std::string path = write_folder(folder, "tiny");
  for (const std::string& spelling : {path, path + "/"}) {
    const auto importer = open_source(spelling, {});
    CHECK(importer->model().name == "tiny");
    CHECK(importer->model().tensors.size() == 12);
    read_everything(*importer);
  }
}

TEST_CASE("a sharded model is the same as one in one file") {
  const TempFolder folder;
  const TinyFolder shape{.layers = 2};
  const std::string path = write_sharded(folder, shape);
  const std::string bytes = tiny_safetensors(shape).bytes();
  const auto whole = import_tiny(tiny_texts(shape), bytes);
  const auto sharded = open_source(path, {});
  CHECK(sharded->model().tensors.size() == whole->model().tensors.size());
  for (const SourceTensor& tensor : whole->model().tensors) {
    CHECK(read_floats(*sharded, tensor.role, tensor.layer) ==
          read_floats(*whole, tensor.role, tensor.layer));
  }
  const std::string first = folder.get("sharded/1.safetensors"),
                    second = folder.get("sharded/2.safetensors");
  CHECK(sharded->hash({}) == hash128(as_bytes(first + second)));
}

TEST_CASE("an index that disagrees with its shards is refused") {
  const TempFolder folder;
  const std::string path = write_sharded(folder, {.layers = 2});
  const std::string index = folder.get("sharded/model.safetensors.index.json");
  const auto refusal = [&](const std::string& from, const std::string& to) {
    std::string changed = index;
    changed.replace(changed.find(from), from.size(), to);
    folder.put("sharded/model.safetensors.index.json", changed);
    return error_of([&] { open_source(path, {}); }).message();
  };
  CHECK(refusal(R"("model.norm.weight":"1.saf)", R"("model.norm.weight":"2.saf)") ==
        path +
            "/model.safetensors.index.json: expected tensor 'model.norm.weight' in "
            "'2.safetensors', found none");
  CHECK(refusal(R"(norm.weight":"2.)", R"(norm.weight":"../2.)") ==
        path +
            "/model.safetensors.index.json: weight_map: expected the name of a file in the folder, "
            "found "
            "'../2.safetensors'");
  CHECK(refusal(R"(norm.weight":"2.)", R"(norm.weight":"3.)") ==
        path +
            ": expected the file '3.safetensors', which model.safetensors.index.json names, found "
            "none");
  CHECK(refusal(index, R"({"weight_map":{}})") ==
        path + "/model.safetensors.index.json: weight_map: expected tensors, found none");
}

TEST_CASE("folders of other kinds are refused by what they hold") {
  struct Foreign {
    std::vector<const char*> files;
    const char* found;
  };
  const Foreign folders[] = {
      {{}, "expected a model folder with config.json, found an empty folder"},
      {{"notes.txt"}, "expected a model folder with config.json, found none"},
      {{"model.Q4_K_M.gguf"},
       "expected a model folder with config.json, found 'model.Q4_K_M.gguf', GGUF files: name one "
       "of them instead "
       "of the folder"},
      {{"config.json", "pytorch_model.bin"},
       "expected model.safetensors or model.safetensors.index.json, found 'pytorch_model.bin', "
       "PyTorch weights, "
       "which are programs and are not run here: save the model as safetensors (save_pretrained of "
       "the Python "
       "package transformers)"},
      {{"config.json", "hf_quant_config.json", "model.safetensors"},
       "a checkpoint quantized by ModelOpt (hf_quant_config.json) is not supported; expected the "
       "unquantized model, or a GGUF file"},
      {{"config.json", "adapter_config.json", "model.safetensors"},
       "expected a model, found 'adapter_config.json', a LoRA adapter: merge it into its base "
       "model first "
       "(merge_and_unload of the Python package peft)"},
  };
  int number = 0;
  const TempFolder folder;
  for (const Foreign& foreign : folders) {
    const std::string path = folder.file(std::to_string(number++));
    std::filesystem::create_directory(path);
    for (const char* file : foreign.files)
      folder.put(path.substr(folder.path().size()) + "/" + file, "{}");
    CHECK(error_of([&] { open_source(path, {}); }).message() == path + ": " + foreign.found);
  }
}

TEST_CASE("files that are no source are refused by what they are") {
  const TempFolder folder;
  const std::string path = folder.put("x.safetensors", tiny_safetensors().bytes());
  CHECK(error_of([&] { open_source(path, {}); }).message() ==
        path +
            ": expected a GGUF file or a model folder, found a safetensors file: `mica convert` "
            "takes the model "
            "folder that it lies in");
  CHECK(error_of([&] { open_source(folder.file("none.gguf"), {}); }).message() ==
        folder.file("none.gguf") + ": cannot open: No such file or directory");
}
