#include "lib/text/image_view.h"

#include <algorithm>
#include <fmt/format.h>
#include <xxhash.h>

#include "lib/base/error.h"

namespace mica {

using image::Section;

namespace image {

uint64_t hash_spelling(std::string_view bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace image

namespace {

// One element of a table whose index has been compared with its length.
template <class T>
T element(Bytes table, uint64_t index) {
  T value;
  std::memcpy(&value, table.data() + index * sizeof(T), sizeof(T));
  return value;
}

}  // namespace

void fail_unknown_component(image::ComponentKind kind, std::string_view name) {
  throw Error(ErrorCode::kUnsupported, fmt::format("{}: tokenizer component {} is not known here",
                                                   name, static_cast<uint32_t>(kind)));
}

ImageView::ImageView(Bytes image, std::string_view name)
    : header_(load_at<image::Header>(image, 0, name)), name_(name) {
  check_header();
  if (header_.version == image::kVersionWithTail) {
    tail_ = load_at<image::Tail>(image, sizeof(image::Header), name);
  }
  if (header_.image_bytes != image.size()) {
    fail(fmt::format("the tokenizer image has {} bytes, its header says {}", image.size(),
                     header_.image_bytes));
  }
  for (size_t i = 0; i < image::kSections; ++i) {
    sections_[i] = checked_slice(image, range_of(i).offset, range_of(i).bytes, name);
  }
  const uint64_t tokens = header_.token_count;
  if (section(Section::kTokenOffsets).size() != (tokens + 1) * sizeof(uint32_t) ||
      section(Section::kTokenFlags).size() != tokens) {
    fail(fmt::format("the tokenizer's tables are not of {} tokens", tokens));
  }
  if (model() == image::ModelKind::kUnigram &&
      section(Section::kScores).size() != tokens * sizeof(double)) {
    fail(fmt::format("the tokenizer's scores are not of {} tokens", tokens));
  }
  merge_slots_ = section(Section::kMerges).size() / sizeof(image::MergeSlot);
  spelling_slots_ = section(Section::kSpellings).size() / sizeof(image::SpellingSlot);
}

void ImageView::check_header() const {
  if (!std::ranges::equal(header_.magic, image::kMagic)) {
    fail("expected a tokenizer image, found other bytes");
  }
  const bool has_tail = header_.version == image::kVersionWithTail;
  if ((header_.version != image::kVersion && !has_tail) ||
      header_.header_bytes != sizeof(image::Header) + (has_tail ? sizeof(image::Tail) : 0)) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: tokenizer image version {} is not known here, expected {} or {}",
                            name_, header_.version, image::kVersion, image::kVersionWithTail));
  }
  const auto last = has_tail ? image::ModelKind::kUnigram : image::ModelKind::kByteLevelBpe;
  if (header_.model < static_cast<uint32_t>(image::ModelKind::kByteLevelBpe) ||
      header_.model > static_cast<uint32_t>(last)) {
    throw Error(ErrorCode::kUnsupported,
                fmt::format("{}: tokenizer model {} is not known here", name_, header_.model));
  }
  checked_range(header_.token_count, 1, image::kMaxTokens, name_ + ": token count");
  checked_range(header_.probe_limit, 1, image::kMaxProbes, name_ + ": probe limit");
  if (header_.unknown_token != image::kNone) checked_id(header_.unknown_token);
  for (const uint32_t id : header_.byte_tokens) {
    if (id != image::kNone) checked_id(id);
  }
}

std::string_view ImageView::token_bytes(uint32_t id) const {
  checked_id(id);
  const uint32_t begin = element<uint32_t>(section(Section::kTokenOffsets), id);
  const uint32_t end = element<uint32_t>(section(Section::kTokenOffsets), uint64_t{id} + 1);
  const Bytes pool = section(Section::kTokenBytes);
  if (begin > end || end > pool.size()) fail(fmt::format("token {} lies outside its table", id));
  return as_text(pool.subspan(begin, end - begin));
}

uint8_t ImageView::token_flags(uint32_t id) const {
  return element<uint8_t>(section(Section::kTokenFlags), checked_id(id));
}

uint32_t ImageView::find(std::string_view bytes, uint8_t mask, uint8_t flags) const {
  if (spelling_slots_ == 0) return image::kNone;
  const uint64_t hash = image::hash_spelling(bytes);
  uint64_t slot = image::home_slot(hash, spelling_slots_);
  for (uint32_t probe = 0; probe < header_.probe_limit; ++probe) {
    const auto found = element<image::SpellingSlot>(section(Section::kSpellings), slot);
    if (found.id == image::kNone) return image::kNone;
    if (found.tag == static_cast<uint32_t>(hash) && (token_flags(found.id) & mask) == flags &&
        token_bytes(found.id) == bytes) {
      return found.id;
    }
    if (++slot == spelling_slots_) slot = 0;
  }
  return image::kNone;
}

MergeResult ImageView::find_merge(uint32_t left, uint32_t right) const {
  if (merge_slots_ == 0) return {};
  uint64_t slot = image::home_slot(image::hash_pair(left, right), merge_slots_);
  for (uint32_t probe = 0; probe < header_.probe_limit; ++probe) {
    const auto found = element<image::MergeSlot>(section(Section::kMerges), slot);
    if (found.id == image::kNone) return {};
    if (found.left == left && found.right == right) {
      if (found.rank == image::kNone) fail("a merge has no rank");
      return {found.rank, checked_id(found.id)};
    }
    if (++slot == merge_slots_) slot = 0;
  }
  return {};
}

std::vector<image::MergeSlot> ImageView::merges() const {
  std::vector<image::MergeSlot> merges;
  for (uint64_t slot = 0; slot < merge_slots_; ++slot) {
    const auto found = element<image::MergeSlot>(section(Section::kMerges), slot);
    if (found.id != image::kNone) merges.push_back(found);
  }
  return merges;
}

double ImageView::score(uint32_t id) const {
  return element<double>(section(Section::kScores), checked_id(id));
}

uint64_t ImageView::added_count(Section list) const {
  return section(list).size() / sizeof(image::AddedEntry);
}

AddedToken ImageView::added(Section list, uint64_t index) const {
  const auto entry =
      load_at<image::AddedEntry>(section(list), index * sizeof(image::AddedEntry), name_);
  return {text(entry.text_offset, entry.text_bytes), checked_id(entry.id), entry.flags};
}

std::vector<ComponentView> ImageView::components() const {
  const Bytes table = section(Section::kComponents);
  const uint64_t count = checked_range(table.size() / sizeof(image::Component), 0,
                                       image::kMaxComponents, name_ + ": tokenizer components");
  std::vector<ComponentView> components;
  for (uint64_t i = 0; i < count; ++i) {
    const auto component = element<image::Component>(table, i);
    checked_range(component.behavior, 0, static_cast<uint32_t>(image::SplitBehavior::kContiguous),
                  name_ + ": split behavior");
    checked_range(component.pattern_bytes, 0, component.text_bytes, name_ + ": pattern");
    components.push_back({static_cast<image::ComponentKind>(component.kind),
                          static_cast<image::SplitBehavior>(component.behavior), component.flags,
                          text(component.text_offset, component.text_bytes),
                          component.pattern_bytes});
  }
  return components;
}

std::vector<int32_t> ImageView::affix(Section which) const {
  const uint64_t count = checked_range(section(which).size() / sizeof(uint32_t), 0,
                                       image::kMaxAffixTokens, name_ + ": tokens around a text");
  std::vector<int32_t> ids;
  for (uint64_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<int32_t>(checked_id(element<uint32_t>(section(which), i))));
  }
  return ids;
}

std::string_view ImageView::text(uint32_t offset, uint32_t bytes) const {
  return as_text(checked_slice(section(Section::kText), offset, bytes, name_));
}

void ImageView::fail_id(uint32_t id) const {
  fail(fmt::format("the tokenizer names token {}, it has {}", id, header_.token_count));
}

void ImageView::fail(std::string_view what) const {
  throw Error(ErrorCode::kInvalidFile, fmt::format("{}: {}", name_, what));
}

}  // namespace mica
