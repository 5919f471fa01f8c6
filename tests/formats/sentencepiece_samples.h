// SentencePiece models for tests, built field by field so that any field can be made wrong.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace mica::testing {

inline std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

// Fields of a message, by wire type.
inline std::string number_field(uint32_t number, uint64_t value) {
  return varint(uint64_t{number} << 3) + varint(value);
}
inline std::string bytes_field(uint32_t number, std::string_view bytes) {
  return varint(uint64_t{number} << 3 | 2) + varint(bytes.size()) + std::string(bytes);
}
inline std::string float_field(uint32_t number, float value) {
  std::string bytes(sizeof(value), '\0');
  std::memcpy(bytes.data(), &value, sizeof(value));
  return varint(uint64_t{number} << 3 | 5) + bytes;
}

inline std::string piece_field(std::string_view text, float score = 0, uint64_t type = 1) {
  return bytes_field(1, bytes_field(1, text) + float_field(2, score) + number_field(3, type));
}

// A BPE model: unknown, "<s>", "</s>", "<u>" (user-defined), "a", "b", "ab", U+2581, U+2581 "a".
inline std::string tiny_sentencepiece(std::string_view trainer = number_field(3, 2),
                                      std::string_view normalizer = "") {
  std::string model = piece_field("<unk>", 0, 2) + piece_field("<s>", 0, 3) +
                      piece_field("</s>", 0, 3) + piece_field("<u>", 0, 4);
  const char* texts[] = {"ab",
                         "\xe2\x96\x81"
                         "a",
                         "a", "b", "\xe2\x96\x81"};
  float score = -1;
  for (const char* text : texts) model += piece_field(text, score--);
  return model + bytes_field(2, trainer) + bytes_field(3, normalizer);
}

}  // namespace mica::testing
