// XXH3-128 (xxHash): finds accidents, not attackers.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "lib/base/checked.h"

namespace mica {

// Canonical (big-endian) bytes of an XXH3-128, as `xxhsum -H2` prints them.
struct Hash128 {
  std::array<uint8_t, 16> bytes{};
  std::string hex() const;
  bool operator==(const Hash128&) const = default;
};

Hash128 hash128(Bytes bytes);

class StreamHash128 {
 public:
  StreamHash128();
  ~StreamHash128();
  StreamHash128(StreamHash128&&) noexcept;
  StreamHash128& operator=(StreamHash128&&) noexcept;
  void update(Bytes bytes);
  Hash128 digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mica
