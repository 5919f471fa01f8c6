#include "tests/lib/text/tokenizer_samples.h"

#include "lib/base/mapped_file.h"
#include "lib/text/byte_chars.h"
#include "lib/text/tokenizer_image.h"

namespace mica::testing {
namespace {

Json byte_level(bool use_regex) {
  return Json::object({{"type", "ByteLevel"},
                       {"add_prefix_space", false},
                       {"trim_offsets", true},
                       {"use_regex", use_regex}});
}

}  // namespace

Json added_token(int id, std::string_view content) {
  return Json::object({{"id", id},
                       {"content", content},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", false}});
}

Json sample_json() {
  Json vocabulary = Json::object();
  Json merges = Json::array();
  int id = 0;
  for (int i = 0; i < 256; ++i) {
    const char byte = static_cast<char>(255 - i);
    vocabulary[spell_bytes({&byte, 1})] = id++;
  }
  const std::pair<const char*, const char*> pairs[] = {
      {"t", "h"}, {"th", "e"}, {"Ġ", "t"}, {"Ġ", "the"}, {"a", "a"}, {"a", "b"}, {"a", "ab"}};
  for (const auto& [left, right] : pairs) {
    vocabulary[std::string(left) + right] = id++;
    merges.push_back(std::string(left) + " " + right);
  }
  Json json = Json::object({{"version", "1.0"}, {"added_tokens", Json::array()}});
  for (const char* special : {"<s>", "</s>"}) {
    Json token = added_token(id++, special);
    token["special"] = true;
    json["added_tokens"].push_back(std::move(token));
  }
  json["pre_tokenizer"] = byte_level(true);
  json["decoder"] = byte_level(true);
  json["model"] = Json::object({{"type", "BPE"}});
  json["model"]["vocab"] = std::move(vocabulary);
  json["model"]["merges"] = std::move(merges);
  return json;
}

Json split_json(std::string_view kind, std::string_view pattern, std::string_view behavior,
                bool invert) {
  Json text = Json::object();
  text[kind] = pattern;
  Json steps = Json::array();
  steps.push_back(Json::object(
      {{"type", "Split"}, {"pattern", text}, {"behavior", behavior}, {"invert", invert}}));
  steps.push_back(byte_level(false));
  return Json::object({{"type", "Sequence"}, {"pretokenizers", std::move(steps)}});
}

Json committed_json(std::string_view name) {
  const std::string path = MICA_SOURCE_ROOT "/tests/data/tokenizers/" + std::string(name) + ".json";
  return Json::parse(read_text_file(path, 1 << 20), path);
}

Sample::Sample(const Json& json)
    : image_(build_tokenizer_image(json, "sample")),
      tokenizer_(Tokenizer::open(image_, "sample")) {}

std::string Sample::cut(std::string_view text, const EncodeOptions& options) const {
  std::string cut = "|";
  for (const TokenId id : tokenizer_.encode(text, options)) cut += tokenizer_.token_bytes(id) + "|";
  return cut;
}

}  // namespace mica::testing
