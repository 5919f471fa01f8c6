#include "formats/protobuf.h"

#include <fmt/format.h>

#include "formats/invalid.h"

namespace mica {

bool ProtobufReader::next(ProtobufField& field) {
  enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
  if (reader_.remaining() == 0) return false;
  const uint64_t key = varint();
  const uint64_t number = key >> 3;
  if (number == 0 || number >= 1u << 29) {
    fail_invalid(what_, fmt::format("expected the number of a field at byte {}, found {}",
                                    reader_.position(), number));
  }
  field = {.number = static_cast<uint32_t>(number)};
  switch (key & 7) {
    case kVarint:
      field.integer = varint();
      return true;
    case kFixed64:
      field.integer = reader_.read<uint64_t>();
      return true;
    case kBytes:
      field.bytes = reader_.read_bytes(varint());
      return true;
    case kFixed32:
      field.integer = reader_.read<uint32_t>();
      return true;
    default:
      fail_invalid(what_, fmt::format("expected a wire type of 0, 1, 2 or 5 in field {}, found {}",
                                      number, key & 7));
  }
}

uint64_t ProtobufReader::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const auto byte = reader_.read<uint8_t>();
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  fail_invalid(what_, fmt::format("expected a number of 10 bytes at most before byte {}",
                                  reader_.position()));
}

}  // namespace mica
