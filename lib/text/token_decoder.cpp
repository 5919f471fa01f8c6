#include "lib/text/token_decoder.h"

#include <fmt/format.h>
#include <optional>

#include "lib/base/error.h"
#include "lib/text/byte_chars.h"

namespace mica {
namespace {

using image::ComponentKind;

std::string replaced(std::string_view text, std::string_view what, std::string_view with) {
  std::string out;
  size_t written = 0;
  for (size_t at; (at = text.find(what, written)) != text.npos; written = at + what.size()) {
    out.append(text.substr(written, at - written)).append(with);
  }
  return out.append(text.substr(written));
}

}  // namespace

void TokenDecoder::add(const ComponentView& component) {
  const auto expect_text = [&](std::string_view text) {
    if (!text.empty()) return;
    throw Error(
        ErrorCode::kInvalidFile,
        fmt::format("{}: a decoder's text is empty, expected a character at least", image_.name()));
  };
  switch (component.kind) {
    case ComponentKind::kByteLevelDecode:
      return;  // what kTokenBytes holds already
    case ComponentKind::kByteFallbackDecode:
      byte_fallback_ = true;
      return;
    case ComponentKind::kStripDecode:
      expect_text(component.text);
      strip_ = component;
      return;
    case ComponentKind::kReplaceDecode:
      expect_text(component.pattern());
      token_steps_.push_back(component);
      return;
    case ComponentKind::kMetaspaceDecode:
      expect_text(component.text);
      token_steps_.push_back(component);
      return;
    default:
      fail_unknown_component(component.kind, image_.name());
  }
}

std::string TokenDecoder::token_bytes(uint32_t id) const {
  const std::string text = spell(id, false);
  const std::optional<uint8_t> byte = byte_fallback_ ? byte_of_token(text) : std::nullopt;
  return byte ? std::string(1, static_cast<char>(*byte)) : text;
}

std::string TokenDecoder::spell(uint32_t id, bool is_first) const {
  std::string text(image_.token_bytes(id));
  for (const ComponentView& step : token_steps_) {
    if (step.kind == ComponentKind::kReplaceDecode) {
      text = replaced(text, step.pattern(), step.replacement());
    } else {
      const bool dropped = is_first && step.flags & image::kAddPrefixSpace;
      text = replaced(text, step.text, dropped ? "" : " ");
    }
  }
  return text;
}

std::string DecodedText::push(uint32_t id) {
  const std::string token = decoder_.spell(id, is_first_);
  is_first_ = false;
  const auto byte = decoder_.byte_fallback_ ? byte_of_token(token) : std::nullopt;
  if (byte) {
    byte_run_ += static_cast<char>(*byte);
    return {};
  }
  std::string text;
  take_byte_run(text);
  text += token;
  strip(text);
  return stream_.push(text);
}

std::string DecodedText::flush() {
  std::string text;
  take_byte_run(text);
  strip(text);
  return stream_.push(text) + stream_.flush();
}

void DecodedText::take_byte_run(std::string& text) {
  if (find_invalid_utf8(byte_run_) == kValid) {
    text += byte_run_;
  } else {
    for (size_t i = 0; i < byte_run_.size(); ++i) append_utf8(text, 0xfffd);
  }
  byte_run_.clear();
}

void DecodedText::strip(std::string& text) {
  size_t begin = 0;
  const std::string_view character = decoder_.strip_.text;
  while (left_to_strip_ > 0 && begin < text.size()) {
    const bool more = std::string_view(text).substr(begin).starts_with(character);
    left_to_strip_ = more ? left_to_strip_ - 1 : 0;
    if (more) begin += character.size();
  }
  text.erase(0, begin);
}

}  // namespace mica
