#include "formats/gguf_tokenizer.h"

#include <algorithm>
#include <fmt/format.h>

#include "formats/invalid.h"
#include "lib/base/error.h"

namespace mica {
namespace {

// Values of tokenizer.ggml.token_type.
enum TokenType : int32_t { kControl = 3, kUserDefined = 4, kLastTokenType = 6 };

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
  static const std::vector<PreTokenizer> kTable = {
      {.name = "default",
       .patterns = {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
      {.name = "gpt-2", .gpt2_pattern = true},
      {.name = "llama-bpe", .patterns = {kLlama3}, .ignore_merges = true, .add_bos = true},
      {.name = "llama-v3", .patterns = {kLlama3}, .ignore_merges = true, .add_bos = true},
      {.name = "llama3", .patterns = {kLlama3}, .ignore_merges = true, .add_bos = true},
      {.name = "qwen2", .patterns = {kQwen2}, .nfc = true},
      {.name = "smollm", .gpt2_pattern = true, .single_digits = true},
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

Json split(const char* pattern) {
  return Json::object({{"type", "Split"},
                       {"pattern", Json::object({{"Regex", pattern}})},
                       {"behavior", "Isolated"},
                       {"invert", false}});
}

Json byte_level(bool use_regex) {
  return Json::object({{"type", "ByteLevel"},
                       {"add_prefix_space", false},
                       {"trim_offsets", true},
                       {"use_regex", use_regex}});
}

Json pre_tokenizer_json(const PreTokenizer& pre) {
  Json steps = Json::array();
  for (const char* pattern : pre.patterns) steps.push_back(split(pattern));
  if (pre.single_digits) {
    steps.push_back(Json::object({{"type", "Digits"}, {"individual_digits", true}}));
  }
  steps.push_back(byte_level(pre.gpt2_pattern));
  return Json::object({{"type", "Sequence"}, {"pretokenizers", std::move(steps)}});
}

// Adds the tokens around a text: `before` and `after` are ids, or nothing.
Json template_processing(const std::vector<std::string_view>& tokens,
                         std::optional<uint64_t> before, std::optional<uint64_t> after) {
  Json special = Json::object();
  const auto piece = [&](std::optional<uint64_t> id, Json& list) {
    if (!id) return;
    const std::string token(tokens[*id]);
    list.push_back(Json::object({{"SpecialToken", Json::object({{"id", token}, {"type_id", 0}})}}));
    special[token] = Json::object({{"id", token},
                                   {"ids", Json(Json::Array{Json(*id)})},
                                   {"tokens", Json(Json::Array{Json(token)})}});
  };
  const auto sequence = [&](std::initializer_list<const char*> names) {
    Json list = Json::array();
    for (const char* name : names) {
      const int type = name[0] - 'A';
      piece(before, list);
      list.push_back(Json::object({{"Sequence", Json::object({{"id", name}, {"type_id", type}})}}));
      piece(after, list);
    }
    return list;
  };
  Json single = sequence({"A"});
  Json pair = sequence({"A", "B"});
  return Json::object({{"type", "TemplateProcessing"},
                       {"single", std::move(single)},
                       {"pair", std::move(pair)},
                       {"special_tokens", std::move(special)}});
}

class Reader {
 public:
  explicit Reader(const GgufFile& file) : file_(file) {}

  GgufTokenizer read() {
    if (!file_.find("tokenizer.ggml.model")) return {};
    const std::string_view model = *file_.string("tokenizer.ggml.model");
    if (model != "gpt2") {
      throw Error(
          ErrorCode::kUnsupported,
          fmt::format("{}: tokenizer '{}' is not supported; expected 'gpt2' (byte-level BPE)",
                      file_.what("tokenizer.ggml.model"), model));
    }
    const PreTokenizer& pre = find_pre_tokenizer(file_, result_.notes);
    read_tokens();
    read_special_tokens();
    build(pre);
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

  std::optional<uint64_t> token_id(const char* key) const {
    const auto id = file_.unsigned_integer(key);
    if (id && *id >= tokens_.size()) {
      fail(key, fmt::format("expected a token below {}, found {}", tokens_.size(), *id));
    }
    return id;
  }

  void read_special_tokens() {
    bos_ = token_id("tokenizer.ggml.bos_token_id");
    eos_ = token_id("tokenizer.ggml.eos_token_id");
    Json& special = result_.special_tokens;
    special = Json::object();
    if (bos_) special["bos"] = *bos_;
    Json::Array eos;
    // The end of a turn and of a message to a tool end an answer as the end of the text does.
    for (const auto id :
         {eos_, token_id("tokenizer.ggml.eot_token_id"), token_id("tokenizer.ggml.eom_token_id")}) {
      if (id && std::find(eos.begin(), eos.end(), Json(*id)) == eos.end()) eos.push_back(Json(*id));
    }
    if (!eos.empty()) special["eos"] = Json(std::move(eos));
    if (const auto pad = token_id("tokenizer.ggml.padding_token_id")) special["pad"] = *pad;
    if (const auto unk = token_id("tokenizer.ggml.unknown_token_id")) special["unk"] = *unk;
  }

  // A token written around every text, when the key says so.
  std::optional<uint64_t> added(const char* key, bool otherwise, std::optional<uint64_t> id,
                                const char* id_key) const {
    if (!file_.boolean(key).value_or(otherwise)) return std::nullopt;
    if (!id) fail(key, fmt::format("expected a token to add in '{}', found none", id_key));
    return id;
  }

  Json added_tokens() const {
    Json added = Json::array();
    for (size_t id = 0; id < types_.size(); ++id) {
      if (types_[id] < 0 || types_[id] > kLastTokenType) {
        fail("tokenizer.ggml.token_type",
             fmt::format("expected types of 0 to {}, found {} for token {}", int{kLastTokenType},
                         types_[id], id));
      }
      if (types_[id] != kControl && types_[id] != kUserDefined) continue;
      if (tokens_[id].empty()) continue;  // matches nothing
      added.push_back(Json::object({{"id", uint64_t{id}},
                                    {"content", tokens_[id]},
                                    {"single_word", false},
                                    {"lstrip", false},
                                    {"rstrip", false},
                                    {"normalized", false},
                                    {"special", types_[id] == kControl}}));
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

  void build(const PreTokenizer& pre) {
    const auto before =
        added("tokenizer.ggml.add_bos_token", pre.add_bos, bos_, "tokenizer.ggml.bos_token_id");
    const auto after =
        added("tokenizer.ggml.add_eos_token", false, eos_, "tokenizer.ggml.eos_token_id");
    Json normalizer = pre.nfc ? Json::object({{"type", "NFC"}}) : Json();
    Json post = before || after ? template_processing(tokens_, before, after) : Json();
    result_.tokenizer_json = Json::object({{"version", "1.0"},
                                           {"truncation", nullptr},
                                           {"padding", nullptr},
                                           {"added_tokens", added_tokens()},
                                           {"normalizer", std::move(normalizer)},
                                           {"pre_tokenizer", pre_tokenizer_json(pre)},
                                           {"post_processor", std::move(post)},
                                           {"decoder", byte_level(true)}});
    result_.tokenizer_json["model"] = model(pre);
  }

  [[noreturn]] void fail(std::string_view key, const std::string& reason) const {
    fail_invalid(file_.what(key), reason);
  }

  const GgufFile& file_;
  std::vector<std::string_view> tokens_;
  std::vector<int32_t> types_;
  std::optional<uint64_t> bos_;
  std::optional<uint64_t> eos_;
  GgufTokenizer result_;
};

}  // namespace

GgufTokenizer read_gguf_tokenizer(const GgufFile& file) {
  return Reader(file).read();
}

}  // namespace mica
