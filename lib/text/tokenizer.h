// Text to token ids and back, exactly as Hugging Face `tokenizers` does it.
//
// A Tokenizer is a view over a tokenizer image (lib/text/README.md): offset table, string pool and
// prebuilt hash tables that are used straight from the mapped file. Opening costs page faults only;
// every access is bounds-checked, so that a damaged image gives Error(kInvalidFile), never a crash.
// Immutable after open; encode and decode may be called from several threads. The image must
// outlive the tokenizer.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/checked.h"
#include "lib/text/text_span.h"

namespace mica {

using TokenId = int32_t;

struct EncodeOptions {
  // Recognise the spellings of added tokens ("<|im_end|>") in the text.
  bool match_added_tokens = true;
  // Add what the post-processor adds (BOS and the like).
  bool add_special_tokens = true;
  // Sorted, disjoint ranges where no added token is recognised: message contents in a rendered
  // chat.
  std::span<const TextSpan> plain_spans = {};
};

class Tokenizer {
 public:
  // Checks the image's header and table bounds; parses nothing that grows with the vocabulary.
  static Tokenizer open(Bytes image, std::string_view name);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  int64_t vocabulary_size() const;  // greatest id + 1
  const char* kind() const;         // "byte-level BPE", "BPE", "unigram"

  // `text` must be UTF-8: otherwise Error(kUsage) naming the byte offset.
  std::vector<TokenId> encode(std::string_view text, const EncodeOptions& options = {}) const;
  // Ids outside the vocabulary: Error(kUsage). Result is always UTF-8 (bytes that form no character
  // become U+FFFD, as tokenizers' decode has it).
  std::string decode(std::span<const TokenId> ids, bool skip_special_tokens = false) const;

  // The raw bytes one token stands for when decoded in the middle of a text.
  std::string token_bytes(TokenId id) const;
  // The token of exactly this spelling in the vocabulary or among added tokens, or -1.
  TokenId find(std::string_view spelling) const;
  bool is_special(TokenId id) const;

  // What "add_special_tokens" puts in front of a text: empty or {bos}.
  std::span<const TokenId> prefix_tokens() const;

 private:
  friend class DecodeStream;
  struct State;
  explicit Tokenizer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Turns ids into text piece by piece; a piece is always whole UTF-8 characters, and all pieces
// together equal decode() of all ids. Byte tokens of a SentencePiece vocabulary come out with the
// next other token. Not thread-safe; the tokenizer must outlive it.
class DecodeStream {
 public:
  explicit DecodeStream(const Tokenizer& tokenizer, bool skip_special_tokens = true);
  ~DecodeStream();
  DecodeStream(DecodeStream&&) noexcept;
  std::string push(TokenId id);
  std::string flush();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mica
