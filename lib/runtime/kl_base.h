// A reference model's log-probabilities on a text, in the file format of llama.cpp's
// `llama-perplexity --kl-divergence-base`, so that one file serves both programs. Little-endian:
//
//   "_logits_", i32 context, i32 vocabulary_size (V), i32 windows
//   i32 tokens [windows, context]
//   records [windows, scored positions]:
//     f32 scale, f32 minimum, u16 codes [V], one more u16 when V is odd
//
//   log p[i] = scale * code[i] + minimum;   logits more than 16 below the greatest count as 16
//   below
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lib/base/mapped_file.h"

namespace mica {

// A text cut into windows; the second half of each is scored, every position by the token after it.
struct EvaluationWindows {
  int64_t context = 0;          // tokens of a window
  std::vector<int32_t> tokens;  // [windows * context]

  int64_t count() const { return static_cast<int64_t>(tokens.size()) / context; }
  int64_t first_scored() const { return context / 2; }
  int64_t scored() const { return context - 1 - first_scored(); }
  // What the model is given: the first of `prefix` (none: nothing) takes the first token's place.
  std::vector<int32_t> window(int64_t index, std::span<const int32_t> prefix) const;
};

// One scored position.
struct KlRecord {
  float scale = 0;
  float minimum = 0;
  std::span<const uint16_t> codes;  // [V]
  float log_probability(int64_t token) const {
    return scale * static_cast<float>(codes[token]) + minimum;
  }
};

// The bytes of one record for V tokens.
uint64_t kl_record_bytes(int64_t vocabulary_size);
// logits: [V]; out: kl_record_bytes(V), aligned to 4.
void write_kl_record(std::span<const float> logits, std::byte* out);
// All before the records.
std::string kl_base_header(const EvaluationWindows& windows, int64_t vocabulary_size);

// A base file, mapped and checked; records are read in place, from any number of threads.
class KlBaseFile {
 public:
  // Throws Error(kInvalidFile), and Error(kUsage) for another vocabulary than the model's.
  KlBaseFile(MappedFile file, int64_t vocabulary_size);

  const EvaluationWindows& windows() const { return windows_; }
  // scored: counted from first_scored(). Throws Error(kInvalidFile) for numbers that are no
  // log-probabilities.
  KlRecord record(int64_t window, int64_t scored) const;
  void check() const { file_.check(); }

 private:
  MappedFile file_;
  int64_t vocabulary_size_;
  EvaluationWindows windows_;
  Bytes records_;
};

}  // namespace mica
