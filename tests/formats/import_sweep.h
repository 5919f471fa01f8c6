// A deterministic sweep over damaged variants of one small file.
//
// Every variant must be refused with a mica::Error or be read to its end; anything else is a
// failure, as is taking more memory than kBytesPerByte for a byte of the file and kFixedBytes
// besides.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "formats/importer.h"

namespace mica::testing {

class Sweep {
 public:
  using Open = std::function<std::unique_ptr<Importer>(const std::string& bytes)>;

  explicit Sweep(Open open) : open_(std::move(open)) {}

  // Tries one file; whether it was read to its end.
  bool accepts(const std::string& bytes);

  void truncations(const std::string& bytes);  // to every shorter length
  void bit_flips(const std::string& bytes, size_t first, size_t last);
  // 32- and 64-bit boundary values at each place, and at each pair of places.
  void boundary_numbers(const std::string& bytes, const std::vector<size_t>& places);
  // Each of `characters` in each place.
  void characters(const std::string& bytes, size_t first, size_t last, std::string_view characters);
  // Boundary values, written out, for each number in the text, and for each pair of numbers. The
  // length in front of the text follows.
  void boundary_texts(const std::string& bytes, size_t first, size_t last);

  int64_t files() const { return files_; }
  int64_t accepted() const { return accepted_; }
  const std::vector<std::string>& failures() const { return failures_; }  // the first few
  std::string report() const;

 private:
  void fail(const std::string& reason);

  Open open_;
  int64_t files_ = 0;
  int64_t accepted_ = 0;
  int64_t most_taken_ = 0;
  std::vector<std::string> failures_;
};

}  // namespace mica::testing
