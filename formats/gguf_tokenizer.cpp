#include "formats/gguf_tokenizer.h"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <iterator>

#include "formats/invalid.h"
#include "formats/sentencepiece_json.h"
#include "formats/tokenizer_json.h"
#include "lib/base/error.h"

namespace mica {
namespace {

// Values of tokenizer.ggml.token_type.
enum TokenType : int32_t { kControl = 3, kUserDefined = 4, kLastTokenType = 6 };

// Spellings of tokens that end a turn, where a file's keys name the end of the text alone: Gemma's,
// Phi-3's, ChatML's, Llama 3's (and its end of a message to a tool), Granite's, OpenChat's,
// SmolVLM's, DeepSeek's. Not "</s>", which Gemma has as a tag of HTML.
constexpr std::string_view kTurnEnds[] = {"<end_of_turn>",
                                          "<|end|>",
                                          "<|im_end|>",
                                          "<|eot_id|>",
                                          "<|eom_id|>",
                                          "<|endoftext|>",
                                          "<|end_of_text|>",
                                          "<|end_of_turn|>",
                                          "<EOT>",
                                          "<end_of_utterance>",
                                          "<\uff5cend\u2581of\u2581sentence\uff5c>"};

// What `tokenizer.ggml.pre` stands for. Patterns are those of the models' own tokenizer.json.
struct PreTokenizer {
  const char* name;
  std::vector<const char*> patterns;  // each splits what the ones before it left
  bool gpt2_pattern;                  // the pattern built into ByteLevel, after the others
  bool single_digits;
  bool nfc;
  bool ignore_merges;
  bool add_bos;  // unless the file says otherwise
};

const std::vector<PreTokenizer>& pre_tokenizers() {
  static const char* kLlama3 =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
      R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  static const char* kQwen2 = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
                              R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  static const char* kGpt2 =
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
  // Of tiktoken's o200k; Mistral's has no contractions and single digits.
  static const char* kO200k =
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
      R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  static const char* kTekken =
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
      R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  static const char* kQwen35 =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|)"
      R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  static const std::vector<PreTokenizer> kTable = {
      {.name = "default",
       .patterns = {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
      {.name = "gpt-2", .gpt2_pattern = true},
      {.name = "phi-2", .gpt2_pattern = true},
      {.name = "olmo", .gpt2_pattern = true, .nfc = true},
      {.name = "mpt", .gpt2_pattern = true, .nfc = true},
      {.name = "starcoder", .gpt2_pattern = true, .single_digits = true},
      {.name = "refact", .gpt2_pattern = true, .single_digits = true},
      {.name = "smollm", .gpt2_pattern = true, .single_digits = true},
      {.name = "codeshell", .gpt2_pattern = true, .single_digits = true},
      {.name = "command-r", .gpt2_pattern = true, .single_digits = true, .nfc = true},
      {.name = "llama-bpe", .patterns = {kLlama3}, .ignore_merges = true, .add_bos = true},
      {.name = "llama-v3", .patterns = {kLlama3}, .ignore_merges = true, .add_bos = true},
      {.name = "llama3", .patterns = {kLlama3}, .ignore_merges = true, .add_bos = true},
      {.name = "falcon3", .patterns = {kLlama3}, .ignore_merges = true, .add_bos = true},
      {.name = "pixtral", .patterns = {kLlama3}, .ignore_merges = true, .add_bos = true},
      {.name = "smaug-bpe", .patterns = {kLlama3}},
      {.name = "dbrx", .patterns = {kLlama3}},
      {.name = "tekken", .patterns = {kTekken}, .ignore_merges = true, .add_bos = true},
      {.name = "gpt-4o", .patterns = {kO200k}},
      {.name = "llama4", .patterns = {kO200k}},
      {.name = "qwen2", .patterns = {kQwen2}, .nfc = true},
      {.name = "deepseek-r1-qwen", .patterns = {kQwen2}, .nfc = true},
      {.name = "stablelm2", .patterns = {kQwen2}},
      {.name = "qwen35", .patterns = {kQwen35}, .nfc = true},
  };
  return kTable;
}

const PreTokenizer& find_pre_tokenizer(const GgufFile& file, std::vector<std::string>& notes) {
  const auto name = file.string("tokenizer.ggml.pre");
  if (!name)
    notes.push_back("the file names no pre-tokenizer (tokenizer.ggml.pre): 'default' is used");
  std::string known;
  for (const PreTokenizer& pre : pre_tokenizers()) {
    if (pre.name == name.value_or("default")) return pre;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", pre.name);
  }
  throw Error(ErrorCode::kUnsupported,
              fmt::format("{}: pre-tokenizer '{}' is not supported; expected one of {}",
                          file.what("tokenizer.ggml.pre"), *name, known));
}

Json pre_tokenizer_json(const PreTokenizer& pre) {
  Json steps = Json::array();
  for (const char* pattern : pre.patterns) steps.push_back(split_json(pattern));
  if (pre.single_digits) {
    steps.push_back(Json::object({{"type", "Digits"}, {"individual_digits", true}}));
  }
  steps.push_back(byte_level_json(pre.gpt2_pattern));
  return Json::object({{"type", "Sequence"}, {"pretokenizers", std::move(steps)}});
}

class Reader {
 public:
  explicit Reader(const GgufFile& file) : file_(file) {}

  GgufTokenizer read() {
    if (!file_.find("tokenizer.ggml.model")) return {};
    const std::string_view model = *file_.string("tokenizer.ggml.model");
    if (model == "gpt2") {
      const PreTokenizer& pre = find_pre_tokenizer(file_, result_.notes);
      read_tokens();
      read_special_tokens({});
      build_byte_level(pre);
    } else if (model == "llama") {
      read_tokens();
      read_special_tokens({.bos = 1, .eos = 2, .unknown = 0});
      build_sentencepiece_bpe();
      if (file_.string("general.architecture") == "phi3") strip_behind_tokens();
    } else if (model == "t5") {
      read_tokens();
      read_special_tokens({.eos = 1, .unknown = 2, .padding = 0});
      build_unigram();
    } else {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("{}: tokenizer '{}' is not supported; expected 'gpt2' (byte-level "
                              "BPE), 'llama' (SentencePiece BPE) or 't5' (unigram)",
                              file_.what("tokenizer.ggml.model"), model));
    }
    return std::move(result_);
  }

 private:
  void read_tokens() {
    auto tokens = file_.strings("tokenizer.ggml.tokens");
    if (!tokens || tokens->empty()) fail("tokenizer.ggml.tokens", "expected tokens, found none");
    tokens_ = std::move(*tokens);
    result_.tokens = tokens_.size();
    std::vector<std::string_view> sorted = tokens_;
    std::sort(sorted.begin(), sorted.end());
    const auto same = std::adjacent_find(sorted.begin(), sorted.end());
    if (same != sorted.end()) {
      fail("tokenizer.ggml.tokens",
           fmt::format("expected distinct tokens, found '{}' twice", *same));
    }
    if (auto types = file_.int32s("tokenizer.ggml.token_type")) {
      types_ = std::move(*types);
      if (types_.size() != tokens_.size()) {
        fail("tokenizer.ggml.token_type",
             fmt::format("expected {} elements, one for each token, found {}", tokens_.size(),
                         types_.size()));
      }
    }
  }

  // What holds when a file does not say it.
  struct Defaults {
    std::optional<uint64_t> bos = {}, eos = {}, unknown = {}, padding = {};
  };

  std::optional<uint64_t> token_id(const char* key, std::optional<uint64_t> otherwise = {}) const {
    const auto id = file_.unsigned_integer(key);
    if (!id) return otherwise && *otherwise < tokens_.size() ? otherwise : std::nullopt;
    if (*id >= tokens_.size()) {
      fail(key, fmt::format("expected a token below {}, found {}", tokens_.size(), *id));
    }
    return id;
  }

  void read_special_tokens(const Defaults& defaults) {
    bos_ = token_id("tokenizer.ggml.bos_token_id", defaults.bos);
    eos_ = token_id("tokenizer.ggml.eos_token_id", defaults.eos);
    unknown_ = token_id("tokenizer.ggml.unknown_token_id", defaults.unknown);
    Json& special = result_.special_tokens;
    special = Json::object();
    if (bos_) special["bos"] = *bos_;
    if (const Json::Array eos = end_tokens(); !eos.empty()) special["eos"] = Json(eos);
    if (const auto pad = token_id("tokenizer.ggml.padding_token_id", defaults.padding)) {
      special["pad"] = *pad;
    }
    if (unknown_) special["unk"] = *unknown_;
  }

  // The end of the text first; that of a turn and of a message to a tool end an answer as well.
  Json::Array end_tokens() const {
    Json::Array ends;
    const auto add = [&](uint64_t id) {
      if (std::find(ends.begin(), ends.end(), Json(id)) == ends.end()) ends.emplace_back(id);
    };
    for (const auto id :
         {eos_, token_id("tokenizer.ggml.eot_token_id"), token_id("tokenizer.ggml.eom_token_id")}) {
      if (id) add(*id);
    }
    for (size_t id = 0; id < types_.size(); ++id) {
      if (!is_added(type_of(id))) continue;
      const auto end = std::end(kTurnEnds);
      if (std::find(std::begin(kTurnEnds), end, tokens_[id]) != end) add(id);
    }
    return ends;
  }

  // A token written around every text, when the key says so.
  std::optional<TokenAround> around(const char* key, bool otherwise, std::optional<uint64_t> id,
                                    const char* id_key) const {
    if (!file_.boolean(key).value_or(otherwise)) return std::nullopt;
    if (!id) fail(key, fmt::format("expected a token to add in '{}', found none", id_key));
    return TokenAround{*id, std::string(tokens_[*id])};
  }

  Json post_processor(bool add_bos, bool add_eos) const {
    return template_processing_json(
        around("tokenizer.ggml.add_bos_token", add_bos, bos_, "tokenizer.ggml.bos_token_id"),
        around("tokenizer.ggml.add_eos_token", add_eos, eos_, "tokenizer.ggml.eos_token_id"));
  }

  int32_t type_of(size_t id) const {
    if (types_.empty()) return 1;
    if (types_[id] < 0 || types_[id] > kLastTokenType) {
      fail("tokenizer.ggml.token_type",
           fmt::format("expected types of 0 to {}, found {} for token {}", int{kLastTokenType},
                       types_[id], id));
    }
    return types_[id];
  }

  static bool is_added(int32_t type) { return type == kControl || type == kUserDefined; }

  Json added_tokens() const {
    Json added = Json::array();
    for (size_t id = 0; id < types_.size(); ++id) {
      const int32_t type = type_of(id);
      if (!is_added(type) || tokens_[id].empty()) continue;  // the empty one matches nothing
      added.push_back(added_token_json(id, tokens_[id], false, type == kControl));
    }
    return added;
  }

  Json model(const PreTokenizer& pre) const {
    Json::Object vocabulary;
    vocabulary.reserve(tokens_.size());
    for (size_t id = 0; id < tokens_.size(); ++id)
      vocabulary.emplace_back(tokens_[id], uint64_t{id});
    const auto strings = file_.strings("tokenizer.ggml.merges");
    if (!strings) fail("tokenizer.ggml.merges", "expected merges, found none");
    Json::Array merges;
    merges.reserve(strings->size());
    for (const std::string_view merge : *strings) {
      const size_t space = merge.find(' ');
      if (space == 0 || space >= merge.size() - 1 || merge.find(' ', space + 1) != merge.npos) {
        fail("tokenizer.ggml.merges",
             fmt::format("expected two tokens with a space between, found '{}' in element {}",
                         merge, merges.size()));
      }
      merges.emplace_back(merge);
    }
    Json model = Json::object({{"type", "BPE"},
                               {"dropout", nullptr},
                               {"unk_token", nullptr},
                               {"continuing_subword_prefix", nullptr},
                               {"end_of_word_suffix", nullptr},
                               {"fuse_unk", false},
                               {"byte_fallback", false},
                               {"ignore_merges", pre.ignore_merges}});
    model["vocab"] = Json(std::move(vocabulary));
    model["merges"] = Json(std::move(merges));
    return model;
  }

  void build_byte_level(const PreTokenizer& pre) {
    Json normalizer = pre.nfc ? Json::object({{"type", "NFC"}}) : Json();
    Json post = post_processor(pre.add_bos, false);
    result_.tokenizer_json = Json::object({{"version", "1.0"},
                                           {"truncation", nullptr},
                                           {"padding", nullptr},
                                           {"added_tokens", added_tokens()},
                                           {"normalizer", std::move(normalizer)},
                                           {"pre_tokenizer", pre_tokenizer_json(pre)},
                                           {"post_processor", std::move(post)},
                                           {"decoder", byte_level_json(true)}});
    result_.tokenizer_json["model"] = model(pre);
  }

  SentencePieceVocabulary vocabulary(bool is_unigram) const {
    SentencePieceVocabulary vocabulary{.byte_fallback = false, .is_unigram = is_unigram};
    const auto scores = file_.float32s("tokenizer.ggml.scores");
    if (!scores || scores->size() != tokens_.size()) {
      fail("tokenizer.ggml.scores",
           fmt::format("expected {} elements, one for each token, found {}", tokens_.size(),
                       scores ? scores->size() : 0));
    }
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (!std::isfinite((*scores)[id])) {
        fail("tokenizer.ggml.scores",
             fmt::format("expected a number for token {}, found {}", id, (*scores)[id]));
      }
      // Type 0 is that of a token nothing is said of.
      const auto type = static_cast<PieceType>(std::max(1, type_of(id)));
      vocabulary.byte_fallback |= type == PieceType::kByte;
      vocabulary.pieces.push_back({tokens_[id], (*scores)[id], type});
    }
    if (!unknown_) fail("tokenizer.ggml.unknown_token_id", "expected a token, found none");
    vocabulary.unknown = *unknown_;
    vocabulary.pieces[*unknown_].type = PieceType::kUnknown;
    return vocabulary;
  }

  // Every part of a text between control and user-defined tokens begins with a space.
  void build_sentencepiece_bpe() {
    const bool adds_space = file_.boolean("tokenizer.ggml.add_space_prefix").value_or(true);
    build_pieces(vocabulary(false), mark_spaces_json(adds_space), int64_t{adds_space},
                 post_processor(true, false));
  }

  // Phi-3's tokens take the white space behind them, which its files do not say. Its vocabulary
  // tells it from Phi-4, which has the same architecture.
  void strip_behind_tokens() {
    for (Json& token : result_.tokenizer_json["added_tokens"].as_array()) {
      const std::string& text = token["content"].as_string();
      token["rstrip"] = text != "<s>" && text != "<unk>" && text != "<|endoftext|>";
    }
  }

  void build_unigram() {
    const bool adds_space = file_.boolean("tokenizer.ggml.add_space_prefix").value_or(false);
    const bool removes_extra =
        file_.boolean("tokenizer.ggml.remove_extra_whitespaces").value_or(false);
    const Bytes charsmap =
        file_.byte_array("tokenizer.ggml.precompiled_charsmap").value_or(Bytes());
    build_pieces(vocabulary(true),
                 sentencepiece_normalizer(adds_space, removes_extra, as_text(charsmap)),
                 removes_extra ? kAllSpaces : int64_t{adds_space}, post_processor(false, true));
  }

  void build_pieces(const SentencePieceVocabulary& vocabulary, Json normalizer,
                    int64_t stripped_spaces, Json post) {
    result_.tokenizer_json = Json::object({{"version", "1.0"},
                                           {"pre_tokenizer", nullptr},
                                           {"added_tokens", sentencepiece_added_tokens(vocabulary)},
                                           {"normalizer", std::move(normalizer)},
                                           {"post_processor", std::move(post)},
                                           {"decoder", sentencepiece_decoder(stripped_spaces)}});
    result_.tokenizer_json["model"] = sentencepiece_model_json(vocabulary);
  }

  [[noreturn]] void fail(std::string_view key, const std::string& reason) const {
    fail_invalid(file_.what(key), reason);
  }

  const GgufFile& file_;
  std::vector<std::string_view> tokens_;
  std::vector<int32_t> types_;
  std::optional<uint64_t> bos_;
  std::optional<uint64_t> eos_;
  std::optional<uint64_t> unknown_;
  GgufTokenizer result_;
};

}  // namespace

GgufTokenizer read_gguf_tokenizer(const GgufFile& file) {
  return Reader(file).read();
}

}  // namespace mica
