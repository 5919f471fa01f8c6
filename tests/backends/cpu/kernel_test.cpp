// Single kernels at sizes that no model has: the tails of every loop, on every instruction set.
#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <random>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "backends/cpu/isa.h"
#include "lib/base/half.h"
#include "quant/activations.h"

namespace mica {
namespace {

using cpu::Kernels;

constexpr double kRounding = 0x1p-24;
constexpr float kUntouched = -77;

template <class F>
void on_all_isas(F check) {
  for (const IsaInfo& isa : cpu_isas()) {
    if (!isa.available) continue;
    INFO(isa.name);
    check(cpu::kernels_of(isa.name));
  }
}

std::vector<float> normals(size_t count, unsigned seed = 1) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(engine);
  return values;
}

TEST_CASE("activation codes are those of quant, with the group's constants beside them") {
  on_all_isas([](const Kernels& kernels) {
    for (const int group : {32, 64, 128}) {
      std::vector<float> x = normals(5 * group);
      for (int i = 0; i < group; ++i) {
        x[group + i] = 0;            // a group of zeros
        x[2 * group + i] *= 1e-31f;  // below the smallest scale
        x[3 * group + i] *= 1e32f;   // huge
      }
      x[4 * group + 3] = NAN;
      std::vector<int8_t> codes(x.size()), expected(x.size());
      std::vector<float> scales(5);
      std::vector<cpu::InputGroup> groups(5);
      quantize_activations(x.data(), x.size(), group, expected.data(), scales.data());
      kernels.quantize(x.data(), x.size(), group, codes.data(), groups.data());
      CHECK(codes == expected);
      for (int g = 0; g < 5; ++g) {
        CAPTURE(g);
        CHECK((groups[g].scale == scales[g] || (std::isnan(groups[g].scale) && g == 4)));
        int sum = 0;
        for (int i = 0; i < group; ++i) sum += expected[g * group + i];
        CHECK(groups[g].minus_sum == -sum);
        CHECK(groups[g].start8 == 0x4B400000 - 8 * sum);
        CHECK(groups[g].start128 == 0x4B400000 - 128 * sum);
        if (g == 4) continue;
        CHECK(groups[g].magic == 12582912.0 * scales[g]);  // exactly: compared as doubles
        CHECK(groups[g].scaled_sum == static_cast<float>(sum) * scales[g]);
      }
    }
  });
}

TEST_CASE("norms and ends of products leave nothing out and touch nothing else") {
  on_all_isas([](const Kernels& kernels) {
    for (int64_t size = 1; size <= 50; ++size) {
      CAPTURE(size);
      const auto x = normals(size, 1), weight = normals(size, 2), bias = normals(size, 3);
      std::vector<float> out(size + 1, kUntouched);
      kernels.rms_norm(x.data(), weight.data(), size, 1e-5f, out.data());
      double squares = 0;
      for (const float value : x) squares += double{value} * value;
      const double factor = 1 / std::sqrt(squares / static_cast<double>(size) + 1e-5);
      // The sum of squares, its root and inverse, two products.
      const double error = static_cast<double>(size + 6) * kRounding;
      for (int64_t i = 0; i < size; ++i) {
        const double expected = x[i] * factor * weight[i];
        CHECK(std::fabs(out[i] - expected) <= error * std::fabs(expected));
      }
      CHECK(out[size] == kUntouched);

      const cpu::Finish finish{.tokens = 1,
                               .count = size,
                               .y = {x.data(), size},
                               .bias = bias.data(),
                               .out = {out.data(), size}};
      kernels.store(finish);
      for (int64_t i = 0; i < size; ++i) CHECK(out[i] == x[i] + bias[i]);
      kernels.add(finish);
      for (int64_t i = 0; i < size; ++i) CHECK(out[i] == (x[i] + bias[i]) + (x[i] + bias[i]));
      CHECK(out[size] == kUntouched);
    }
  });
}

float activate(const Kernels& kernels, float x, Activation activation) {
  float out = kUntouched;
  kernels.activate({.tokens = 1,
                    .count = 1,
                    .y = {&x, 1},
                    .bias = nullptr,
                    .out = {&out, 1},
                    .activation = activation});
  return out;
}

// Calls f for numbers of either sign and all magnitudes.
template <class F>
void for_magnitudes(double least, double greatest, F f) {
  for (double magnitude = least; magnitude < greatest; magnitude *= 1.01) {
    f(static_cast<float>(magnitude));
    f(static_cast<float>(-magnitude));
  }
}

TEST_CASE("silu is right to a few units in the last place up to magnitudes of 1e30") {
  on_all_isas([](const Kernels& kernels) {
    for_magnitudes(1e-30, 1e30, [&](float x) {
      const double expected = x / (1 + std::exp(-double{x}));
      // exp's argument is rounded at its own size; below 2^-126 of x the exponential is bounded.
      const double error = (6 + 2 * std::fabs(x)) * kRounding * std::fabs(expected);
      CAPTURE(x);
      CHECK(std::fabs(activate(kernels, x, Activation::kSilu) - expected) <=
            error + std::fabs(x) * 0x1p-126);
    });
  });
}

// Both differences are of terms of x's size at most, rounded a few times.
TEST_CASE("gelu by erf and by tanh is right to 2e-7 or a few roundings of its argument") {
  on_all_isas([](const Kernels& kernels) {
    for_magnitudes(1e-30, 1e30, [&](float x) {
      const double wide = x;
      const double erf = wide / 2 * std::erfc(-wide / std::sqrt(2.0));
      const double inner = std::sqrt(2 / std::acos(-1.0)) * (wide + 0.044715 * wide * wide * wide);
      const double tanh = wide / (1 + std::exp(-2 * inner));
      const double error = std::min(2e-7, 4e-7 * std::fabs(wide)) + 2 * kRounding * std::fabs(wide);
      CAPTURE(x);
      CHECK(std::fabs(activate(kernels, x, Activation::kGelu) - erf) <= error);
      CHECK(std::fabs(activate(kernels, x, Activation::kGeluTanh) - tanh) <= error);
    });
  });
}

TEST_CASE("softcaps are right to 5e-7 of the result, small numbers too, and never exceed the cap") {
  on_all_isas([](const Kernels& kernels) {
    for (const float cap : {0.5f, 30.0f, 72.13f}) {
      for_magnitudes(1e-20, 1e30, [&](float x) {
        float out = kUntouched;
        kernels.store({.tokens = 1,
                       .count = 1,
                       .y = {&x, 1},
                       .bias = nullptr,
                       .out = {&out, 1},
                       .softcap = cap});
        const double expected = cap * std::tanh(double{x} / cap);
        CAPTURE(x);
        CHECK(std::fabs(out - expected) <= 5e-7 * std::fabs(expected));
        CHECK(std::fabs(out) <= cap);
      });
    }
  });
}

TEST_CASE("a layer norm of any length centres, scales and shifts") {
  on_all_isas([](const Kernels& kernels) {
    for (int64_t size = 1; size <= 50; ++size) {
      CAPTURE(size);
      const auto x = normals(size, 1), weight = normals(size, 2), bias = normals(size, 3);
      std::vector<float> out(size + 1, kUntouched);
      kernels.layer_norm(x.data(), weight.data(), bias.data(), size, 1e-5f, out.data());
      double mean = 0, squares = 0;
      for (const float value : x) mean += value / static_cast<double>(size);
      for (const float value : x) squares += (value - mean) * (value - mean);
      const double factor = 1 / std::sqrt(squares / static_cast<double>(size) + 1e-5);
      for (int64_t i = 0; i < size; ++i) {
        const double expected = (x[i] - mean) * factor * weight[i] + bias[i];
        // Numbers below 4, scaled by the factor: the sum and what was centred are rounded.
        const double error = static_cast<double>(size + 8) * kRounding *
                             (4 * factor * std::fabs(weight[i]) + std::fabs(bias[i]));
        CHECK(std::fabs(out[i] - expected) <= error);
      }
      CHECK(out[size] == kUntouched);
    }
  });
}

TEST_CASE("rows of floats of any length and type are multiplied and widened") {
  on_all_isas([](const Kernels& kernels) {
    for (const auto format : {cpu::RowFormat::kF32, cpu::RowFormat::kF16, cpu::RowFormat::kBF16}) {
      for (const int64_t cols : {1, 2, 15, 16, 17, 33, 100}) {
        for (const int64_t rows : {1, 3, 4, 7, 9}) {
          CAPTURE(cols);
          CAPTURE(rows);
          std::vector<float> w = normals(rows * cols, 5);
          const bool wide = format == cpu::RowFormat::kF32;
          std::vector<std::byte> bytes(w.size() * (wide ? 4 : 2));
          for (size_t i = 0; i < w.size(); ++i) {
            const bool is_f16 = format == cpu::RowFormat::kF16;
            const uint16_t half = is_f16 ? f32_to_f16(w[i]) : f32_to_bf16(w[i]);
            if (wide) std::memcpy(&bytes[4 * i], &w[i], 4);
            if (!wide) std::memcpy(&bytes[2 * i], &half, 2);
            if (!wide) w[i] = is_f16 ? f16_to_f32(half) : bf16_to_f32(half);
          }
          std::vector<float> widened(w.size() + 1, kUntouched);
          kernels.widen(format, bytes.data(), rows * cols, widened.data());
          CHECK(std::memcmp(widened.data(), w.data(), w.size() * 4) == 0);
          CHECK(widened.back() == kUntouched);

          constexpr int64_t kTokens = 3;
          const auto x = normals(kTokens * cols, 6);
          std::vector<float> y(kTokens * rows + 1, kUntouched);
          kernels.multiply_rows({format, cols, bytes.data(), rows}, {x.data(), cols}, kTokens,
                                {y.data(), rows});
          for (int64_t t = 0; t < kTokens; ++t) {
            for (int64_t n = 0; n < rows; ++n) {
              double sum = 0, magnitude = 0;
              for (int64_t k = 0; k < cols; ++k) {
                sum += double{x[t * cols + k]} * w[n * cols + k];
                magnitude += std::fabs(double{x[t * cols + k]} * w[n * cols + k]);
              }
              CHECK(std::fabs(y[t * rows + n] - sum) <=
                    static_cast<double>(cols + 2) * kRounding * magnitude);
            }
          }
          CHECK(y.back() == kUntouched);
        }
      }
    }
  });
}

TEST_CASE("two bf16 terms keep 16 bits of a float, and infinity and NaN") {
  on_all_isas([](const Kernels& kernels) {
    for (const int64_t count : {1, 16, 37}) {
      std::vector<float> x = normals(count);
      if (count > 20) x[3] = INFINITY, x[18] = -INFINITY, x[20] = NAN;
      std::vector<uint16_t> high(count + 1, 7), low(count + 1, 7);
      kernels.split(x.data(), count, high.data(), low.data());
      for (int64_t i = 0; i < count; ++i) {
        CAPTURE(i);
        const float first = bf16_to_f32(high[i]), second = bf16_to_f32(low[i]);
        if (std::isnan(x[i])) {
          CHECK(std::isnan(first));
        } else if (std::isinf(x[i])) {
          CHECK(first == x[i]);
          CHECK(second == 0);
        } else {
          CHECK(std::fabs(double{first} + second - x[i]) <= 0x1p-16 * std::fabs(x[i]));
        }
      }
      CHECK(high[count] == 7);
      CHECK(low[count] == 7);
    }
  });
}

// Of `tokens` tokens with `heads` heads at positions 0, 1, ...
struct AttentionInput {
  cpu::KvFormat format;
  int64_t part_bytes;  // of 16 keys
  int64_t size, tokens, heads;
  std::vector<float> q, keys, values;
};

std::vector<float> attend(const Kernels& kernels, const AttentionInput& input) {
  const auto& [format, part, size, tokens, heads, q, keys, values] = input;
  constexpr int64_t kBlock = 16;
  const int64_t rows = tokens * heads, padded = (size + 15) / 16 * 16;
  const int64_t blocks = (tokens + kBlock - 1) / kBlock;
  std::vector<std::byte> cache(blocks * 2 * part, std::byte{0xff});
  std::vector<int32_t> table(blocks);
  for (int64_t b = 0; b < blocks; ++b) table[b] = static_cast<int32_t>(blocks - 1 - b);
  for (int64_t p = 0; p < tokens; ++p) {
    std::byte* block = cache.data() + table[p / kBlock] * 2 * part;
    kernels.store_key(&keys[p * size], size, format, p % kBlock, block);
    kernels.store_value(&values[p * size], size, format, p % kBlock, block + part);
  }
  const cpu::AttentionTile tile{.q = q.data(),
                                .q_stride = heads * size,
                                .tokens = tokens,
                                .heads = heads,
                                .head_size = size,
                                .first_position = 0,
                                .window = INT64_MAX,
                                .scale = 0.5f,
                                .softcap = 0,
                                .format = format,
                                .keys = cache.data(),
                                .part_bytes = part,
                                .block_stride = 2 * part,
                                .blocks = table.data()};
  std::vector<float> scaled(rows * size), scores(rows * cpu::kPiecePositions),
      wide_keys(size * kBlock), wide_values(kBlock * padded), largest(rows), sum(rows),
      state(rows * padded), out(rows * size);
  std::vector<int8_t> codes(rows * size);
  std::vector<cpu::InputGroup> groups(rows);
  const cpu::AttentionState result{largest.data(), sum.data(), state.data()};
  kernels.attend(tile, 0, tokens,
                 {scaled.data(), scores.data(), wide_keys.data(), wide_values.data(), codes.data(),
                  groups.data()},
                 result);
  kernels.finish_attention(tile, result, out.data(), heads * size);
  return out;
}

void check_attention(const Kernels& kernels, int64_t size, int64_t tokens, int64_t heads) {
  const int64_t rows = tokens * heads;
  const auto q = normals(rows * size, 1);
  const auto keys = normals(tokens * size, 2), values = normals(tokens * size, 3);
  const auto out =
      attend(kernels, {cpu::KvFormat::kF32, 16 * size * 4, size, tokens, heads, q, keys, values});
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<double> weights;
    double total = 0;
    for (int64_t p = 0; p <= r / heads; ++p) {
      double score = 0;
      for (int64_t c = 0; c < size; ++c) score += double{q[r * size + c]} * keys[p * size + c];
      weights.push_back(std::exp(0.5 * score));
      total += weights.back();
    }
    for (int64_t c = 0; c < size; ++c) {
      double expected = 0;
      for (size_t p = 0; p < weights.size(); ++p)
        expected += weights[p] / total * values[p * size + c];
      CHECK(out[r * size + c] == doctest::Approx(expected).epsilon(1e-5).scale(1));
    }
  }
}

TEST_CASE("attention takes any even head size, any number of heads and of tokens") {
  on_all_isas([](const Kernels& kernels) {
    for (const int64_t size : {2, 6, 16, 18, 40, 64}) {
      for (const int64_t heads : {1, 3, 5}) {
        for (const int64_t tokens : {1, 5, 16, 37}) {
          CAPTURE(size);
          CAPTURE(heads);
          CAPTURE(tokens);
          check_attention(kernels, size, tokens, heads);
        }
      }
    }
  });
}

// All products of codes are 127 * 127, all of one sign: 256 of them are the most that a sum holds.
TEST_CASE("int8 keys of the largest size and magnitude have exact sums") {
  on_all_isas([](const Kernels& kernels) {
    constexpr int64_t kSize = 256, kTokens = 20;
    std::vector<float> keys, values;
    for (int64_t p = 0; p < kTokens; ++p) {
      keys.insert(keys.end(), kSize, p % 2 == 0 ? 0.01f : -0.01f);  // scores of +-1.28
      values.insert(values.end(), kSize, p % 2 == 0 ? 3.0f : -5.0f);
    }
    const auto out = attend(kernels, {cpu::KvFormat::kInt8, 16 * kSize + 64, kSize, kTokens, 1,
                                      std::vector<float>(kTokens * kSize, 1.0f), keys, values});
    for (int64_t t = 0; t < kTokens; ++t) {
      const double even = std::exp(1.28) * static_cast<double>(t / 2 + 1);
      const double odd = std::exp(-1.28) * static_cast<double>((t + 1) / 2);
      for (int64_t c = 0; c < kSize; ++c) {
        CHECK(out[t * kSize + c] ==
              doctest::Approx((3 * even - 5 * odd) / (even + odd)).epsilon(1e-5));
      }
    }
  });
}

// A scale that is no number tells it of all of the position's channels.
TEST_CASE("NaN and infinity in keys and values of every type stay no numbers") {
  on_all_isas([](const Kernels& kernels) {
    const struct {
      cpu::KvFormat format;
      int64_t part_bytes;
    } kinds[] = {{cpu::KvFormat::kF16, 16 * 32 * 2},
                 {cpu::KvFormat::kBF16, 16 * 32 * 2},
                 {cpu::KvFormat::kF32, 16 * 32 * 4},
                 {cpu::KvFormat::kInt8, 16 * 32 + 64}};
    for (const auto& kind : kinds) {
      CAPTURE(static_cast<int>(kind.format));
      for (const uint32_t bits : {0x7f800000u, 0xff800000u, 0x7fffffffu, 0x7f800001u}) {
        CAPTURE(bits);
        auto values = normals(3 * 32, 3);
        std::memcpy(&values[32 + 7], &bits, 4);
        const auto out = attend(kernels, {kind.format, kind.part_bytes, 32, 3, 1,
                                          normals(3 * 32, 1), normals(3 * 32, 2), values});
        CHECK(std::isfinite(out[7]));
        CHECK_FALSE(std::isfinite(out[32 + 7]));
        CHECK_FALSE(std::isfinite(out[64 + 7]));
      }
    }
  });
}

}  // namespace
}  // namespace mica
