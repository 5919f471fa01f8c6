// A .mica file, mapped and validated (formats/FORMAT.md).
//
// open() copies and checks header, directory and metadata, checksums included, so the cost does not
// grow with the weights or the vocabulary. All views point into the map and live as long as the
// reader. Reading from several threads is safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/roles.h"
#include "lib/base/hash.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/mapped_file.h"
#include "lib/tensor/dtype.h"

namespace mica {

// One record of the directory, checked: geometry, size and place in the file are consistent. The
// type may be one that quant/ does not know (find_weight_type, quant/weight_type.h).
struct TensorRecord {
  std::string name;
  Role role;
  int layer;   // kNoLayer outside of layers
  int expert;  // kNoExpert outside of routed experts
  DType dtype;
  uint64_t rows;  // [N, K]; a vector is [1, K]
  uint64_t cols;
  uint64_t padded_rows;
  uint64_t offset;  // in the file
  uint64_t bytes;
  uint64_t slab_stride;
  float relative_error;  // of quantization against the source; NaN: not measured
  Hash128 hash;
};

// Tensors that lie together: one layer, the embeddings, the head.
struct Segment {
  int layer;   // kNoLayer: outside of layers
  int expert;  // kNoExpert: all but a routed expert's own segment
  uint64_t offset;
  uint64_t bytes;  // up to the end of its last tensor
};

class MicaFile {
 public:
  // Throws Error: kInvalidFile for what no .mica file is, kVerification when a checksum of header,
  // directory or metadata disagrees, kUnsupported for a newer version or feature.
  static MicaFile open(const std::string& path, LoadMode mode = LoadMode::kMap);
  static MicaFile open(MappedFile file);

  const std::string& path() const { return file_.path(); }
  uint32_t version() const { return version_; }
  uint64_t file_bytes() const { return file_.bytes().size(); }
  std::span<const TensorRecord> tensors() const { return tensors_; }  // sorted by name
  std::span<const Segment> segments() const { return segments_; }     // sorted by offset
  // nullptr when there is none.
  const TensorRecord* find(Role role, int layer, int expert = kNoExpert) const;
  Bytes data(const TensorRecord& record) const;
  const Json& metadata() const { return metadata_; }
  Bytes tokenizer_image() const { return tokenizer_; }
  // Of the header, which holds the hashes of all regions: it stands for the whole file.
  const Hash128& header_hash() const { return header_hash_; }

  // Names of regions and tensors whose checksum disagrees, and "padding before NAME" where bytes
  // between them are not zero; empty: all is well. Reads the whole file in order. Throws
  // Error(kInterrupted) when `progress` returns false.
  std::vector<std::string> find_damage(const Progress& progress) const;
  // Throws when the file was truncated underneath (MappedFile::check).
  void check() const { file_.check(); }
  // As MappedFile::release().
  void release(Bytes part) const { file_.release(part); }

 private:
  explicit MicaFile(MappedFile file) : file_(std::move(file)) {}

  MappedFile file_;
  uint32_t version_ = 0;
  std::vector<TensorRecord> tensors_;
  std::vector<uint32_t> by_role_;  // indices of tensors_, sorted by (layer, expert, role)
  std::vector<Segment> segments_;
  Json metadata_;
  Bytes tokenizer_;
  Hash128 directory_hash_;
  Hash128 header_hash_;
};

}  // namespace mica
