#include "lib/runtime/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <fmt/format.h>
#include <limits>
#include <random>

namespace mica {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

void check_range(double value, bool good, ErrorCode code, std::string_view what, const char* name,
                 const char* expected) {
  if (good) return;
  throw Error(code, fmt::format("{}.{}: expected {}, found {}", what, name, expected, value));
}

// Finite or -infinity.
float tame(float logit) {
  return std::isnan(logit) ? -kInfinity : std::min(logit, std::numeric_limits<float>::max());
}

// The place of the first of the largest numbers. In lanes, which compilers turn into vectors: a
// vocabulary of 262,144 takes as long as a layer of a small model otherwise.
size_t find_largest(std::span<const float> values) {
  constexpr size_t kLanes = 16;
  float lanes[kLanes];
  std::fill_n(lanes, kLanes, -kInfinity);
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const float value = values[i + lane];
      lanes[lane] = value > lanes[lane] ? value : lanes[lane];
    }
  }
  float largest = *std::max_element(lanes, lanes + kLanes);
  for (; i < values.size(); ++i) largest = std::max(largest, values[i]);
  return static_cast<size_t>(std::find(values.begin(), values.end(), largest) - values.begin());
}

// The order of candidates.
constexpr auto heavier = [](const auto& a, const auto& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
};

// Below 2^53: seeds are printed as JSON, whose readers mostly know doubles only.
uint64_t system_seed() {
  std::random_device device;
  return ((uint64_t{device()} << 32) | device()) >> 11;
}

}  // namespace

void check_sampler_options(const SamplerOptions& o, ErrorCode code, std::string_view what) {
  const auto check = [&](double value, bool good, const char* name, const char* expected) {
    check_range(value, good, code, what, name, expected);
  };
  const auto finite = [](float value) { return std::isfinite(value); };
  check(o.temperature, o.temperature >= 0 && finite(o.temperature), "temperature", "0 or more");
  check(static_cast<double>(o.top_k), o.top_k >= 0, "top_k", "0 or more");
  check(o.top_p, o.top_p > 0 && o.top_p <= 1, "top_p", "0 < top_p <= 1");
  check(o.min_p, o.min_p >= 0 && o.min_p <= 1, "min_p", "0 .. 1");
  check(o.repetition_penalty, o.repetition_penalty > 0 && finite(o.repetition_penalty),
        "repetition_penalty", "more than 0");
  check(o.frequency_penalty, finite(o.frequency_penalty), "frequency_penalty", "a finite number");
  check(o.presence_penalty, finite(o.presence_penalty), "presence_penalty", "a finite number");
  for (const LogitBias& bias : o.bias) {
    check(bias.value, bias.value < kInfinity, "bias", "a number below infinity");
  }
}

Pcg32::Pcg32(uint64_t seed) {
  next();
  state_ += seed;
  next();
}

uint32_t Pcg32::next() {
  const uint64_t old = state_;
  state_ = old * 6364136223846793005u + 1442695040888963407u;
  const auto shifted = static_cast<uint32_t>(((old >> 18) ^ old) >> 27);
  return std::rotr(shifted, static_cast<int>(old >> 59));
}

double Pcg32::uniform() {
  const uint64_t high = next() >> 5;  // 27 bits
  const uint64_t low = next() >> 6;   // 26 bits
  return static_cast<double>((high << 26) | low) * 0x1p-53;
}

Sampler::Sampler(const SamplerOptions& options, int64_t vocabulary_size)
    : options_(options),
      seed_(options.seed ? *options.seed : system_seed()),
      random_(seed_),
      logits_(vocabulary_size) {
  check_sampler_options(options, ErrorCode::kUsage, "sampling");
  for (const LogitBias& bias : options.bias) {
    if (bias.id >= 0 && bias.id < vocabulary_size) continue;
    throw Error(ErrorCode::kUsage, fmt::format("sampling.bias: expected an id below {}, found {}",
                                               vocabulary_size, bias.id));
  }
}

void Sampler::see_prompt(std::span<const int32_t> ids) {
  for (const int32_t id : ids) {
    if (id < std::ssize(logits_)) seen_[id].anywhere = true;
  }
}

int32_t Sampler::sample(std::span<const float> logits) {
  logits = logits.first(logits_.size());
  std::transform(logits.begin(), logits.end(), logits_.begin(), tame);
  penalize(logits_);
  const size_t first = find_largest(logits_);
  if (!(logits_[first] > -kInfinity)) {
    throw Error(ErrorCode::kRuntime,
                "sampling: expected at least one possible token, found every logit to be "
                "-infinity or not a number");
  }
  const int32_t id = options_.temperature == 0 ? static_cast<int32_t>(first) : draw(logits_[first]);
  Seen& seen = seen_[id];
  seen.anywhere = true;
  ++seen.in_answer;
  return id;
}

void Sampler::penalize(std::span<float> logits) const {
  for (const LogitBias& bias : options_.bias) {
    logits[bias.id] = tame(logits[bias.id] + bias.value);
  }
  for (const auto& [id, seen] : seen_) {
    float& logit = logits[id];
    logit = logit < 0 ? logit * options_.repetition_penalty : logit / options_.repetition_penalty;
    if (seen.in_answer > 0) {
      logit -= options_.presence_penalty;
      logit -= options_.frequency_penalty * static_cast<float>(seen.in_answer);
    }
    logit = tame(logit);
  }
}

int32_t Sampler::draw(float greatest) {
  candidates_.clear();
  sorted_ = 0;
  const auto k = static_cast<size_t>(options_.top_k);
  if (k > 0 && k < logits_.size()) {
    take_top_k(k);
  } else {
    for (size_t i = 0; i < logits_.size(); ++i) {
      candidates_.push_back({static_cast<int32_t>(i), logits_[i]});
    }
  }
  for (Candidate& c : candidates_) {
    // Relative to the greatest, so that a weight is at most 1 and no temperature overflows.
    c.weight = std::exp((c.weight - greatest) / options_.temperature);
  }
  std::erase_if(candidates_, [](const Candidate& c) { return c.weight == 0; });
  sorted_ = std::min(sorted_, candidates_.size());
  if (options_.top_p < 1) keep_top_p();
  // The greatest weight is 1 whatever was dropped.
  std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < options_.min_p; });

  double left = random_.uniform() * total_weight();
  for (const Candidate& c : candidates_) {
    left -= c.weight;
    if (left < 0) return c.id;
  }
  return candidates_.back().id;  // rounding left a crumb
}

// The k likeliest, sorted, with their logits as weights. Almost every token falls to the first
// comparison.
void Sampler::take_top_k(size_t k) {
  for (size_t i = 0; i < logits_.size(); ++i) {
    const bool full = candidates_.size() == k;
    if (full && logits_[i] <= candidates_.front().weight) continue;
    if (full) {
      std::pop_heap(candidates_.begin(), candidates_.end(), heavier);
      candidates_.pop_back();
    }
    candidates_.push_back({static_cast<int32_t>(i), logits_[i]});
    std::push_heap(candidates_.begin(), candidates_.end(), heavier);
  }
  std::sort(candidates_.begin(), candidates_.end(), heavier);
  sorted_ = k;
}

double Sampler::total_weight() const {
  double total = 0;
  for (const Candidate& c : candidates_) total += c.weight;
  return total;
}

// Keeps a token while those before it do not yet reach p. Sorting everything would cost more than a
// small model's step, and mostly a few dozen tokens hold the mass.
void Sampler::keep_top_p() {
  const double enough = options_.top_p * total_weight();
  double before = 0;
  size_t kept = 0;
  for (; kept < candidates_.size() && (kept == 0 || before < enough); ++kept) {
    if (kept == sorted_) sort_first(std::min(candidates_.size(), 64 + 4 * kept));
    before += candidates_[kept].weight;
  }
  candidates_.resize(kept);
}

// Puts the `count` heaviest first, in descending order.
void Sampler::sort_first(size_t count) {
  if (count <= sorted_) return;
  const auto from = candidates_.begin() + static_cast<ptrdiff_t>(sorted_);
  const auto to = candidates_.begin() + static_cast<ptrdiff_t>(count);
  std::nth_element(from, to, candidates_.end(), heavier);
  std::sort(from, to, heavier);
  sorted_ = count;
}

}  // namespace mica
