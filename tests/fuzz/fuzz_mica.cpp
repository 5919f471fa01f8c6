// Fuzzes the .mica reader beyond its checksums.
//
// An input is tried as it is, and as a file folded small: its weights, which nothing interprets,
// are left out, since alignment alone would make every input 64 KiB long. Unfolding puts what lies
// behind the tokenizer where the header says that the metadata begins, fills the gap with zeros and
// makes the checksums right. corpus/mica holds folded files: of a .mica file, the bytes up to the
// end of its tokenizer and then its metadata.
#include <algorithm>
#include <vector>

#include "tests/formats/mica_exercise.h"

namespace mica::testing {
namespace {

constexpr uint64_t kMaxFileBytes = 1 << 20;

std::vector<std::byte> unfold(Bytes input) {
  std::vector<std::byte> file(input.begin(), input.end());
  FileHeader header;
  if (file.size() < sizeof(header)) return file;
  std::memcpy(&header, file.data(), sizeof(header));
  const uint64_t front = header.tokenizer.offset + header.tokenizer.bytes;
  if (front > input.size() || header.metadata.offset < front ||
      header.metadata.offset > kMaxFileBytes) {
    return file;
  }
  const Bytes back = input.subspan(front);
  file.assign(header.metadata.offset + back.size(), std::byte{0});
  std::copy_n(input.begin(), front, file.begin());
  std::copy(back.begin(), back.end(), file.begin() + static_cast<int64_t>(header.metadata.offset));
  header.metadata.bytes = back.size();
  // Left as it is now and then, for the sake of the check.
  if (header.file_bytes % 2 == 0) header.file_bytes = file.size();
  std::memcpy(file.data(), &header, sizeof(header));
  return file;
}

}  // namespace
}  // namespace mica::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mica;
  using namespace mica::testing;
  const Bytes input(reinterpret_cast<const std::byte*>(data), size);
  exercise(input);
  std::vector<std::byte> file = unfold(input);
  seal(file);
  exercise(file);
  return 0;
}
