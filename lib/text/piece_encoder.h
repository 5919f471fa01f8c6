// Tokenizes single pieces by the model of an image, with a cache of the pieces seen before.
//
// One thread's working memory: make one for each call of encode. The image must outlive it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/text/image_view.h"

namespace mica {

class PieceEncoder {
 public:
  // The encoder of the image's model.
  static std::unique_ptr<PieceEncoder> make(const ImageView& image);
  virtual ~PieceEncoder() = default;

  // Appends the tokens of `piece`, not empty, less than 2 GiB.
  void encode(std::string_view piece, std::vector<int32_t>& ids);

 protected:
  explicit PieceEncoder(const ImageView& image) : image_(image) {}
  virtual void tokenize(std::string_view piece, std::vector<int32_t>& ids) = 0;

  // Appends the byte tokens of `bytes` if each byte has one; otherwise returns false.
  bool append_byte_tokens(std::string_view bytes, std::vector<uint32_t>& ids) const;

  const ImageView& image_;

 private:
  struct Remembered {
    uint64_t hash = 0;
    uint32_t key_offset = 0, key_bytes = 0;  // in keys_; no bytes: free
    uint32_t ids_offset = 0, ids_count = 0;  // in remembered_ids_
  };
  Remembered& slot_for(uint64_t hash, std::string_view piece);
  void remember(uint64_t hash, std::string_view piece, std::span<const int32_t> ids);
  void grow();

  std::vector<Remembered> table_;
  size_t remembered_count_ = 0;
  std::string keys_;
  std::vector<int32_t> remembered_ids_;
};

}  // namespace mica
