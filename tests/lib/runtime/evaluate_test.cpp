#include "lib/runtime/evaluate.h"

#include <cmath>
#include <cstring>

#include "lib/runtime/session.h"
#include "tests/lib/runtime/tiny_runtime.h"
#include "tests/support/error_of.h"
#include "tests/support/tiny_tokenizer.h"

namespace mica::testing {
namespace {

std::string some_text(int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>('a' + (i * 7 + i * i / 5) % 26);
  return text;
}

// -log p of `next` after what the session holds, in doubles.
double loss(const Session& session, TokenId next) {
  double sum = 0;
  for (const float logit : session.logits()) sum += std::exp(double{logit});
  return std::log(sum) - session.logits()[next];
}

// The definition, one token at a time: windows without overlap, first token replaced by BOS,
// positions context / 2 .. context - 2 scored.
double plain_perplexity(const std::shared_ptr<const LoadedModel>& model, const std::string& text,
                        int context, bool bos) {
  std::vector<TokenId> ids(text.begin(), text.end());
  if (bos) ids.insert(ids.begin(), kBosId);
  double total = 0;
  int count = 0;
  for (size_t begin = 0; begin + context <= ids.size(); begin += context) {
    Session session(model);
    for (int i = 0; i < context - 1; ++i) {
      const TokenId id = bos && i == 0 ? kBosId : ids[begin + i];
      REQUIRE(session.feed({&id, 1}));
      if (i < context / 2) continue;
      total += loss(session, ids[begin + i + 1]);
      ++count;
    }
  }
  return std::exp(total / count);
}

TEST_CASE("perplexity is what its definition gives, for windows shorter and longer than a step") {
  const TempFolder folder;
  for (const bool bos : {false, true}) {
    const auto model = load_tiny(folder, {.tokenizer_image = tiny_tokenizer_image(bos)},
                                 make_engine("generic", 2));
    for (const int context : {9, 64, 600}) {
      CAPTURE(bos);
      CAPTURE(context);
      const std::string text = some_text(1300);
      const EvaluateResult result = evaluate(*model, text, {.context = context});
      const int64_t windows = (1300 + bos) / context;
      CHECK(result.windows == windows);
      CHECK(result.scored_tokens == windows * (context - 1 - context / 2));
      // Equal logits; sums of float exponentials: 2^-23 each.
      CHECK(result.perplexity.value ==
            doctest::Approx(plain_perplexity(model, text, context, bos)).epsilon(1e-5));
      CHECK(result.perplexity.standard_error > 0);
      CHECK_FALSE(result.kl);
    }
  }
}

TEST_CASE("special tokens spelt in the text are text") {
  const TempFolder folder;
  const auto model = load_tiny(folder);
  CHECK(evaluate(*model, "<|im_end|><|im_end|>", {.context = 10}).windows == 2);
}

TEST_CASE("a model against its own base has no divergence beyond the codes' rounding") {
  const TempFolder folder;
  const auto model = load_tiny(folder);
  const std::string base = folder.file("base.kld");
  const std::string text = some_text(300);
  const EvaluateResult saved = evaluate(*model, text, {.context = 32, .save_kl_base = base});
  const EvaluateResult result = evaluate(*model, "", {.kl_base = base});
  CHECK(result.windows == saved.windows);
  CHECK(result.perplexity.value == saved.perplexity.value);
  REQUIRE(result.kl);
  // Codes are steps of at most 16 / 65535: log p is off by half a step, KL by no more than that.
  const double half_step = 8.0 / 65535;
  CHECK(std::abs(result.kl->kl.mean.value) < half_step);
  CHECK(result.kl->kl.quantile("max") < half_step);
  CHECK(result.kl->top1_agreement.value == 1);
  CHECK(result.kl->perplexity_ratio.value == doctest::Approx(1).epsilon(half_step));
  CHECK(result.kl->base_perplexity.value ==
        doctest::Approx(saved.perplexity.value).epsilon(half_step));
}

TEST_CASE("KL against another model is the mean of its definition, with order statistics") {
  const TempFolder folder, other_folder;
  const auto base_model = load_tiny(folder, {.body = "f32", .embedding = "f32"});
  const auto model = load_tiny(other_folder, {.body = "q4g32", .embedding = "q8g32"});
  const std::string base = folder.file("base.kld");
  const std::string text = some_text(256);
  evaluate(*base_model, text, {.context = 32, .save_kl_base = base});
  const EvaluateResult result = evaluate(*model, "", {.kl_base = base});

  std::vector<double> divergences;
  for (int begin = 0; begin < 256; begin += 32) {
    Session p(base_model), q(model);
    for (int i = 0; i < 31; ++i) {
      const TokenId id = text[begin + i];
      REQUIRE(p.feed({&id, 1}));
      REQUIRE(q.feed({&id, 1}));
      if (i < 16) continue;
      double kl = 0;
      for (TokenId t = 0; t < 272; ++t) kl += std::exp(-loss(p, t)) * (loss(q, t) - loss(p, t));
      divergences.push_back(kl);
    }
  }
  double sum = 0;
  for (const double kl : divergences) sum += kl;
  REQUIRE(result.kl);
  const double half_step = 8.0 / 65535;
  CHECK(result.kl->kl.mean.value > 100 * half_step);  // the two do differ
  CHECK(std::abs(result.kl->kl.mean.value - sum / double(divergences.size())) < 2 * half_step);
  CHECK(std::abs(result.kl->kl.quantile("max") -
                 *std::max_element(divergences.begin(), divergences.end())) < 2 * half_step);
  CHECK(result.kl->kl.quantile("p99") <= result.kl->kl.quantile("max"));
  CHECK(result.kl->kl.quantile("p99") >= result.kl->kl.mean.value);
  CHECK(result.kl->top1_agreement.value < 1);
}

TEST_CASE("layers differ from the reference's from the first changed one on") {
  const TempFolder folder, same_folder, other_folder;
  const TinyModel f32{.body = "f32", .embedding = "f32", .layers = 3};
  const auto reference = load_tiny(folder, f32);
  const auto same = load_tiny(same_folder, f32);
  TinyModel changed = f32;
  changed.change_values = [](const TensorSpec& spec, std::vector<float>& values) {
    if (spec.layer != 1) return;
    for (float& value : values) value *= 1.01f;
  };
  const auto other = load_tiny(other_folder, changed);
  const std::string text = some_text(1300);
  for (const int context : {40, 600}) {  // shorter and longer than a step
    const auto layers_of = [&](const auto& model) {
      return evaluate(*model, text, {.context = context, .reference = reference.get()}).layers;
    };
    for (const LayerError& error : layers_of(same)) CHECK(error.max == 0);
    const std::vector<LayerError> errors = layers_of(other);
    REQUIRE(errors.size() == 3);
    CHECK(errors[0].max == 0);
    // Four factors of 1.01, those of norms included, change what the layer adds by some per cent.
    CHECK(errors[1].mean.value > 1e-3);
    CHECK(errors[1].mean.value < 0.2);
    CHECK(errors[1].max > errors[1].mean.value);
    CHECK(errors[1].mean.standard_error > 0);
    CHECK(errors[2].mean.value > 1e-3);
  }
  const TempFolder short_folder;
  const auto shorter = load_tiny(short_folder, {.layers = 2});
  CHECK(error_of([&] { evaluate(*shorter, text, {.reference = reference.get()}); })
            .message()
            .find("expected 3 layers as ") != std::string::npos);
}

TEST_CASE("figures do not depend on threads") {
  const TempFolder folder, other_folder;
  const auto one = load_tiny(folder, {}, make_engine("generic", 1));
  const auto two = load_tiny(other_folder, {}, make_engine("generic", 2));
  const std::string text = some_text(500);
  CHECK(evaluate(*one, text, {.context = 50}).perplexity.value ==
        evaluate(*two, text, {.context = 50}).perplexity.value);
}

TEST_CASE("windows that cannot fit into memory are foretold") {
  const TempFolder folder;
  // 2^22 positions x 4 layers x 2 heads x 2 x 4096 channels x 4 bytes = 1 TiB of keys and values
  const auto model = load_tiny(folder, {.layers = 4,
                                        .hidden_size = 32,
                                        .heads = 2,
                                        .kv_heads = 2,
                                        .head_size = 4096,
                                        .context_length = 1 << 22});
  const std::string text(1 << 22, 'a');
  const Error error =
      error_of([&] { evaluate(*model, text, {.context = 1 << 22, .kv = KvType::kF32}); });
  CHECK(error.code() == ErrorCode::kDoesNotFit);
  CHECK(error.message().find("perplexity with windows of 4194304 tokens: expected 1048") !=
        std::string::npos);
}

// Byte for byte what the format's table says; the peer's own files are tried in the long checks.
TEST_CASE("a base file has the layout of llama.cpp's") {
  const TempFolder folder;
  TinyModel tiny{.vocabulary_size = 271};
  const auto model = load_tiny(folder, tiny);
  evaluate(*model, some_text(30), {.context = 10, .save_kl_base = folder.file("base")});
  const std::string bytes = folder.get("base");
  // 3 windows of 10, positions 5 .. 8 of each; 271 codes and one of padding
  REQUIRE(bytes.size() == 8 + 3 * 4 + 30 * 4 + 3 * 4 * (2 * 4 + 272 * 2));
  CHECK(bytes.substr(0, 8) == "_logits_");
  int32_t counts[3], tokens[30];
  std::memcpy(counts, &bytes[8], sizeof counts);
  std::memcpy(tokens, &bytes[20], sizeof tokens);
  CHECK(counts[0] == 10);
  CHECK(counts[1] == 271);
  CHECK(counts[2] == 3);
  CHECK(tokens[7] == some_text(30)[7]);

  Session session(model);
  REQUIRE(session.feed({tokens, 6}));
  float scale, minimum;
  std::memcpy(&scale, &bytes[20 + 120], 4);
  std::memcpy(&minimum, &bytes[20 + 120 + 4], 4);
  for (const TokenId id : {0, 99, 270}) {
    uint16_t code;
    std::memcpy(&code, &bytes[20 + 120 + 8 + 2 * id], 2);
    // Half a step of rounding; logits here spread over less than 16.
    CHECK(scale * code + minimum == doctest::Approx(-loss(session, id)).epsilon(1e-4));
  }
}

TEST_CASE("damaged and foreign base files are refused") {
  const TempFolder folder;
  const auto model = load_tiny(folder);
  const std::string path = folder.file("base");
  evaluate(*model, some_text(30), {.context = 10, .save_kl_base = path});
  const std::string good = folder.get("base");
  const auto refusal = [&](const std::string& bytes) {
    folder.put("base", bytes);
    return error_of([&] { evaluate(*model, "", {.kl_base = path}); });
  };
  for (size_t size = 0; size < good.size(); size += size < 200 ? 1 : 97) {
    CHECK(refusal(good.substr(0, size)).code() == ErrorCode::kInvalidFile);
  }
  const auto with_int = [&](size_t offset, int32_t value) {
    std::string bytes = good;
    std::memcpy(&bytes[offset], &value, 4);
    return refusal(bytes);
  };
  for (const int32_t value : {0, -1, 2, 1 << 30, -2147483647 - 1}) {
    CHECK(with_int(8, value).code() == ErrorCode::kInvalidFile);                   // context
    CHECK(with_int(12, value).code() == ErrorCode::kUsage);                        // vocabulary
    if (value != 2) CHECK(with_int(16, value).code() == ErrorCode::kInvalidFile);  // windows
  }
  CHECK(with_int(20, 272).code() == ErrorCode::kInvalidFile);  // token
  // A record's scale and minimum: NaN, infinity, -1, 1e30, and -1e30.
  for (const int32_t bits : {0x7fc00000, 0x7f800000, -0x40800000, 0x7149f2ca, -0x0eb60d36}) {
    CHECK(with_int(20 + 120, bits).code() == ErrorCode::kInvalidFile);
    if (bits != -0x40800000) CHECK(with_int(20 + 124, bits).code() == ErrorCode::kInvalidFile);
  }
  CHECK(with_int(20 + 124, 0x41000000)
            .message()
            .starts_with(path + ": record 0: expected log-probabilities of -64 .. 0, found 8 .. "));
  CHECK(with_int(12, 1000).message() ==
        path + ": expected a vocabulary of 272 as the model's, file has 1000");
}

TEST_CASE("what cannot be evaluated is refused with the numbers") {
  const TempFolder folder;
  const auto model = load_tiny(folder);
  const auto refusal = [&](const EvaluateOptions& options) {
    const Error error = error_of([&] { evaluate(*model, some_text(20), options); });
    CHECK(error.code() == ErrorCode::kUsage);
    return error.message();
  };
  CHECK(refusal({.context = 2}) == "perplexity context: expected 3 .. 1024, found 2");
  CHECK(refusal({.context = 1025}) == "perplexity context: expected 3 .. 1024, found 1025");
  CHECK(refusal({.context = 10, .windows = -1}) ==
        "perplexity windows: expected 0 or more, found -1");
  CHECK(refusal({.context = 21}) ==
        "perplexity text: expected at least 21 tokens (one window), found 20");
}

TEST_CASE("progress counts windows and can stop; nothing half-written is left") {
  const TempFolder folder;
  const auto model = load_tiny(folder);
  std::vector<uint64_t> seen;
  EvaluateOptions options{.context = 400, .windows = 2};
  options.progress = [&](uint64_t done, uint64_t total) {
    CHECK(total == 2);
    seen.push_back(done);
    return true;
  };
  CHECK(evaluate(*model, some_text(1300), options).windows == 2);
  CHECK(seen == std::vector<uint64_t>{1, 2});
  options.progress = [](uint64_t, uint64_t) { return false; };
  options.save_kl_base = folder.file("base");
  CHECK(error_of([&] { evaluate(*model, some_text(1300), options); }).code() ==
        ErrorCode::kInterrupted);
  CHECK_FALSE(std::filesystem::exists(folder.file("base")));
}

}  // namespace
}  // namespace mica::testing
