#include "lib/text/tokenizer_image.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

#include "lib/base/checked.h"
#include "lib/base/error.h"
#include "lib/text/pre_tokenizer.h"
#include "lib/text/tokenizer_parts.h"

namespace mica {
namespace {

using image::Section;

TokenizerParts read_parts(const Json& json, std::string_view name) {
  json.as_object(name);
  const Json& model = json["model"];
  model.as_object(fmt::format("{}: model", name));
  // Files of the first years do not name the type of a model with merges.
  const Json& type = model["type"];
  const std::string model_name = type.is_null() && model.find("merges") ? "BPE"
                                 : type.is_string()                     ? type.as_string()
                                                                        : "";
  if (model_name != "BPE") {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: the tokenizer model '{}' is not supported, expected BPE", name,
                            model_name));
  }
  TokenizerParts parts;
  read_components(json, name, parts);
  read_bpe_model(model, name, parts);
  read_added_tokens(json["added_tokens"], name, parts);
  read_post_processor(json["post_processor"], name, parts);
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
    header_.version = image::kVersion;
    header_.header_bytes = sizeof(header_);
    header_.model = static_cast<uint32_t>(image::ModelKind::kByteLevelBpe);
    header_.model_flags = parts.model_flags;
    header_.token_count =
        static_cast<uint32_t>(checked_range(parts.tokens.size(), 1, image::kMaxTokens, name));
    header_.unknown_token = parts.unknown_token;
    header_.probe_limit = 1;
    std::ranges::copy(parts.byte_tokens, header_.byte_tokens);
    bytes_.resize(sizeof(header_));
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
    header_.image_bytes = bytes_.size();
    std::memcpy(bytes_.data(), &header_, sizeof(header_));
    return std::move(bytes_);
  }

 private:
  // Appends the elements and zeros up to the next multiple of 8.
  template <class Elements>
  void write_section(Section which, const Elements& elements) {
    const auto source = std::as_bytes(std::span(elements));
    header_.sections[static_cast<size_t>(which)] = {bytes_.size(), source.size()};
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
                              static_cast<uint32_t>(part.behavior), part.flags, 0, offset, size});
      }
    }
    write_section(Section::kComponents, components);
  }

  std::pair<uint32_t, uint32_t> add_text(std::string_view text) {
    const auto offset = checked_cast<uint32_t>(text_.size(), name_);
    text_ += text;
    return {offset, checked_cast<uint32_t>(text.size(), name_)};
  }

  const TokenizerParts& parts_;
  std::string_view name_;
  image::Header header_{};
  std::vector<std::byte> bytes_;
  std::string text_;
};

// A pattern that cannot be run is a reason not to convert.
void check_patterns(const TokenizerParts& parts, std::string_view name) {
  PreTokenizer pre_tokenizer(name);
  for (const ComponentPart& part : parts.splits) {
    pre_tokenizer.add({part.kind, part.behavior, part.flags, part.text});
  }
  pre_tokenizer.check_patterns();
}

}  // namespace

std::vector<std::byte> build_tokenizer_image(const Json& tokenizer_json, std::string_view name) {
  const TokenizerParts parts = read_parts(tokenizer_json, name);
  check_patterns(parts, name);
  return ImageWriter(parts, name).write();
}

}  // namespace mica
