#include "lib/text/double_array.h"

#include <bit>
#include <fmt/format.h>

#include "lib/base/error.h"

namespace mica {
namespace {

constexpr uint64_t kBlock = 256;         // what the labels of one unit may reach
constexpr uint64_t kOpen = 16 * kBlock;  // free units are looked for among the last ones only
constexpr uint64_t kNarrow = 1u << 21;
constexpr uint64_t kLongestOffset = 1u << 29;

using Keys = std::span<const std::pair<std::string_view, uint32_t>>;

class Builder {
 public:
  Builder(Keys keys, std::string_view name) : keys_(keys), name_(name) {}

  std::vector<uint32_t> build() {
    grow();
    take(0);
    if (!keys_.empty()) todo_.push_back({0, 0, keys_.size(), 0});
    while (!todo_.empty()) {
      const Node node = todo_.back();
      todo_.pop_back();
      place_children(node);
    }
    return std::move(units_);
  }

 private:
  struct Node {
    uint64_t unit;
    size_t first, last;  // its keys
    size_t depth;        // their bytes on the way here
  };

  void place_children(const Node& node) {
    labels_.clear();
    starts_.clear();
    for (size_t i = node.first; i < node.last; ++i) {
      const std::string_view key = keys_[i].first;
      const uint8_t label = key.size() == node.depth ? 0 : static_cast<uint8_t>(key[node.depth]);
      if (!labels_.empty() && labels_.back() == label) continue;
      labels_.push_back(label);
      starts_.push_back(i);
    }
    starts_.push_back(node.last);
    const uint64_t base = find_base(node.unit);
    base_used_[base] = true;
    set_offset(units_[node.unit], node.unit ^ base);
    for (const uint8_t label : labels_) take(base ^ label);
    for (size_t i = labels_.size(); i-- > 0;) {
      if (labels_[i] == 0) {
        units_[node.unit] |= DoubleArray::kHasValue;
        units_[base] = keys_[node.first].second | DoubleArray::kIsValue;
        continue;
      }
      units_[base ^ labels_[i]] = labels_[i];
      todo_.push_back({base ^ labels_[i], starts_[i], starts_[i + 1], node.depth + 1});
    }
  }

  // A base that no other node has, whose units for all labels are free.
  uint64_t find_base(uint64_t parent) {
    const uint64_t from = units_.size() > kOpen ? units_.size() - kOpen : 0;
    for (uint64_t word = from / 64; word < free_.size(); ++word) {
      for (uint64_t bits = free_[word]; bits != 0; bits &= bits - 1) {
        const uint64_t base =
            (word * 64 + static_cast<uint64_t>(std::countr_zero(bits))) ^ labels_[0];
        if (fits(base, parent)) return base;
      }
    }
    const uint64_t base = units_.size() | (parent & (kBlock - 1));
    grow();
    if (!fits(base, parent)) {
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("{}: a trie of {} keys is too large", name_, keys_.size()));
    }
    return base;
  }

  bool fits(uint64_t base, uint64_t parent) const {
    const uint64_t offset = base ^ parent;
    if (base_used_[base] || (offset >= kNarrow && offset % kBlock != 0)) return false;
    if (offset >= kLongestOffset) return false;
    for (const uint8_t label : labels_) {
      const uint64_t unit = base ^ label;
      if (!(free_[unit / 64] >> (unit % 64) & 1)) return false;
    }
    return true;
  }

  static void set_offset(uint32_t& unit, uint64_t offset) {
    const auto bits = static_cast<uint32_t>(offset);
    unit |= offset < kNarrow ? bits << 10 : bits << 2 | DoubleArray::kWide;
  }

  void take(uint64_t unit) { free_[unit / 64] &= ~(uint64_t{1} << (unit % 64)); }

  void grow() {
    units_.resize(units_.size() + kBlock);
    base_used_.resize(units_.size());
    free_.resize(units_.size() / 64, ~uint64_t{0});
  }

  Keys keys_;
  std::string_view name_;
  std::vector<uint32_t> units_;
  std::vector<bool> base_used_;
  std::vector<uint64_t> free_;  // a bit for each unit
  std::vector<Node> todo_;
  std::vector<uint8_t> labels_;  // of the node in work, ascending
  std::vector<size_t> starts_;   // its first key for each label, and the end
};

}  // namespace

std::vector<uint32_t> build_double_array(Keys keys, std::string_view name) {
  return Builder(keys, name).build();
}

}  // namespace mica
