#include "tests/formats/mica_samples.h"

#include <cstring>

#include "tests/formats/mica_exercise.h"

namespace mica::testing {

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

std::vector<TensorSpec> one_segment_specs() {
  return {{.role = Role::kAttnNorm, .layer = 0, .dtype = kF32, .rows = 1, .cols = 32},
          {.role = Role::kAttnQ, .layer = 0, .dtype = kQ4g32, .rows = 16, .cols = 32},
          {.role = Role::kAttnQBias, .layer = 0, .dtype = kF16, .rows = 1, .cols = 16}};
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

FileImage::FileImage(std::string_view bytes)
    : bytes_(as_bytes(bytes).begin(), as_bytes(bytes).end()) {}

FileImage FileImage::of_model(std::vector<TensorSpec> specs) {
  const TempFolder folder;
  write_model(folder.file("model"), std::move(specs), tiny_model_metadata());
  return FileImage(folder.get("model"));
}

FileHeader FileImage::header() const {
  return load_at<FileHeader>(bytes_, 0, "test");
}

void FileImage::set_header(const FileHeader& header) {
  std::memcpy(bytes_.data(), &header, sizeof(header));
}

FileRecord FileImage::record(size_t index) const {
  return load_at<FileRecord>(bytes_, sizeof(FileHeader) + index * sizeof(FileRecord), "test");
}

void FileImage::set_record(size_t index, const FileRecord& record) {
  std::memcpy(bytes_.data() + sizeof(FileHeader) + index * sizeof(FileRecord), &record,
              sizeof(record));
}

void FileImage::seal() {
  testing::seal(bytes_);
}

}  // namespace mica::testing
