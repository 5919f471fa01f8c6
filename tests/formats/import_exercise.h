// Puts a source through everything an importer does.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "formats/importer.h"

namespace mica::testing {

// `bytes` must outlive what is made of it.
inline SourceFile in_memory(const std::string& name, const std::string& bytes) {
  SourceFile file;
  file.name = name;
  file.bytes = as_bytes(bytes);
  return file;
}

inline std::unique_ptr<Importer> import_gguf_bytes(const std::string& bytes) {
  std::vector<SourceFile> parts;
  parts.push_back(in_memory("tiny.gguf", bytes));
  return import_gguf(std::move(parts));
}

inline size_t find_tensor(const Importer& importer, Role role, int layer) {
  const auto& tensors = importer.model().tensors;
  size_t index = 0;
  while (tensors.at(index).role != role || tensors[index].layer != layer) ++index;
  return index;
}

inline std::vector<float> read_floats(const Importer& importer, Role role, int layer) {
  const size_t index = find_tensor(importer, role, layer);
  const SourceTensor& tensor = importer.model().tensors[index];
  std::vector<float> values(static_cast<size_t>(tensor.rows * tensor.cols));
  importer.read_floats(index, 0, tensor.rows, values.data());
  return values;
}

// Reads all there is, a few rows at a time; sizes were checked against the file when it was opened.
inline void read_everything(const Importer& importer) {
  std::vector<float> values;
  GridRows grid;
  const auto& tensors = importer.model().tensors;
  for (size_t i = 0; i < tensors.size(); ++i) {
    for (int64_t row = 0; row < tensors[i].rows; ++row) {
      values.resize(static_cast<size_t>(tensors[i].cols));
      importer.read_floats(i, row, 1, values.data());
      if (tensors[i].grid.bits > 0) importer.read_grid(i, row, 1, grid);
    }
  }
  importer.model().tokenizer_json.dump();
  importer.model().config.dump();
}

}  // namespace mica::testing
