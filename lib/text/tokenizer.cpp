#include "lib/text/tokenizer.h"

#include <algorithm>
#include <fmt/format.h>

#include "lib/base/error.h"
#include "lib/base/utf8.h"
#include "lib/text/added_tokens.h"
#include "lib/text/byte_chars.h"
#include "lib/text/normalizer.h"
#include "lib/text/piece_encoder.h"
#include "lib/text/pre_tokenizer.h"
#include "lib/text/token_decoder.h"
#include "lib/text/unicode_facts.h"

namespace mica {
namespace {

using image::ComponentKind;
using image::Section;

constexpr size_t kLongestText = size_t{1} << 31;  // positions in a piece are 32 bits

std::string_view slice(std::string_view text, TextSpan span) {
  return text.substr(span.begin, span.end - span.begin);
}

// The parts of `spans` (sorted, disjoint) inside `section`, counted from its beginning.
std::vector<TextSpan> spans_within(std::span<const TextSpan> spans, TextSpan section) {
  std::vector<TextSpan> inside;
  auto span = std::ranges::upper_bound(spans, section.begin, {}, &TextSpan::end);
  for (; span != spans.end() && span->begin < section.end; ++span) {
    inside.push_back({std::max(span->begin, section.begin) - section.begin,
                      std::min(span->end, section.end) - section.begin});
  }
  return inside;
}

}  // namespace

struct Tokenizer::State {
  class Encoding;

  ImageView image;
  AddedTokenMatcher added_raw{image, Section::kAddedRaw};
  AddedTokenMatcher added_normalized{image, Section::kAddedNormalized};
  Normalizer normalizer{image.name(), &added_normalized};
  PreTokenizer pre_tokenizer{image.name()};
  TokenDecoder decoder{image};
  std::vector<TokenId> prefix = image.affix(Section::kPrefix);
  std::vector<TokenId> suffix = image.affix(Section::kSuffix);

  State(Bytes bytes, std::string_view name) : image(bytes, name) {
    for (const ComponentView& component : image.components()) add(component);
  }
  State(const State&) = delete;  // the members refer to `image`

  void add(const ComponentView& component) {
    if (Normalizer::is_step(component.kind)) return normalizer.add(component);
    if (TokenDecoder::is_step(component.kind)) return decoder.add(component);
    pre_tokenizer.add(component);
  }

  uint32_t checked_id(TokenId id) const {
    if (id >= 0 && static_cast<uint32_t>(id) < image.token_count())
      return static_cast<uint32_t>(id);
    throw Error(ErrorCode::kUsage, fmt::format("{}: token id {} is outside the vocabulary of {}",
                                               image.name(), id, image.token_count()));
  }

  bool is_special(uint32_t id) const { return image.token_flags(id) & image::kSpecial; }

  void check_text(std::string_view text) const {
    if (text.size() >= kLongestText) {
      throw Error(ErrorCode::kUsage,
                  fmt::format("{}: a text of {} bytes is too long, expected less than {}",
                              image.name(), text.size(), kLongestText));
    }
    const size_t invalid = find_invalid_utf8(text);
    if (invalid == kValid) return;
    throw Error(
        ErrorCode::kUsage,
        fmt::format("{}: the text is not UTF-8: expected a character at byte {}, found 0x{:02x}",
                    image.name(), invalid, static_cast<uint8_t>(text[invalid])));
  }
};

// One call of encode.
class Tokenizer::State::Encoding {
 public:
  Encoding(const State& state, std::string_view text, std::vector<TokenId>& ids)
      : state_(state),
        scratch_(has_newer_points(text) ? UnicodeReach::kNewer : UnicodeReach::kKnown),
        encoder_(PieceEncoder::make(state.image)),
        ids_(ids) {}

  // Added tokens of the raw list first, then those of the normalized list in what lies between.
  void run(std::string_view text, std::span<const TextSpan> plain) {
    state_.added_raw.split(
        text, plain,
        [&](TextSpan part) {
          run_section(slice(text, part), part.begin == 0, spans_within(plain, part));
        },
        [&](uint32_t id) { ids_.push_back(static_cast<TokenId>(id)); });
  }

 private:
  void run_section(std::string_view text, bool at_start, std::vector<TextSpan> plain) {
    const std::optional<std::string> normalized = state_.normalizer.run(text, scratch_, plain);
    if (normalized) text = *normalized;
    state_.added_normalized.split(
        text, plain,
        [&](TextSpan part) {
          state_.pre_tokenizer.split(
              slice(text, part), at_start && part.begin == 0, scratch_,
              [&](std::string_view piece) { encoder_->encode(piece, ids_); });
        },
        [&](uint32_t id) { ids_.push_back(static_cast<TokenId>(id)); });
  }

  const State& state_;
  MatchScratch scratch_;
  std::unique_ptr<PieceEncoder> encoder_;
  std::vector<TokenId>& ids_;
};

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::open(Bytes image, std::string_view name) {
  return Tokenizer(std::make_unique<State>(image, name));
}

int64_t Tokenizer::vocabulary_size() const {
  return state_->image.token_count();
}

const char* Tokenizer::kind() const {
  switch (state_->image.model()) {
    case image::ModelKind::kByteLevelBpe:
      return "byte-level BPE";
    case image::ModelKind::kBpe:
      return "BPE";
    case image::ModelKind::kUnigram:
      return "unigram";
  }
  return "";
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  state_->check_text(text);
  std::vector<TokenId> ids;
  if (options.add_special_tokens) ids = state_->prefix;
  const TextSpan whole{0, text.size()};
  State::Encoding(*state_, text, ids)
      .run(text, options.match_added_tokens ? options.plain_spans : std::span(&whole, 1));
  if (options.add_special_tokens)
    ids.insert(ids.end(), state_->suffix.begin(), state_->suffix.end());
  return ids;
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special_tokens) const {
  DecodeStream stream(*this, skip_special_tokens);
  std::string text;
  for (const TokenId id : ids) text += stream.push(id);
  return text + stream.flush();
}

std::string Tokenizer::token_bytes(TokenId id) const {
  return state_->decoder.token_bytes(state_->checked_id(id));
}

TokenId Tokenizer::find(std::string_view spelling) const {
  constexpr uint8_t kMask = image::kPresent | image::kVerbatim;
  const bool by_bytes = state_->image.model() == image::ModelKind::kByteLevelBpe;
  const std::optional<std::string> bytes = by_bytes ? unspell_bytes(spelling) : std::nullopt;
  const uint32_t id = bytes ? state_->image.find(*bytes, kMask, image::kPresent)
                            : state_->image.find(spelling, kMask, kMask);
  return id == image::kNone ? -1 : static_cast<TokenId>(id);
}

bool Tokenizer::is_special(TokenId id) const {
  return state_->is_special(state_->checked_id(id));
}

std::span<const TokenId> Tokenizer::prefix_tokens() const {
  return state_->prefix;
}

struct DecodeStream::State {
  const Tokenizer::State& tokenizer;
  bool skip_special_tokens;
  DecodedText text{tokenizer.decoder};
};

DecodeStream::DecodeStream(const Tokenizer& tokenizer, bool skip_special_tokens)
    : state_(new State{*tokenizer.state_, skip_special_tokens}) {}
DecodeStream::~DecodeStream() = default;
DecodeStream::DecodeStream(DecodeStream&&) noexcept = default;

std::string DecodeStream::push(TokenId token) {
  const uint32_t id = state_->tokenizer.checked_id(token);
  if (state_->skip_special_tokens && state_->tokenizer.is_special(id)) return {};
  return state_->text.push(id);
}

std::string DecodeStream::flush() {
  return state_->text.flush();
}

}  // namespace mica
