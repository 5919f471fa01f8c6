// MicaFile::find_damage: reads a whole file once, in order (FORMAT.md, "Checksums").
#include <algorithm>
#include <string_view>

#include "formats/mica_layout.h"
#include "formats/reader.h"
#include "lib/base/error.h"

namespace mica {
namespace {

constexpr uint64_t kStepBytes = 16 << 20;  // between two calls of the progress function

// A piece of the file that has a checksum; what lies between pieces is zero.
struct Piece {
  std::string_view name;
  Region region;
  Hash128 hash;
};

class Inspection {
 public:
  Inspection(Bytes file, bool padding_is_zero, const Progress& progress)
      : file_(file), padding_is_zero_(padding_is_zero), progress_(progress) {}

  void check_piece(const Piece& piece) {
    check_padding(piece.region.offset, "padding before " + std::string(piece.name));
    StreamHash128 hash;
    while (position_ < piece.region.end()) {
      const uint64_t step = std::min(kStepBytes, piece.region.end() - position_);
      hash.update(checked_slice(file_, position_, step, piece.name));
      position_ += step;
      if (progress_ && !progress_(position_, file_.size())) {
        throw Error(ErrorCode::kInterrupted, "verification was interrupted");
      }
    }
    if (hash.digest() != piece.hash) damage.emplace_back(piece.name);
  }

  // Moves on to `offset`.
  void check_padding(uint64_t offset, std::string name) {
    const Bytes padding = checked_slice(file_, position_, offset - position_, name);
    const bool is_zero = std::all_of(padding.begin(), padding.end(),
                                     [](std::byte value) { return value == std::byte{0}; });
    if (padding_is_zero_ && !is_zero) damage.push_back(std::move(name));
    position_ = offset;
  }

  std::vector<std::string> damage;

 private:
  Bytes file_;
  bool padding_is_zero_;
  const Progress& progress_;
  uint64_t position_ = sizeof(FileHeader);
};

}  // namespace

std::vector<std::string> MicaFile::find_damage(const Progress& progress) const {
  const Bytes file = file_.bytes();
  const auto header = load_at<FileHeader>(file, 0, path());
  // Right when the file was opened; a change since then leaves nothing below to compare with.
  if (header.header_hash != hash_of_header(header) || header.directory_hash != directory_hash_) {
    return {"header"};
  }

  std::vector<Piece> pieces = {{"directory", header.directory, header.directory_hash},
                               {"tokenizer", header.tokenizer, header.tokenizer_hash},
                               {"metadata", header.metadata, header.metadata_hash}};
  for (const TensorRecord& tensor : tensors_) {
    pieces.push_back({tensor.name, {tensor.offset, tensor.bytes}, tensor.hash});
  }
  std::sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) {
    return std::pair(a.region.offset, a.region.bytes) < std::pair(b.region.offset, b.region.bytes);
  });

  // A newer version's optional feature may keep something between the pieces known here.
  const bool padding_is_zero = (header.optional_features & ~kKnownFeatures) == 0;
  Inspection inspection(file, padding_is_zero, progress);
  for (const Piece& piece : pieces) inspection.check_piece(piece);
  inspection.check_padding(file.size(), "padding at the end");
  check();  // the zeros of a file that was cut are not its bytes
  return std::move(inspection.damage);
}

}  // namespace mica
