// Small .mica files for tests, written by the writer itself.
#pragma once

#include <string>
#include <vector>

#include "formats/writer.h"
#include "lib/base/checked.h"

namespace mica::test {

constexpr DType kQ4g32{.type = 16,
                       .group = 32,
                       .layout = TensorLayout::kPanels,
                       .code_bits = 4,
                       .scale_bytes = 2,
                       .offset_bytes = 1};
constexpr DType kQ8g32{
    .type = 19, .group = 32, .layout = TensorLayout::kPanels, .code_bits = 8, .scale_bytes = 2};

// A path of its own in a fresh folder, removed with the object.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::vector<std::string> names() const;

 private:
  std::string folder_;
};

std::string read_file(const std::string& path);
void write_file(const std::string& path, std::string_view bytes);

// Two layers with biases in one of them, a tied q8 embedding, q4 projections: every kind of record.
std::vector<TensorSpec> tiny_model_specs();
Json tiny_model_metadata();
// Bytes of tensor `index` as the tests fill it: no two tensors alike.
std::string tensor_content(size_t index, uint64_t bytes);
// Writes `specs` with tensor_content and the tokenizer image "tokenizer".
void write_model(const std::string& path, std::vector<TensorSpec> specs, const Json& metadata);

}  // namespace mica::test
