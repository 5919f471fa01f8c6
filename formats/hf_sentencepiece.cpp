#include "formats/hf_sentencepiece.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

#include "formats/invalid.h"
#include "formats/sentencepiece.h"
#include "formats/tokenizer_json.h"
#include "lib/base/error.h"

namespace mica {
namespace {

// Classes of transformers whose ids are those of the model, and what they put around a text.
struct TokenizerClass {
  std::string_view name;  // without "Fast"
  bool bos, eos;
};
constexpr TokenizerClass kClasses[] = {
    {"LlamaTokenizer", true, false},
    {"CodeLlamaTokenizer", true, false},
    {"GemmaTokenizer", true, false},
    {"T5Tokenizer", false, true},
};

class Reader {
 public:
  Reader(const std::map<std::string, std::string>& texts, const Json& config,
         const std::string& folder)
      : texts_(texts), config_(config), folder_(folder) {}

  Json read() {
    const TokenizerClass& type = tokenizer_class();
    SentencePieceModel model = read_sentencepiece_model(as_bytes(texts_.at("tokenizer.model")),
                                                        folder_ + "/tokenizer.model");
    json_ = std::move(model.tokenizer_json);
    read_added_tokens();
    json_["post_processor"] = template_processing_json(
        around("add_bos_token", type.bos, model.bos), around("add_eos_token", type.eos, model.eos));
    return std::move(json_);
  }

 private:
  std::string what(std::string_view key) const {
    return fmt::format("{}/tokenizer_config.json: {}", folder_, key);
  }

  const TokenizerClass& tokenizer_class() const {
    const Json& named = config_["tokenizer_class"];
    if (named.is_null()) return kClasses[0];
    std::string_view name = named.as_string(what("tokenizer_class"));
    if (name.ends_with("Fast")) name.remove_suffix(4);
    const auto known = std::ranges::find(kClasses, name, &TokenizerClass::name);
    if (known != std::end(kClasses)) return *known;
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: '{}' is not supported with tokenizer.model alone, expected one "
                            "of LlamaTokenizer, CodeLlamaTokenizer, GemmaTokenizer, T5Tokenizer; "
                            "save the tokenizer as tokenizer.json (save_pretrained of the Python "
                            "package transformers)",
                            what("tokenizer_class"), named.as_string()));
  }

  std::optional<TokenAround> around(const char* key, bool otherwise, int64_t id) const {
    const Json& flag = config_[key];
    if (id < 0 || !(flag.is_null() ? otherwise : flag.as_bool(what(key)))) return std::nullopt;
    return TokenAround{static_cast<uint64_t>(id), text_of(static_cast<uint64_t>(id))};
  }

  // The pieces stand in the order of their ids, as names of members or in pairs with scores.
  std::string text_of(uint64_t id) const {
    const Json& vocabulary = json_["model"]["vocab"];
    return vocabulary.is_object() ? vocabulary.as_object()[id].first
                                  : vocabulary.as_array()[id].as_array()[0].as_string();
  }
  uint64_t pieces() const {
    const Json& vocabulary = json_["model"]["vocab"];
    return vocabulary.is_object() ? vocabulary.as_object().size() : vocabulary.as_array().size();
  }

  // {"32000": {"content": "<|user|>", ...}}; in older folders added_tokens.json has the contents.
  void read_added_tokens() {
    std::map<uint64_t, Json> tokens;
    if (const auto text = texts_.find("added_tokens.json"); text != texts_.end()) {
      const std::string file = folder_ + "/added_tokens.json";
      const Json contents = Json::parse(text->second, file);
      for (const auto& [content, id] : contents.as_object(file)) {
        const auto number = checked_cast<uint64_t>(id.as_integer(file), file);
        tokens[number] = added_token_json(number, content, false, false);
      }
    }
    const std::string where = what("added_tokens_decoder");
    if (const Json& decoder = config_["added_tokens_decoder"]; !decoder.is_null()) {
      for (const auto& [key, token] : decoder.as_object(where)) {
        uint64_t id = 0;
        const char* end = key.data() + key.size();
        const auto [stop, error] = std::from_chars(key.data(), end, id);
        if (error != std::errc() || stop != end) {
          fail_invalid(where, fmt::format("expected the number of a token, found '{}'", key));
        }
        Json copy = token;
        copy.as_object(where);
        copy["id"] = id;
        tokens[id] = std::move(copy);
      }
    }
    for (auto& [id, token] : tokens) add(id, std::move(token), where);
  }

  void add(uint64_t id, Json token, const std::string& where) {
    const std::string& content = token["content"].as_string(where + " content");
    if (id < pieces() && content != text_of(id)) {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("{}: token {} is '{}' there and '{}' in tokenizer.model, another "
                              "spelling is not supported",
                              where, id, content, text_of(id)));
    }
    Json::Array& added = json_["added_tokens"].as_array();
    const auto known =
        std::ranges::find_if(added, [&](const Json& other) { return other["id"] == token["id"]; });
    if (known != added.end())
      *known = std::move(token);
    else
      added.push_back(std::move(token));
  }

  const std::map<std::string, std::string>& texts_;
  const Json& config_;
  const std::string& folder_;
  Json json_;
};

}  // namespace

Json read_hf_sentencepiece(const std::map<std::string, std::string>& texts,
                           const Json& tokenizer_config, const std::string& folder) {
  return Reader(texts, tokenizer_config, folder).read();
}

}  // namespace mica
