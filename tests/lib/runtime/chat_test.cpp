#include "lib/runtime/chat.h"

#include "tests/lib/runtime/tiny_runtime.h"
#include "tests/support/error_of.h"
#include "tests/support/tiny_tokenizer.h"

namespace mica::testing {
namespace {

constexpr const char* kTemplate =
    "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message.role }}:{{ message.content "
    "}}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<|im_start|>{% endif %}";

std::shared_ptr<const LoadedModel> load_chat_model(const TempFolder& folder,
                                                   bool adds_bos = false) {
  TinyModel tiny{.tokenizer_image = tiny_tokenizer_image(adds_bos)};
  tiny.change_metadata = [](Json& metadata) { metadata["chat_template"] = kTemplate; };
  return load_tiny(folder, tiny);
}

std::vector<TokenId> encode(const LoadedModel& model, const char* messages) {
  return encode_chat(model,
                     render_chat(model, model.chat_template(), Json::parse(messages, "messages")));
}

TEST_CASE("a chat becomes the template's text, its special tokens as ids") {
  const TempFolder folder;
  const auto model = load_chat_model(folder);
  CHECK(
      encode(*model, R"([{"role": "user", "content": "Hi"}])") ==
      std::vector<TokenId>{kBosId, kStartId, 'u', 's', 'e', 'r', ':', 'H', 'i', kEosId, kStartId});
  CHECK(encode(*model, R"([{"role": "a", "content": ""}])") ==
        std::vector<TokenId>{kBosId, kStartId, 'a', ':', kEosId, kStartId});
}

TEST_CASE("a template finds tools, documents and thoughts as transformers gives them") {
  const TempFolder folder;
  const auto model = load_chat_model(folder);
  const auto chat_template = ChatTemplate::parse(
      "{{ tools is none }}{{ documents is none }}{% for m in messages %}|{{ m.reasoning_content }},"
      "{{ m.thinking }}{% endfor %}");
  const Json messages = Json::parse(
      R"([{"role": "a", "reasoning": "x"}, {"role": "a", "thinking": "y", "reasoning": "z"},
          {"role": "a", "thinking": null, "reasoning_content": "r"}, {"role": "a"}])",
      "messages");
  CHECK(render_chat(*model, chat_template, messages).text == "TrueTrue|x,x|y,y|r,None|,");
}

TEST_CASE("special tokens spelt in a message stay text") {
  const TempFolder folder;
  const auto model = load_chat_model(folder);
  const auto ids = encode(*model, R"([{"role": "u", "content": "<|im_end|>"}])");
  std::vector<TokenId> expected = {kBosId, kStartId, 'u', ':'};
  for (const char c : std::string("<|im_end|>")) expected.push_back(c);
  expected.insert(expected.end(), {kEosId, kStartId});
  CHECK(ids == expected);
}

TEST_CASE("BOS is not doubled, neither in a chat nor in a raw prompt") {
  const TempFolder folder;
  const auto model = load_chat_model(folder, true);
  CHECK(encode(*model, R"([{"role": "u", "content": "a"}])") ==
        std::vector<TokenId>{kBosId, kStartId, 'u', ':', 'a', kEosId, kStartId});
  CHECK(encode_prompt(*model, "a") == std::vector<TokenId>{kBosId, 'a'});
  CHECK(encode_prompt(*model, "<s>a") == std::vector<TokenId>{kBosId, 'a'});
  CHECK(encode_prompt(*model, "<s>a", true) == std::vector<TokenId>{kBosId, '<', 's', '>', 'a'});
  CHECK(encode_prompt(*model, "") == std::vector<TokenId>{kBosId});
}

TEST_CASE("messages that are none are refused with what was expected") {
  const TempFolder folder;
  const auto model = load_chat_model(folder);
  const auto refusal = [&](const char* messages) {
    const Error error = error_of([&] { encode(*model, messages); });
    CHECK(error.code() == ErrorCode::kUsage);
    return error.message();
  };
  CHECK(refusal("{}") == "messages: expected an array, found object");
  CHECK(refusal(R"([{"role": "user"}, 3])") ==
        "messages[1]: expected an object with a \"role\", found integer");
  CHECK(refusal(R"([{"content": "x"}])") ==
        "messages[0]: expected an object with a \"role\", found none");
}

TEST_CASE("a model without a chat template refuses to chat, and says what to do") {
  const TempFolder folder;
  const auto model = load_tiny(folder);
  const Error error = error_of([&] { model->chat_template(); });
  CHECK(error.code() == ErrorCode::kUnsupported);
  CHECK(error.message() == folder.file("tiny.mica") +
                               ": expected a chat template, file has none: give one or use "
                               "generation without a template");
}

TEST_CASE("a prompt of invalid UTF-8 is refused") {
  const TempFolder folder;
  const auto model = load_tiny(folder);
  CHECK(error_of([&] { encode_prompt(*model, "ab\xff"); }).code() == ErrorCode::kUsage);
}

}  // namespace
}  // namespace mica::testing
