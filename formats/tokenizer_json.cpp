#include "formats/tokenizer_json.h"

namespace mica {

Json split_json(const char* pattern) {
  return Json::object({{"type", "Split"},
                       {"pattern", Json::object({{"Regex", pattern}})},
                       {"behavior", "Isolated"},
                       {"invert", false}});
}

Json byte_level_json(bool use_regex) {
  return Json::object({{"type", "ByteLevel"},
                       {"add_prefix_space", false},
                       {"trim_offsets", true},
                       {"use_regex", use_regex}});
}

Json added_token_json(uint64_t id, std::string_view content, bool normalized, bool special) {
  return Json::object({{"id", id},
                       {"content", content},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", normalized},
                       {"special", special}});
}

Json template_processing_json(const std::optional<TokenAround>& before,
                              const std::optional<TokenAround>& after) {
  Json special = Json::object();
  const auto piece = [&](const std::optional<TokenAround>& token, Json& list) {
    if (!token) return;
    const auto& [id, text] = *token;
    list.push_back(Json::object({{"SpecialToken", Json::object({{"id", text}, {"type_id", 0}})}}));
    special[text] = Json::object({{"id", text},
                                  {"ids", Json(Json::Array{Json(id)})},
                                  {"tokens", Json(Json::Array{Json(text)})}});
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
  if (!before && !after) return {};
  Json single = sequence({"A"});
  Json pair = sequence({"A", "B"});
  return Json::object({{"type", "TemplateProcessing"},
                       {"single", std::move(single)},
                       {"pair", std::move(pair)},
                       {"special_tokens", std::move(special)}});
}

}  // namespace mica
