// The wire format of protocol buffers, as far as files use it: a message is a row of fields, each
// with a number and a value. For untrusted bytes: every length is checked.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

#include "lib/base/checked.h"

namespace mica {

// One field. Which of the values counts is the wire type's matter: the others are 0 and empty.
struct ProtobufField {
  uint32_t number = 0;
  uint64_t integer = 0;  // of a varint or a fixed number
  Bytes bytes = {};      // of a string or message

  bool flag() const { return integer != 0; }
  float number_f32() const { return std::bit_cast<float>(static_cast<uint32_t>(integer)); }
};

// Goes over the fields of a message, which must outlive it. `what` begins the sentences of errors.
class ProtobufReader {
 public:
  ProtobufReader(Bytes message, std::string_view what) : reader_(message, what), what_(what) {}

  // False at the end. Throws Error(kInvalidFile) for bytes that are no message.
  bool next(ProtobufField& field);

 private:
  uint64_t varint();

  ByteReader reader_;
  std::string_view what_;
};

}  // namespace mica
