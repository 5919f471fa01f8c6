#include "lib/base/hash.h"

#include <fmt/format.h>
#include <new>
#include <xxhash.h>

namespace mica {
namespace {

Hash128 canonical(XXH128_hash_t hash) {
  XXH128_canonical_t bytes;
  XXH128_canonicalFromHash(&bytes, hash);
  Hash128 result;
  static_assert(sizeof(bytes.digest) == sizeof(result.bytes));
  std::memcpy(result.bytes.data(), bytes.digest, sizeof(bytes.digest));
  return result;
}

}  // namespace

std::string Hash128::hex() const {
  std::string text;
  for (const uint8_t byte : bytes) fmt::format_to(std::back_inserter(text), "{:02x}", byte);
  return text;
}

Hash128 hash128(Bytes bytes) {
  return canonical(XXH3_128bits(bytes.data(), bytes.size()));
}

// xxHash allocates its state itself, since the state asks for 64-byte alignment.
struct StreamHash128::State {
  State() {
    if (xxhash == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(xxhash);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { XXH3_freeState(xxhash); }

  XXH3_state_t* xxhash = XXH3_createState();
};

StreamHash128::StreamHash128() : state_(std::make_unique<State>()) {}
StreamHash128::~StreamHash128() = default;
StreamHash128::StreamHash128(StreamHash128&&) noexcept = default;
StreamHash128& StreamHash128::operator=(StreamHash128&&) noexcept = default;

void StreamHash128::update(Bytes bytes) {
  XXH3_128bits_update(state_->xxhash, bytes.data(), bytes.size());
}

Hash128 StreamHash128::digest() const {
  return canonical(XXH3_128bits_digest(state_->xxhash));
}

}  // namespace mica
