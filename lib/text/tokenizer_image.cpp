#include "lib/text/tokenizer_image.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>

#include "lib/base/checked.h"
#include "lib/base/error.h"
#include "lib/text/double_array.h"
#include "lib/text/normalizer.h"
#include "lib/text/pre_tokenizer.h"
#include "lib/text/tokenizer_parts.h"

namespace mica {
namespace {

using image::Section;

std::string model_name(const Json& model) {
  // Files of the first years do not name the type of a model with merges.
  const Json& type = model["type"];
  if (type.is_null() && model.find("merges")) return "BPE";
  return type.is_string() ? type.as_string() : "";
}

// The alphabet of bytes comes with a pre-tokenizer and a decoder, and with BPE, or not at all.
void check_alphabet(const Json& json, const std::string& model, std::string_view name,
                    const TokenizerParts& parts) {
  const auto fail = [&](std::string_view what) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: a {} model {} is not supported", name, model, what));
  };
  const bool decodes_bytes =
      !parts.decoders.empty() && parts.decoders[0].kind == image::ComponentKind::kByteLevelDecode;
  if (parts.is_by_bytes() && model != "BPE") fail("with the pre-tokenizer 'ByteLevel'");
  if (parts.is_by_bytes() && !decodes_bytes) fail("without the decoder 'ByteLevel'");
  if (!parts.is_by_bytes() && decodes_bytes) fail("without the pre-tokenizer 'ByteLevel'");
  if (json["decoder"].is_null()) fail("without a decoder");
}

TokenizerParts read_parts(const Json& json, std::string_view name) {
  json.as_object(name);
  const Json& model = json["model"];
  model.as_object(fmt::format("{}: model", name));
  const std::string model_type = model_name(model);
  if (model_type != "BPE" && model_type != "Unigram") {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: the tokenizer model '{}' is not supported, expected BPE or "
                            "Unigram",
                            name, model_type));
  }
  TokenizerParts parts;
  read_normalizers(json, name, parts);
  read_pre_tokenizers(json, name, parts);
  read_decoders(json, name, parts);
  check_alphabet(json, model_type, name, parts);
  if (model_type == "BPE") {
    parts.model = parts.is_by_bytes() ? image::ModelKind::kByteLevelBpe : image::ModelKind::kBpe;
    read_bpe_model(model, name, parts);
  } else {
    parts.model = image::ModelKind::kUnigram;
    read_unigram_model(model, name, parts);
  }
  read_added_tokens(json["added_tokens"], name, parts);
  read_post_processor(json, name, parts);
  return parts;
}

// An open-addressing table with linear probing, a third of it free.
template <class Slot>
class SlotTable {
 public:
  explicit SlotTable(uint64_t keys) : slots_(keys + keys / 2 + 1, free_slot()) {}

  void insert(uint64_t hash, const Slot& slot) {
    uint64_t at = image::home_slot(hash, slots_.size());
    uint32_t probes = 1;
    for (; slots_[at].id != image::kNone; ++probes) {
      if (++at == slots_.size()) at = 0;
    }
    slots_[at] = slot;
    most_probes_ = std::max(most_probes_, probes + 1);  // the free slot behind a full walk included
  }

  const std::vector<Slot>& slots() const { return slots_; }
  uint32_t most_probes() const { return most_probes_; }

 private:
  static Slot free_slot() {
    Slot slot{};
    slot.id = image::kNone;
    return slot;
  }

  std::vector<Slot> slots_;
  uint32_t most_probes_ = 1;
};

class ImageWriter {
 public:
  ImageWriter(const TokenizerParts& parts, std::string_view name) : parts_(parts), name_(name) {
    std::memcpy(header_.magic, image::kMagic, sizeof(header_.magic));
    const bool has_tail = parts.model != image::ModelKind::kByteLevelBpe;
    header_.version = has_tail ? image::kVersionWithTail : image::kVersion;
    header_.header_bytes = sizeof(header_) + (has_tail ? sizeof(tail_) : 0);
    header_.model = static_cast<uint32_t>(parts.model);
    header_.model_flags = parts.model_flags;
    header_.token_count =
        static_cast<uint32_t>(checked_range(parts.tokens.size(), 1, image::kMaxTokens, name));
    header_.unknown_token = parts.unknown_token;
    header_.probe_limit = 1;
    std::ranges::copy(parts.byte_tokens, header_.byte_tokens);
    bytes_.resize(header_.header_bytes);
  }

  std::vector<std::byte> write() {
    write_tokens();
    write_spellings();
    write_merges();
    write_added(Section::kAddedRaw, parts_.added_raw, header_.added_first_raw);
    write_added(Section::kAddedNormalized, parts_.added_normalized, header_.added_first_normalized);
    write_components();
    write_section(Section::kText, text_);
    write_section(Section::kPrefix, parts_.prefix);
    write_section(Section::kSuffix, parts_.suffix);
    if (parts_.model == image::ModelKind::kUnigram) write_unigram();
    header_.image_bytes = bytes_.size();
    std::memcpy(bytes_.data(), &header_, sizeof(header_));
    if (header_.version == image::kVersionWithTail) {
      std::memcpy(bytes_.data() + sizeof(header_), &tail_, sizeof(tail_));
    }
    return std::move(bytes_);
  }

 private:
  // Appends the elements and zeros up to the next multiple of 8.
  template <class Elements>
  void write_section(Section which, const Elements& elements) {
    const auto source = std::as_bytes(std::span(elements));
    const auto index = static_cast<size_t>(which);
    image::SectionRange& range = index < image::kHeaderSections
                                     ? header_.sections[index]
                                     : tail_.sections[index - image::kHeaderSections];
    range = {bytes_.size(), source.size()};
    bytes_.insert(bytes_.end(), source.begin(), source.end());
    bytes_.resize(checked_align_up(bytes_.size(), 8, name_));
  }

  void write_tokens() {
    std::vector<uint32_t> offsets;
    std::vector<uint8_t> flags;
    std::string pool;
    for (const TokenPart& token : parts_.tokens) {
      offsets.push_back(checked_cast<uint32_t>(pool.size(), name_));
      flags.push_back(token.flags);
      pool += token.bytes;
    }
    offsets.push_back(checked_cast<uint32_t>(pool.size(), name_));
    write_section(Section::kTokenOffsets, offsets);
    write_section(Section::kTokenFlags, flags);
    write_section(Section::kTokenBytes, pool);
  }

  // Tokens of the model first: of two that look alike, the model's is found.
  void write_spellings() {
    SlotTable<image::SpellingSlot> table(parts_.tokens.size());
    for (const bool in_model : {true, false}) {
      for (uint32_t id = 0; id < parts_.tokens.size(); ++id) {
        const TokenPart& token = parts_.tokens[id];
        if (!(token.flags & image::kPresent)) continue;
        if (((token.flags & image::kInModel) != 0) != in_model) continue;
        const uint64_t hash = image::hash_spelling(token.bytes);
        table.insert(hash, {static_cast<uint32_t>(hash), id});
      }
    }
    write_table(Section::kSpellings, table);
  }

  void write_merges() {
    SlotTable<image::MergeSlot> table(parts_.merges.size());
    for (const image::MergeSlot& merge : parts_.merges) {
      table.insert(image::hash_pair(merge.left, merge.right), merge);
    }
    write_table(Section::kMerges, table);
  }

  template <class Slot>
  void write_table(Section which, const SlotTable<Slot>& table) {
    header_.probe_limit = std::max(header_.probe_limit, table.most_probes());
    if (table.most_probes() > image::kMaxProbes) {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("{}: a hash table needs {} probes, at most {} are supported", name_,
                              table.most_probes(), image::kMaxProbes));
    }
    write_section(which, table.slots());
  }

  void write_added(Section which, const std::vector<AddedPart>& added, uint8_t (&first)[32]) {
    std::vector<image::AddedEntry> entries;
    for (const AddedPart& part : added) {
      const auto byte = static_cast<uint8_t>(part.text.front());
      first[byte >> 3] |= static_cast<uint8_t>(1 << (byte & 7));
      const auto [offset, size] = add_text(part.text);
      entries.push_back({offset, size, part.id, part.flags});
    }
    write_section(which, entries);
  }

  void write_components() {
    std::vector<image::Component> components;
    for (const auto* list : {&parts_.normalizers, &parts_.splits, &parts_.decoders}) {
      for (const ComponentPart& part : *list) {
        const auto [offset, size] = add_text(part.text);
        components.push_back({static_cast<uint32_t>(part.kind),
                              static_cast<uint32_t>(part.behavior), part.flags, part.pattern_bytes,
                              offset, size});
      }
    }
    write_section(Section::kComponents, components);
  }

  // Special tokens stay out of the trie, so that no text becomes one unless they are matched.
  void write_unigram() {
    std::vector<std::pair<std::string_view, uint32_t>> keys;
    std::vector<double> scores(parts_.tokens.size());  // tokens added to the model have none
    for (uint32_t id = 0; id < parts_.scores.size(); ++id) {
      const TokenPart& token = parts_.tokens[id];
      if (std::isnan(parts_.scores[id]) || id == parts_.unknown_token) continue;
      if (!(token.flags & image::kInModel) || token.flags & image::kSpecial) continue;
      if (token.bytes.find('\0') != std::string::npos) {
        throw Error(ErrorCode::kUnsupported,
                    fmt::format("{}: a zero character in token {} is not supported", name_, id));
      }
      scores[id] = parts_.scores[id];
      keys.emplace_back(token.bytes, id);
    }
    std::ranges::sort(keys);
    write_section(Section::kTrie, build_double_array(keys, name_));
    write_section(Section::kScores, scores);
    tail_.unknown_score = parts_.unknown_score;
  }

  std::pair<uint32_t, uint32_t> add_text(std::string_view text) {
    const auto offset = checked_cast<uint32_t>(text_.size(), name_);
    text_ += text;
    return {offset, checked_cast<uint32_t>(text.size(), name_)};
  }

  const TokenizerParts& parts_;
  std::string_view name_;
  image::Header header_{};
  image::Tail tail_{};
  std::vector<std::byte> bytes_;
  std::string text_;
};

// A pattern or charsmap that cannot be run is a reason not to convert.
void check_steps(const TokenizerParts& parts, std::string_view name) {
  Normalizer normalizer(name, nullptr);
  for (const ComponentPart& part : parts.normalizers) normalizer.add(part.view());
  normalizer.check_patterns();
  PreTokenizer pre_tokenizer(name);
  for (const ComponentPart& part : parts.splits) pre_tokenizer.add(part.view());
  pre_tokenizer.check_patterns();
}

}  // namespace

std::vector<std::byte> build_tokenizer_image(const Json& tokenizer_json, std::string_view name) {
  if (tokenizer_json.is_null()) {
    throw Error(ErrorCode::kInvalidFile,
                fmt::format("{}: expected a tokenizer (tokenizer.json, tokenizer.model, or a GGUF "
                            "file's own), found none",
                            name));
  }
  const TokenizerParts parts = read_parts(tokenizer_json, name);
  check_steps(parts, name);
  return ImageWriter(parts, name).write();
}

}  // namespace mica
