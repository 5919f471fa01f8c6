#include "tests/formats/mica_samples.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace mica::test {

ScratchFolder::ScratchFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "mica-test-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  folder_ = pattern;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::vector<std::string> ScratchFolder::names() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<long>(bytes.size()));
}

std::vector<TensorSpec> tiny_model_specs() {
  std::vector<TensorSpec> specs;
  // As no file has them: the writer sorts.
  specs.push_back({.role = Role::kOutputNorm, .dtype = kF32, .rows = 1, .cols = 32});
  for (int layer : {1, 0}) {
    specs.push_back(
        {.role = Role::kFfnDown, .layer = layer, .dtype = kQ4g32, .rows = 32, .cols = 64});
    specs.push_back(
        {.role = Role::kAttnQ, .layer = layer, .dtype = kQ4g32, .rows = 20, .cols = 32});
    specs.push_back(
        {.role = Role::kAttnNorm, .layer = layer, .dtype = kF32, .rows = 1, .cols = 32});
  }
  specs.push_back({.role = Role::kAttnQBias, .layer = 1, .dtype = kF16, .rows = 1, .cols = 20});
  specs.push_back({.role = Role::kTokenEmbedding, .dtype = kQ8g32, .rows = 17, .cols = 32});
  return specs;
}

Json tiny_model_metadata() {
  return Json::object({{"source", Json::object({{"name", "tiny.gguf"}, {"kind", "gguf"}})},
                       {"model", Json::object({{"layers", 2}, {"architecture", "llama"}})}});
}

std::string tensor_content(size_t index, uint64_t bytes) {
  std::string content(bytes, '\0');
  for (uint64_t i = 0; i < bytes; ++i) content[i] = static_cast<char>(i * 7 + index * 31 + 1);
  return content;
}

void write_model(const std::string& path, std::vector<TensorSpec> specs, const Json& metadata) {
  MicaWriter writer(path, std::move(specs), as_bytes("tokenizer"));
  for (size_t i = 0; i < writer.specs().size(); ++i) {
    const TensorSpec& spec = writer.specs()[i];
    const std::string content =
        tensor_content(i, tensor_bytes(spec.dtype, spec.rows, spec.cols, "test"));
    writer.begin_tensor();
    writer.write(as_bytes(content).first(content.size() / 3));
    writer.write(as_bytes(content).subspan(content.size() / 3));
    writer.end_tensor(0.25f);
  }
  writer.finish(metadata);
}

}  // namespace mica::test
