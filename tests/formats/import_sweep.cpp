#include "tests/formats/import_sweep.h"

#include <algorithm>
#include <cstring>

#include "lib/base/error.h"
#include "tests/formats/import_exercise.h"
#include "tests/support/counting_new.h"

namespace mica::testing {
namespace {

// Views of keys, tensors and tokens, and the JSON values made of them, are larger than the shortest
// records in the file (40 bytes of JSON for a digit and a comma).
constexpr int64_t kBytesPerByte = 64;
constexpr int64_t kFixedBytes = 16 << 10;  // sentences, standard library

constexpr uint64_t kBoundaries[] = {0,
                                    1,
                                    uint64_t{1} << 31,
                                    (uint64_t{1} << 32) - 1,
                                    uint64_t{1} << 63,
                                    ~uint64_t{0},
                                    ~uint64_t{31}};
constexpr uint64_t kPairBoundaries[] = {0, uint64_t{1} << 31, ~uint64_t{0}};
constexpr const char* kBoundaryTexts[] = {
    "0",    "-1", "1e3", "2147483648", "4294967295", "9223372036854775807", "18446744073709551615",
    "1e400"};
constexpr const char* kPairBoundaryTexts[] = {"0", "-1", "1e3", "4294967296",
                                              "9223372036854775807"};

}  // namespace

bool Sweep::accepts(const std::string& bytes) {
  ++files_;
  bool read = false;
  const int64_t before = allocated_bytes;
  reset_peak();
  try {
    read_everything(*open_(bytes));
    read = true;
  } catch (const Error& error) {
    if (error.message().size() < 10) fail("no sentence: " + error.message());
  } catch (const std::exception& error) {
    fail(error.what());
  }
  const int64_t taken = peak_bytes - before;
  const auto size = static_cast<int64_t>(bytes.size());
  most_taken_ = std::max(most_taken_, taken);
  if (taken > kBytesPerByte * size + kFixedBytes) {
    fail(std::to_string(taken) + " bytes taken for a file of " + std::to_string(size));
  }
  accepted_ += read;
  return read;
}

void Sweep::truncations(const std::string& bytes) {
  for (size_t size = 0; size < bytes.size(); ++size) accepts(bytes.substr(0, size));
}

void Sweep::bit_flips(const std::string& bytes, size_t first, size_t last) {
  std::string damaged = bytes;
  for (size_t at = first; at < last; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      damaged[at] = static_cast<char>(bytes[at] ^ (1 << bit));
      accepts(damaged);
    }
    damaged[at] = bytes[at];
  }
}

void Sweep::boundary_numbers(const std::string& bytes, const std::vector<size_t>& places) {
  const auto put = [](std::string& target, size_t at, uint64_t value, size_t width) {
    std::memcpy(target.data() + at, &value, std::min(width, target.size() - at));
  };
  for (const size_t place : places) {
    for (const uint64_t value : kBoundaries) {
      for (const size_t width : {4, 8}) {
        std::string damaged = bytes;
        put(damaged, place, value, width);
        accepts(damaged);
      }
    }
  }
  for (size_t i = 0; i < places.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      for (const uint64_t a : kPairBoundaries) {
        for (const uint64_t b : kPairBoundaries) {
          std::string damaged = bytes;
          put(damaged, places[i], a, 8);
          put(damaged, places[j], b, 8);
          accepts(damaged);
        }
      }
    }
  }
}

void Sweep::characters(const std::string& bytes, size_t first, size_t last,
                       std::string_view characters) {
  std::string damaged = bytes;
  for (size_t at = first; at < last; ++at) {
    for (const char character : characters) {
      damaged[at] = character;
      accepts(damaged);
    }
    damaged[at] = bytes[at];
  }
}

void Sweep::boundary_texts(const std::string& bytes, size_t first, size_t last) {
  struct Number {
    size_t at;
    size_t size;
  };
  std::vector<Number> numbers;
  for (size_t at = first; at < last; ++at) {
    const size_t end = std::min(bytes.find_first_not_of("0123456789", at), last);
    if (end > at && (bytes[at - 1] == '[' || bytes[at - 1] == ','))
      numbers.push_back({at, end - at});
    at = std::max(at, end);
  }
  const auto replaced = [&](std::string text, const Number& number, const char* value) {
    text.replace(number.at, number.size, value);
    const uint64_t header_bytes = last - first + text.size() - bytes.size();
    std::memcpy(text.data(), &header_bytes, sizeof(header_bytes));
    return text;
  };
  for (size_t i = 0; i < numbers.size(); ++i) {
    for (const char* a : kBoundaryTexts) {
      const std::string once = replaced(bytes, numbers[i], a);
      accepts(once);
      for (size_t j = 0; j < i; ++j) {  // in front, so that its place is the same
        for (const char* b : kPairBoundaryTexts) accepts(replaced(once, numbers[j], b));
      }
    }
  }
}

void Sweep::fail(const std::string& reason) {
  constexpr size_t kShown = 5;
  if (failures_.size() < kShown) {
    failures_.push_back("file " + std::to_string(files_) + ": " + reason);
  }
}

std::string Sweep::report() const {
  std::string text = std::to_string(files_) + " files, " + std::to_string(accepted_) +
                     " of them read to the end, at most " + std::to_string(most_taken_) +
                     " bytes of memory taken";
  for (const std::string& failure : failures_) text += "\n" + failure;
  return text;
}

}  // namespace mica::testing
