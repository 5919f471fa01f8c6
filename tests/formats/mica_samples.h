// Small .mica files for tests, written by the writer itself, and a way to damage them.
#pragma once

#include <string>
#include <vector>

#include "formats/mica_layout.h"
#include "formats/writer.h"
#include "tests/support/temp_folder.h"

namespace mica::testing {

constexpr DType kQ4g32{.type = 16,
                       .group = 32,
                       .layout = TensorLayout::kPanels,
                       .code_bits = 4,
                       .scale_bytes = 2,
                       .offset_bytes = 1};
constexpr DType kQ8g32{
    .type = 19, .group = 32, .layout = TensorLayout::kPanels, .code_bits = 8, .scale_bytes = 2};

// Two layers with biases in one of them, a tied q8 embedding, q4 projections: four segments.
std::vector<TensorSpec> tiny_model_specs();
// Three tensors of one layer: one segment, 65 KiB.
std::vector<TensorSpec> one_segment_specs();
Json tiny_model_metadata();

// Bytes of tensor `index` as the tests fill it: no two tensors alike.
std::string tensor_content(size_t index, uint64_t bytes);
// Writes `specs` with tensor_content and the tokenizer image "tokenizer".
void write_model(const std::string& path, std::vector<TensorSpec> specs, const Json& metadata);

// A file in memory, every field of which can be set to anything.
class FileImage {
 public:
  explicit FileImage(std::string_view bytes);
  static FileImage of_model(std::vector<TensorSpec> specs);

  Bytes bytes() const { return bytes_; }
  std::vector<std::byte>& editable() { return bytes_; }
  FileHeader header() const;
  void set_header(const FileHeader& header);
  FileRecord record(size_t index) const;
  void set_record(size_t index, const FileRecord& record);
  // Makes all checksums but those of tensors right again.
  void seal();

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace mica::testing
