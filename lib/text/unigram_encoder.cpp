#include "lib/text/unigram_encoder.h"

#include <algorithm>

#include "lib/base/utf8.h"

namespace mica {
namespace {

// As SentencePiece 0.2.3 does it; where sums are rounded decides between tokens of equal scores.
constexpr double kLeastSum = -100'000;

}  // namespace

void UnigramEncoder::tokenize(std::string_view piece, std::vector<int32_t>& ids) {
  find_best(piece);
  ends_.clear();
  for (auto end = static_cast<uint32_t>(piece.size()); end > 0; end = nodes_[end].begin) {
    ends_.push_back(end);
  }
  std::ranges::reverse(ends_);
  path_.clear();
  uint32_t run_begin = 0;
  bool in_run = false;  // unknown characters in a row are one unknown token
  for (const uint32_t end : ends_) {
    const Node& node = nodes_[end];
    if (node.id == image::kNone) {
      if (!in_run) run_begin = node.begin;
      in_run = true;
      continue;
    }
    if (in_run) append_unknown(piece.substr(run_begin, node.begin - run_begin));
    in_run = false;
    path_.push_back(node.id);
  }
  if (in_run) append_unknown(piece.substr(run_begin));
  ids.insert(ids.end(), path_.begin(), path_.end());
}

void UnigramEncoder::find_best(std::string_view piece) {
  nodes_.assign(piece.size() + 1, {0, image::kNone, image::kNone});
  furthest_ = 0;
  for (size_t begin = 0; begin < piece.size();) {
    if (single_ && nodes_[begin].sum < kLeastSum) rebase(begin);
    const double so_far = nodes_[begin].sum;
    const auto bytes = static_cast<size_t>(std::max(1, decode_utf8(piece, begin).bytes));
    bool whole_character = false;
    trie_.prefixes(piece.substr(begin), [&](size_t length, uint32_t id) {
      offer(begin + length, so_far + image_.score(id), begin, id);
      whole_character |= length == bytes;
      return true;
    });
    if (!whole_character) {
      offer(begin + bytes, so_far + image_.unknown_score(), begin, image::kNone);
    }
    begin += bytes;
  }
}

// The first of equals wins.
void UnigramEncoder::offer(size_t end, double sum, size_t begin, uint32_t id) {
  if (single_) sum = static_cast<float>(sum);
  Node& node = nodes_[end];
  if (node.begin != image::kNone && !(sum > node.sum)) return;
  node = {sum, static_cast<uint32_t>(begin), id};
  furthest_ = std::max(furthest_, end);
}

// Counts sums from `begin` on anew, so that they keep their precision.
void UnigramEncoder::rebase(size_t begin) {
  const double base = nodes_[begin].sum;
  for (size_t end = begin; end <= furthest_; ++end) {
    nodes_[end].sum = static_cast<float>(nodes_[end].sum - base);
  }
}

void UnigramEncoder::append_unknown(std::string_view run) {
  constexpr uint8_t kMask = image::kInModel | image::kSpecial;
  const uint32_t whole = single_ ? image::kNone : image_.find(run, kMask, image::kInModel);
  if (whole != image::kNone) return path_.push_back(whole);
  if (append_byte_tokens(run, path_)) return;
  if (image_.header().unknown_token != image::kNone) {
    path_.push_back(image_.header().unknown_token);
  }
}

}  // namespace mica
