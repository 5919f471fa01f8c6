// One interface over other people's model files: what the model is, and its tensors one at a time.
//
// An importer maps its source and validates it when opened; rows are decoded on demand, so that a
// conversion holds at most one tensor. read_* may be called from several threads at once.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/roles.h"
#include "lib/base/checked.h"
#include "lib/base/hash.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/tensor/dtype.h"
#include "lib/tensor/grid.h"

namespace mica {

struct SourceTensor {
  std::string source_name;  // as the source calls it, for messages
  Role role;
  int layer = kNoLayer;
  int64_t rows = 0;  // [N, K]; a vector is [1, K]
  int64_t cols = 0;
  std::string source_type;           // "Q4_1", "BF16"
  GridKind grid;                     // bits = 0: floats
  std::optional<DType> stored = {};  // of a .mica file, whose bytes can be copied
  float relative_error = 0;          // that they came with; NaN: not measured
  bool is_float() const {
    if (stored) return stored->layout == TensorLayout::kRows;
    return grid.bits == 0 && source_type[0] != 'Q';
  }
};

struct ImportedModel {
  std::string kind;     // "gguf", "huggingface", "mica"
  std::string name;     // file or folder name without its path
  Json config;          // the "model" object of FORMAT.md, "Metadata"
  Json generation;      // the "generation" object
  Json tokenizer_json;  // as Hugging Face's tokenizer.json; null when the source has none
  Bytes tokenizer_image =
      {};               // in its place, ready for a .mica file; lives as long as the importer
  Json origin;          // the "source" object of what the source was converted from
  Json special_tokens;  // {"bos": id, "eos": [ids], "pad": id, "unk": id}, absent ones left out
  std::string chat_template;  // empty when the source has none
  std::string chat_template_source;
  std::vector<SourceTensor> tensors;
  std::vector<std::string> notes;  // settings ignored, tensors skipped: shown, never hidden
};

class Importer {
 public:
  virtual ~Importer() = default;
  virtual const ImportedModel& model() const = 0;

  // Rows [first, first + rows) of tensor `index` of model().tensors as floats, out: [rows, cols].
  virtual void read_floats(size_t index, int64_t first, int64_t rows, float* out) const = 0;
  // The same rows on their grid; only where tensors[index].grid.bits > 0. Reuses `out`'s
  // vectors.
  virtual void read_grid(size_t index, int64_t first, int64_t rows, GridRows& out) const = 0;
  // The bytes of tensor `index`; only where tensors[index].stored.
  virtual Bytes stored_bytes(size_t) const { return {}; }
  // XXH3-128 over all bytes of the source's weight files in order, names left out; of a .mica file
  // its header_hash, which stands for all of it.
  virtual Hash128 hash(const Progress& progress) const = 0;
  virtual uint64_t source_bytes() const = 0;
};

// `source`: a .gguf file (the first one of a split set), a model folder, or a Hugging Face cache
// name ORG/NAME[@revision]. Throws Error(kRuntime) when there is no such thing,
// Error(kInvalidFile), Error(kUnsupported).
std::unique_ptr<Importer> open_source(const std::string& source, const LogSink& log);

}  // namespace mica
