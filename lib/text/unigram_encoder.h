// Cuts single pieces into the tokens with the greatest sum of scores (Viterbi over a trie): time in
// proportion to the piece times the longest token.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "lib/text/double_array.h"
#include "lib/text/piece_encoder.h"

namespace mica {

class UnigramEncoder final : public PieceEncoder {
 public:
  explicit UnigramEncoder(const ImageView& image)
      : PieceEncoder(image),
        trie_(image.trie()),
        single_((image.header().model_flags & image::kSentencePieceSums) != 0) {}

 private:
  // The best way to the place behind a byte.
  struct Node {
    double sum;
    uint32_t begin;  // of its last token; kNone: no way leads here
    uint32_t id;     // kNone: the unknown token
  };

  void tokenize(std::string_view piece, std::vector<int32_t>& ids) override;
  void find_best(std::string_view piece);
  void offer(size_t end, double sum, size_t begin, uint32_t id);
  void rebase(size_t begin);
  void append_unknown(std::string_view run);

  DoubleArray trie_;
  bool single_;              // sums are kept in single precision
  std::vector<Node> nodes_;  // one for each place between bytes
  size_t furthest_ = 0;      // the last place that a way leads to
  std::vector<uint32_t> ends_, path_;
};

}  // namespace mica
