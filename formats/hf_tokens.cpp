#include "formats/hf_tokens.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>
#include <utility>

#include "formats/hf_sentencepiece.h"
#include "formats/invalid.h"
#include "lib/base/utf8.h"

namespace mica {
namespace {

class TokensReader {
 public:
  TokensReader(const std::map<std::string, std::string>& texts, const Json& config,
               int64_t vocabulary_size, const std::string& folder, std::vector<std::string>& notes)
      : texts_(texts),
        config_(config),
        vocabulary_size_(vocabulary_size),
        folder_(folder),
        notes_(notes) {}

  HfTokens read() {
    result_.tokenizer_json = parse("tokenizer.json");
    generation_config_ = parse("generation_config.json");
    tokenizer_config_ = parse("tokenizer_config.json");
    if (result_.tokenizer_json.is_null() && texts_.contains("tokenizer.model")) {
      result_.tokenizer_json = read_hf_sentencepiece(texts_, tokenizer_config_, folder_);
    }
    drop_tokens_beyond();
    check_token_ids();
    read_special_tokens();
    read_generation();
    read_chat_template();
    return std::move(result_);
  }

 private:
  std::string what(std::string_view file) const { return fmt::format("{}/{}", folder_, file); }

  // Null when there is no such file.
  Json parse(const char* file) const {
    const auto text = texts_.find(file);
    if (text == texts_.end()) return {};
    Json json = Json::parse(text->second, what(file));
    json.as_object(what(file));
    return json;
  }

  void check_id(const Json& id, const std::string& what) const {
    const int64_t value = id.as_integer(what);
    if (value < 0 || value >= vocabulary_size_) {
      fail_invalid(what, fmt::format("expected a token below the vocabulary size of {}, found {}",
                                     vocabulary_size_, value));
    }
  }

  // Added tokens that the model has no embeddings for: those of a picture, say, in a model whose
  // text part is alone.
  void drop_tokens_beyond() {
    if (!std::as_const(result_.tokenizer_json)["added_tokens"].is_array()) return;
    Json::Array& added = result_.tokenizer_json["added_tokens"].as_array();
    const auto beyond = std::stable_partition(added.begin(), added.end(), [&](const Json& token) {
      return !token["id"].is_integer() || token["id"].as_integer() < vocabulary_size_;
    });
    if (beyond == added.end()) return;
    notes_.push_back(fmt::format(
        "{} added tokens are left out, {} first: their ids are not below the vocabulary size of {}",
        added.end() - beyond, std::as_const(*beyond)["content"].dump(), vocabulary_size_));
    added.erase(beyond, added.end());
  }

  void check_token_ids() const {
    const Json& tokenizer = result_.tokenizer_json;
    const std::string file =
        what(texts_.contains("tokenizer.json") ? "tokenizer.json" : "tokenizer.model");
    const Json& vocabulary = tokenizer["model"]["vocab"];
    if (vocabulary.is_object()) {
      for (const auto& [token, id] : vocabulary.as_object()) check_id(id, file);
    } else if (vocabulary.is_array() && !vocabulary.as_array().empty()) {
      check_id(Json(vocabulary.as_array().size() - 1), file);
    }
    if (tokenizer["added_tokens"].is_null()) return;
    for (const Json& token : tokenizer["added_tokens"].as_array(file + ": added_tokens")) {
      check_id(token["id"], file + ": added_tokens");
    }
  }

  std::optional<int64_t> find_token(const std::string& content) const {
    if (result_.tokenizer_json["added_tokens"].is_array()) {
      for (const Json& token : result_.tokenizer_json["added_tokens"].as_array()) {
        if (token["content"] == Json(content)) return token["id"].as_integer();
      }
    }
    const Json& vocabulary = result_.tokenizer_json["model"]["vocab"];
    if (vocabulary.is_array()) {
      const Json::Array& pieces = vocabulary.as_array();
      for (size_t id = 0; id < pieces.size(); ++id) {
        const bool is_pair = pieces[id].is_array() && !pieces[id].as_array().empty();
        if (is_pair && pieces[id].as_array()[0] == Json(content)) return static_cast<int64_t>(id);
      }
    }
    const Json* id = vocabulary.find(content);
    return id ? std::optional(id->as_integer()) : std::nullopt;
  }

  // The id of the token that tokenizer_config.json names by its content.
  std::optional<int64_t> named_token(const char* key) const {
    const Json& named = tokenizer_config_[key];
    const Json& content = named.is_object() ? named["content"] : named;
    if (content.is_null()) return std::nullopt;
    const std::string& text =
        content.as_string(fmt::format("{}: {}", what("tokenizer_config.json"), key));
    const auto id = find_token(text);
    if (!id) {
      notes_.push_back(fmt::format(
          "tokenizer_config.json: {}: '{}' is not a token of tokenizer.json", key, text));
    }
    return id;
  }

  // The ids under `key` of generation_config.json, or else config.json: a number or a list.
  std::vector<int64_t> numbered_tokens(const char* key) const {
    const bool in_generation = !generation_config_[key].is_null();
    const Json& value = in_generation ? generation_config_[key] : config_[key];
    const std::string what = fmt::format(
        "{}: {}", this->what(in_generation ? "generation_config.json" : "config.json"), key);
    if (value.is_null()) return {};
    std::vector<int64_t> ids;
    for (const Json& id : value.is_array() ? value.as_array() : Json::Array{value}) {
      if (id.as_integer(what) < 0) continue;  // -1 stands for none in some files
      check_id(id, what);
      ids.push_back(id.as_integer());
    }
    return ids;
  }

  void read_special_tokens() {
    Json& special = result_.special_tokens;
    special = Json::object();
    // The tokenizer's word counts first: "bos_token": null means that none is put before a text,
    // whatever number the configuration has.
    const auto one = [&](const char* name, const char* key, const char* id_key) {
      auto id = named_token(key);
      const std::vector<int64_t> numbered = numbered_tokens(id_key);
      if (!id && !tokenizer_config_.find(key) && !numbered.empty()) id = numbered[0];
      if (id) special[name] = *id;
    };
    one("bos", "bos_token", "bos_token_id");
    // The tokenizer's own first: chat templates spell that one.
    std::vector<int64_t> eos = numbered_tokens("eos_token_id");
    if (const auto named = named_token("eos_token")) {
      std::erase(eos, *named);
      eos.insert(eos.begin(), *named);
    }
    if (!eos.empty()) special["eos"] = Json::array(eos);
    one("pad", "pad_token", "pad_token_id");
    one("unk", "unk_token", "unk_token_id");
  }

  void read_generation() {
    Json& generation = result_.generation;
    generation = Json::object();
    const auto copy = [&](const char* key, auto check) {
      const Json& value = generation_config_[key];
      if (value.is_null()) return;
      check(value, fmt::format("{}: {}", what("generation_config.json"), key));
      generation[key] = value;
    };
    copy("do_sample", [](const Json& value, const std::string& what) { value.as_bool(what); });
    copy("top_k", [](const Json& value, const std::string& what) { value.as_integer(what); });
    for (const char* key : {"temperature", "top_p", "min_p", "repetition_penalty"}) {
      copy(key, [](const Json& value, const std::string& what) { value.as_number(what); });
    }
  }

  void read_chat_template() {
    if (const auto text = texts_.find("chat_template.jinja"); text != texts_.end()) {
      if (find_invalid_utf8(text->second) != kValid) {
        fail_invalid(what("chat_template.jinja"), "expected UTF-8, found other bytes");
      }
      result_.chat_template = text->second;
      result_.chat_template_source = "chat_template.jinja";
      return;
    }
    const Json& found = tokenizer_config_["chat_template"];
    const std::string what = this->what("tokenizer_config.json") + ": chat_template";
    if (found.is_null()) return;
    if (!found.is_array()) {
      result_.chat_template = found.as_string(what);
    } else if (const Json* named = default_template(found.as_array())) {
      result_.chat_template = (*named)["template"].as_string(what);
    } else {
      notes_.push_back(
          "tokenizer_config.json: chat_template: none of its templates is named 'default'");
      return;
    }
    result_.chat_template_source = "tokenizer_config.json:chat_template";
  }

  static const Json* default_template(const Json::Array& templates) {
    for (const Json& entry : templates) {
      if (entry["name"] == Json("default")) return &entry;
    }
    return nullptr;
  }

  const std::map<std::string, std::string>& texts_;
  const Json& config_;
  int64_t vocabulary_size_;
  const std::string& folder_;
  std::vector<std::string>& notes_;
  Json generation_config_;
  Json tokenizer_config_;
  HfTokens result_;
};

}  // namespace

HfTokens read_hf_tokens(const std::map<std::string, std::string>& texts, const Json& config,
                        int64_t vocabulary_size, const std::string& folder,
                        std::vector<std::string>& notes) {
  return TokensReader(texts, config, vocabulary_size, folder, notes).read();
}

}  // namespace mica
