#include "lib/base/aligned_buffer.h"

#include <algorithm>
#include <doctest/doctest.h>
#include <limits>
#include <new>

using mica::AlignedBuffer;

TEST_CASE("a buffer of any size is zeroed, writable and aligned to 64 bytes") {
  for (const uint64_t bytes : {1ull, 63ull, 64ull, 65ull, 4096ull, (1ull << 20) - 1, 1ull << 20,
                               (1ull << 20) + 1, 10'000'000ull}) {
    CAPTURE(bytes);
    for (int use = 0; use < 2; ++use) {  // the second gets the memory that the first has dirtied
      const AlignedBuffer buffer(bytes);
      REQUIRE(buffer.bytes() == bytes);
      CHECK(reinterpret_cast<uintptr_t>(buffer.data()) % 64 == 0);
      CHECK(std::all_of(buffer.data(), buffer.data() + bytes,
                        [](std::byte byte) { return byte == std::byte{0}; }));
      std::fill_n(buffer.data(), bytes, std::byte{0xff});
    }
  }
}

TEST_CASE("an empty buffer owns nothing") {
  CHECK(AlignedBuffer().data() == nullptr);
  CHECK(AlignedBuffer(0).data() == nullptr);
  CHECK(AlignedBuffer(0).bytes() == 0);
}

TEST_CASE("a moved buffer keeps its bytes and leaves nothing behind") {
  for (const uint64_t bytes : {100ull, 2ull << 20}) {
    AlignedBuffer first(bytes);
    first.data()[bytes - 1] = std::byte{7};
    const std::byte* address = first.data();
    AlignedBuffer second(std::move(first));
    CHECK(first.data() == nullptr);
    CHECK(first.bytes() == 0);
    AlignedBuffer third(5);
    third = std::move(second);
    CHECK(third.data() == address);
    CHECK(third.bytes() == bytes);
    CHECK(third.data()[bytes - 1] == std::byte{7});
    CHECK(second.data() == nullptr);
  }
}

TEST_CASE("what cannot be allocated is std::bad_alloc") {
  for (const uint64_t bytes : {std::numeric_limits<uint64_t>::max(), uint64_t{1} << 63,
                               (uint64_t{1} << 63) - 1, uint64_t{1} << 60}) {
    CHECK_THROWS_AS(AlignedBuffer{bytes}, std::bad_alloc);
  }
}

TEST_CASE("untouched parts of a large buffer cost nothing") {
  // Far more than the machine has to give would be refused; 8 GiB of address space is not.
  const AlignedBuffer buffer(uint64_t{8} << 30);
  buffer.data()[uint64_t{7} << 30] = std::byte{1};
  CHECK(buffer.data()[(uint64_t{7} << 30) + 1] == std::byte{0});
}
