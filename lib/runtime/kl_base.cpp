#include "lib/runtime/kl_base.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>

#include "lib/base/error.h"

namespace mica {
namespace {

constexpr std::string_view kMagic = "_logits_";
constexpr float kClip = 16;
// Every record's log-probabilities lie between: at most rounding above 0, and no further below the
// greatest than the clip, itself at least -log(V). Others would make sums infinite.
constexpr float kLeastLogProbability = -64;
constexpr float kGreatestLogProbability = 0.01f;

}  // namespace

std::vector<int32_t> EvaluationWindows::window(int64_t index,
                                               std::span<const int32_t> prefix) const {
  const auto first = tokens.begin() + index * context;
  std::vector<int32_t> ids(first, first + context);
  if (!prefix.empty()) ids[0] = prefix.front();
  return ids;
}

uint64_t kl_record_bytes(int64_t vocabulary_size) {
  return 2 * sizeof(float) + (static_cast<uint64_t>(vocabulary_size) + 1) / 2 * 4;
}

void write_kl_record(std::span<const float> logits, std::byte* out) {
  const auto [least, greatest] = std::minmax_element(logits.begin(), logits.end());
  const float low = std::max(*least, *greatest - kClip);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - *greatest);
  const float scale = (*greatest - low) / 65535.0f;
  const float minimum = low - *greatest - static_cast<float>(std::log(sum));
  std::memset(out, 0, kl_record_bytes(std::ssize(logits)));
  std::memcpy(out, &scale, sizeof(float));
  std::memcpy(out + sizeof(float), &minimum, sizeof(float));
  if (scale == 0) return;
  const float steps_a_unit = 1 / scale;
  auto* codes = reinterpret_cast<uint16_t*>(out + 2 * sizeof(float));
  for (size_t i = 0; i < logits.size(); ++i) {
    const float steps = std::nearbyint((std::max(logits[i], low) - low) * steps_a_unit);
    codes[i] = static_cast<uint16_t>(std::min(steps, 65535.0f));
  }
}

std::string kl_base_header(const EvaluationWindows& windows, int64_t vocabulary_size) {
  const int32_t counts[] = {static_cast<int32_t>(windows.context),
                            static_cast<int32_t>(vocabulary_size),
                            static_cast<int32_t>(windows.count())};
  std::string header(kMagic);
  header += as_text(std::as_bytes(std::span(counts)));
  header += as_text(std::as_bytes(std::span(windows.tokens)));
  return header;
}

KlBaseFile::KlBaseFile(MappedFile file, int64_t vocabulary_size)
    : file_(std::move(file)), vocabulary_size_(vocabulary_size) {
  const std::string& path = file_.path();
  ByteReader reader(file_.bytes(), path);
  if (as_text(reader.read_bytes(kMagic.size())) != kMagic) {
    throw Error(ErrorCode::kInvalidFile,
                fmt::format("{}: expected a KL base file, which begins with '{}'", path, kMagic));
  }
  const auto context = reader.read<int32_t>();
  const auto vocabulary = reader.read<int32_t>();
  const auto count = reader.read<int32_t>();
  // Below 3 nothing is scored; the upper bounds keep products far below 2^63.
  windows_.context = static_cast<int64_t>(
      checked_range(static_cast<uint64_t>(context), 3, 1 << 24, path + ": context"));
  checked_range(static_cast<uint64_t>(count), 1, 1 << 24, path + ": windows");
  if (vocabulary != vocabulary_size) {
    throw Error(ErrorCode::kUsage, fmt::format("{}: expected a vocabulary of {} as the model's, "
                                               "file has {}",
                                               path, vocabulary_size, vocabulary));
  }
  const uint64_t tokens = static_cast<uint64_t>(context) * static_cast<uint64_t>(count);
  const Bytes token_bytes = reader.read_bytes(tokens * sizeof(int32_t));
  windows_.tokens.resize(tokens);
  std::memcpy(windows_.tokens.data(), token_bytes.data(), token_bytes.size());
  for (const int32_t token : windows_.tokens) {
    checked_range(static_cast<uint64_t>(token), 0, vocabulary_size - 1, path + ": token");
  }
  const uint64_t scored = static_cast<uint64_t>(count) * windows_.scored();
  records_ =
      reader.read_bytes(checked_mul(scored, kl_record_bytes(vocabulary_size), path + ": records"));
}

KlRecord KlBaseFile::record(int64_t window, int64_t scored) const {
  const uint64_t index = window * windows_.scored() + scored;
  const std::byte* at = records_.data() + index * kl_record_bytes(vocabulary_size_);
  KlRecord record;
  std::memcpy(&record.scale, at, sizeof(float));
  std::memcpy(&record.minimum, at + sizeof(float), sizeof(float));
  const float greatest = record.minimum + 65535 * record.scale;
  if (!(record.scale >= 0 && record.minimum >= kLeastLogProbability &&
        greatest <= kGreatestLogProbability)) {
    throw Error(ErrorCode::kInvalidFile,
                fmt::format("{}: record {}: expected log-probabilities of {} .. 0, found {} .. {}",
                            file_.path(), index, kLeastLogProbability, record.minimum, greatest));
  }
  record.codes = {reinterpret_cast<const uint16_t*>(at + 2 * sizeof(float)),
                  static_cast<size_t>(vocabulary_size_)};
  return record;
}

}  // namespace mica
