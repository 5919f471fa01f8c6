// Fuzzes config.json and its companions: settings, token ids, templates.
//
// An input is up to five texts, separated by the byte 0x1e: config.json, tokenizer_config.json,
// generation_config.json, tokenizer.json, chat_template.jinja. corpus/config holds such.
#include <string>

#include "formats/hf_config.h"
#include "formats/hf_tokens.h"
#include "lib/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mica;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::map<std::string, std::string> texts;
  for (const char* name : {"config.json", "tokenizer_config.json", "generation_config.json",
                           "tokenizer.json", "chat_template.jinja"}) {
    const size_t end = rest.find('\x1e');
    texts[name] = rest.substr(0, end);
    if (end == rest.npos) break;
    rest.remove_prefix(end + 1);
  }
  try {
    std::vector<std::string> notes;
    const std::string folder = "fuzz";
    const Json json = Json::parse(texts["config.json"], "config.json");
    const SourceConfig config = read_hf_config(json, "config.json", notes).config;
    check_config(config, "config.json");
    config.to_json().dump();
    const HfTokens tokens = read_hf_tokens(texts, json, config.vocabulary_size, folder, notes);
    tokens.special_tokens.dump();
    tokens.generation.dump();
  } catch (const Error&) {
  }
  return 0;
}
