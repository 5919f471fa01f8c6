#include "tests/support/tiny_tokenizer.h"

#include "lib/base/utf8.h"
#include "lib/text/tokenizer_image.h"

namespace mica::testing {
namespace {

// GPT-2's spelling of bytes: printable Latin-1 stands for itself, the rest for U+0100 and
// following.
std::vector<std::string> byte_spellings() {
  std::vector<std::string> spellings(256);
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    append_utf8(spellings[byte], printable ? static_cast<char32_t>(byte) : next++);
  }
  return spellings;
}

Json special_token(int id, const char* content) {
  return Json::object({{"id", id},
                       {"content", content},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", true}});
}

// TemplateProcessing: "<s>", then the text.
Json bos_processor() {
  return Json::parse(R"({"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                 {"Sequence": {"id": "A", "type_id": 0}}],
      "pair": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
               {"Sequence": {"id": "A", "type_id": 0}},
               {"Sequence": {"id": "B", "type_id": 1}}],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [256], "tokens": ["<s>"]}}})",
                     "post_processor");
}

}  // namespace

Json tiny_tokenizer_json(bool adds_bos) {
  Json vocabulary = Json::object();
  int id = 0;
  for (const std::string& spelling : byte_spellings()) vocabulary[spelling] = id++;
  Json json = Json::parse(R"({"version": "1.0", "truncation": null, "padding": null,
      "added_tokens": [], "normalizer": null,
      "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                        "use_regex": true},
      "post_processor": null,
      "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
                  "use_regex": true},
      "model": {"type": "BPE", "dropout": null, "unk_token": null,
                "continuing_subword_prefix": null, "end_of_word_suffix": null,
                "fuse_unk": false, "byte_fallback": false, "vocab": {}, "merges": []}})",
                          "tokenizer.json");
  json["model"]["vocab"] = std::move(vocabulary);
  json["added_tokens"].push_back(special_token(kBosId, "<s>"));
  json["added_tokens"].push_back(special_token(kStartId, "<|im_start|>"));
  json["added_tokens"].push_back(special_token(kEosId, "<|im_end|>"));
  if (adds_bos) json["post_processor"] = bos_processor();
  return json;
}

std::vector<std::byte> tiny_tokenizer_image(bool adds_bos) {
  return build_tokenizer_image(tiny_tokenizer_json(adds_bos), "tokenizer.json");
}

}  // namespace mica::testing
