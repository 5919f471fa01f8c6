// Read access to a tokenizer image: every number that comes from it is checked where it is used, so
// that a damaged image ends in Error(kInvalidFile) or in wrong tokens, never outside the image.
//
// A view; the image must outlive it. Safe to share between threads.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/checked.h"
#include "lib/text/double_array.h"
#include "lib/text/image_layout.h"

namespace mica {

struct MergeResult {
  uint32_t rank = image::kNone;  // kNone: the pair is not merged
  uint32_t id = image::kNone;
};

struct AddedToken {
  std::string_view text;
  uint32_t id;
  uint32_t flags;  // image::AddedFlag
};

struct ComponentView {
  image::ComponentKind kind;
  image::SplitBehavior behavior;
  uint32_t flags;
  std::string_view text;
  uint32_t pattern_bytes = 0;  // at most those of the text

  std::string_view pattern() const { return text.substr(0, pattern_bytes); }
  std::string_view replacement() const { return text.substr(pattern_bytes); }
};

// Error(kUnsupported) for a component that a newer program may know.
[[noreturn]] void fail_unknown_component(image::ComponentKind kind, std::string_view name);

class ImageView {
 public:
  // Reads the header and the tail; touches no table.
  ImageView(Bytes image, std::string_view name);

  const image::Header& header() const { return header_; }
  const std::string& name() const { return name_; }
  uint32_t token_count() const { return header_.token_count; }
  image::ModelKind model() const { return static_cast<image::ModelKind>(header_.model); }

  std::string_view token_bytes(uint32_t id) const;
  uint8_t token_flags(uint32_t id) const;

  // The token of these bytes whose flags, masked, equal `flags`; kNone when there is none.
  uint32_t find(std::string_view bytes, uint8_t mask, uint8_t flags) const;
  MergeResult find_merge(uint32_t left, uint32_t right) const;
  std::vector<image::MergeSlot> merges() const;  // all of them, in the order of the table

  // Of the unigram model.
  DoubleArray trie() const { return DoubleArray(section(image::Section::kTrie)); }
  double score(uint32_t id) const;
  double unknown_score() const { return tail_.unknown_score; }

  uint64_t added_count(image::Section list) const;
  AddedToken added(image::Section list, uint64_t index) const;

  std::vector<ComponentView> components() const;
  std::vector<int32_t> affix(image::Section which) const;

 private:
  Bytes section(image::Section which) const { return sections_[static_cast<size_t>(which)]; }
  std::string_view text(uint32_t offset, uint32_t bytes) const;
  uint32_t checked_id(uint32_t id) const {
    if (id >= header_.token_count) fail_id(id);
    return id;
  }
  [[noreturn]] void fail_id(uint32_t id) const;
  [[noreturn]] void fail(std::string_view what) const;
  void check_header() const;
  const image::SectionRange& range_of(size_t section) const {
    return section < image::kHeaderSections ? header_.sections[section]
                                            : tail_.sections[section - image::kHeaderSections];
  }

  image::Header header_;
  image::Tail tail_{};  // nothing in an image without one
  std::string name_;
  std::array<Bytes, image::kSections> sections_;
  uint64_t merge_slots_;
  uint64_t spelling_slots_;
};

}  // namespace mica
