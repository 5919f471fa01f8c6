// Tokens back to text: the decoder steps of a tokenizer, and a text that is put together token by
// token.
//
// TokenDecoder: immutable after construction, safe to share by threads; the image must outlive it.
// DecodedText: one thread's; the decoder must outlive it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/utf8.h"
#include "lib/text/image_view.h"

namespace mica {

class TokenDecoder {
 public:
  explicit TokenDecoder(const ImageView& image) : image_(image) {}

  static bool is_step(image::ComponentKind kind) { return static_cast<uint32_t>(kind) >= 64; }

  // Takes the component as the next step. `component.text` must outlive this object.
  void add(const ComponentView& component);

  // The bytes that a token stands for in the middle of a text.
  std::string token_bytes(uint32_t id) const;

 private:
  friend class DecodedText;

  // The token by the steps that look at single tokens.
  std::string spell(uint32_t id, bool is_first) const;

  const ImageView& image_;
  std::vector<ComponentView> token_steps_;
  bool byte_fallback_ = false;
  ComponentView strip_{};  // no flags: strips nothing
};

// Whole characters only, at every step. Byte tokens in a row wait for the next other token: if they
// are no UTF-8 together, each becomes U+FFFD, as tokenizers has it.
class DecodedText {
 public:
  explicit DecodedText(const TokenDecoder& decoder)
      : decoder_(decoder), left_to_strip_(decoder.strip_.flags) {}

  // What the token adds; flush() what is left at the end.
  std::string push(uint32_t id);
  std::string flush();

 private:
  void take_byte_run(std::string& text);
  void strip(std::string& text);

  const TokenDecoder& decoder_;
  bool is_first_ = true;
  std::string byte_run_;
  uint32_t left_to_strip_;  // characters at the beginning of the text
  Utf8Stream stream_;
};

}  // namespace mica
