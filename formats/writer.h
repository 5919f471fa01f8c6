// Writes a .mica file as a stream, atomically: at most one tensor's bytes are held by the caller,
// none by the writer (formats/FORMAT.md; lib/base/output_file.h).
//
// The layout (offset of every tensor) is fixed by the specs before any weight is written, so the
// same specs and bytes give the same file. Not thread-safe. Nothing touches the disk before the
// first begin_tensor(), so a plan alone is free.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/reader.h"

namespace mica {

struct TensorSpec {
  Role role;
  int layer = kNoLayer;
  int expert = kNoExpert;
  DType dtype;
  uint64_t rows = 0;  // [N, K]
  uint64_t cols = 0;
};

class MicaWriter {
 public:
  // Plans the file; `specs` in any order. Throws Error(kUsage) on duplicates and on specs that
  // cannot be. `tokenizer_image` stays the caller's and must live until finish() has returned.
  // With a `descriptor` of the caller's, an empty file, that is written instead and `path` is only
  // its name in error sentences.
  MicaWriter(std::string path, std::vector<TensorSpec> specs, Bytes tokenizer_image,
             int descriptor = -1);
  ~MicaWriter();

  // Specs in the order of the file, which is the order write_tensor expects.
  const std::vector<TensorSpec>& specs() const;
  // Size of the file when done, without the metadata that finish() adds.
  uint64_t planned_bytes() const;

  // Next tensor in the order of specs(); may be called with the tensor's bytes in several pieces.
  void begin_tensor();
  void write(Bytes bytes);
  void end_tensor(float relative_error);  // throws Error(kRuntime) if bytes are missing

  // Adds the metadata (a JSON object, written with sorted keys), directory and header; then the
  // file appears under its name.
  void finish(const Json& metadata);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mica
