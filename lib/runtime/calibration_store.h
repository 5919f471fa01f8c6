// Finished layers of a calibration, in a side file that lives until the conversion is done.
//
// A header with a key, then one record a layer, each with its checksum: what a crash left
// unfinished is not read. Not thread-safe. Failures to write are Error(kRuntime).
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include "lib/base/hash.h"
#include "lib/runtime/calibrate_layer.h"

namespace mica {

class CalibrationStore {
 public:
  // With `resume`, the layers of a file with the same key are read again, and Error(kUsage) is
  // thrown for those with another one; without, they are replaced. A file that is something else is
  // never touched: Error(kUsage).
  CalibrationStore(std::string path, const Hash128& key, bool resume);

  // The next layer that the file has, or none.
  std::vector<CalibratedTensor> read_next();
  // Behind the layers that were read.
  void append(const std::vector<CalibratedTensor>& tensors);
  void remove();
  bool has_layers() const;  // that were read or appended
  const std::string& path() const { return path_; }

 private:
  void open_writer();
  void write(const std::string& record);
  [[noreturn]] void fail(const std::string& reason) const;

  std::string path_;
  Hash128 key_;
  std::ifstream reader_;
  uint64_t valid_bytes_ = 0;  // of the header and the layers that were read or written
  std::ofstream writer_;      // open from the first append on
};

}  // namespace mica
