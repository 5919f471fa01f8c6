// Fuzzes the reader of KL base files, for a model of the vocabulary that the file claims: what is
// accepted holds log-probabilities and is written as it was read.
#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "lib/base/error.h"
#include "lib/runtime/kl_base.h"

namespace {

void read_everything(const mica::KlBaseFile& base, int64_t vocabulary) {
  const mica::EvaluationWindows& windows = base.windows();
  for (int64_t window = 0; window < windows.count(); ++window) {
    for (int64_t scored = 0; scored < windows.scored(); ++scored) {
      const mica::KlRecord record = base.record(window, scored);
      for (int64_t token = 0; token < vocabulary; ++token) {
        const float log_p = record.log_probability(token);
        if (!(log_p > -65 && log_p < 0.02f)) std::abort();
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mica;
  const Bytes input(reinterpret_cast<const std::byte*>(data), size);
  constexpr uint64_t kVocabularyOffset = 8 + 4;
  try {
    const int64_t vocabulary =
        std::max(load_at<int32_t>(input, kVocabularyOffset, "vocabulary"), 1);
    const KlBaseFile base(MappedFile::borrow(input, "fuzz.kld"), vocabulary);
    if (!as_text(input).starts_with(kl_base_header(base.windows(), vocabulary))) std::abort();
    read_everything(base, vocabulary);
  } catch (const Error&) {
  }
  return 0;
}
