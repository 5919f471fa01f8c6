// The worked example of formats/FORMAT.md: its bytes are a file, and the one the writer makes.
#include <charconv>
#include <cmath>
#include <cstring>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fstream>
#include <sstream>

#include "formats/reader.h"
#include "lib/base/half.h"
#include "tests/formats/mica_samples.h"

namespace mica::testing {
namespace {

using namespace std::string_literals;

constexpr int kRows = 3;
constexpr int kCols = 32;

int example_code(int row, int k) {
  return (k + row) % 16;
}

// One slab by the sums of "Weight layout".
std::string example_slab() {
  const uint64_t codes = 16 * kCols * 4 / 8;
  const uint64_t scales = 16 * 2;
  std::string slab(slab_stride(kQ4g32, kCols, "test"), '\0');
  for (int r = 0; r < kRows; ++r) {
    for (int k = 0; k < kCols; ++k) {
      const int byte = k / 8 * 64 + 4 * r + k % 4;
      slab[byte] = static_cast<char>(slab[byte] | example_code(r, k) << (k % 8 < 4 ? 0 : 4));
    }
    const uint16_t scale = f32_to_f16(std::ldexp(1.0f, -r));
    std::memcpy(slab.data() + codes + 2 * r, &scale, 2);
    slab[codes + scales + r] = static_cast<char>(8 * 8 - r);
  }
  return slab;
}

std::string write_example() {
  const TempFolder folder;
  MicaWriter writer(folder.file("example"),
                    {{.role = Role::kTokenEmbedding, .dtype = kF16, .rows = 2, .cols = 4},
                     {.role = Role::kAttnQ, .layer = 0, .dtype = kQ4g32, .rows = 3, .cols = kCols},
                     {.role = Role::kOutputNorm, .dtype = kF32, .rows = 1, .cols = 4}},
                    as_bytes("tokens"));
  const std::string half_ones = "\x00\x3c\x00\x3c\x00\x3c\x00\x3c"s;
  const std::string ones = "\x00\x00\x80\x3f\x00\x00\x80\x3f"s;
  const std::string contents[] = {half_ones + half_ones, example_slab(), ones + ones};
  for (const std::string& content : contents) {
    writer.begin_tensor();
    writer.write(as_bytes(content));
    writer.end_tensor(content.size() > 64 ? 0.0625f : 0.0f);
  }
  writer.finish(
      Json::object({{"source", Json::object({{"kind", "example"}})},
                    {"model", Json::object({{"layers", 1}, {"architecture", "llama"}})}}));
  return folder.get("example");
}

// As `hexdump -C` prints it.
std::string dump(std::string_view bytes) {
  std::string text;
  std::string_view previous;
  for (size_t at = 0; at < bytes.size(); at += 16) {
    const std::string_view line = bytes.substr(at, 16);
    if (at > 0 && line == previous) {
      if (!text.ends_with("*\n")) text += "*\n";
      continue;
    }
    previous = line;
    std::string hex, characters;
    for (size_t i = 0; i < line.size(); ++i) {
      hex += fmt::format("{}{:02x}", i == 8 ? "  " : " ", static_cast<unsigned char>(line[i]));
      characters += line[i] >= ' ' && line[i] <= '~' ? line[i] : '.';
    }
    text += fmt::format("{:08x} {:<49}  |{}|\n", at, hex, characters);
  }
  return text + fmt::format("{:08x}\n", bytes.size());
}

uint64_t parse_hex(const std::string& digits) {
  uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  REQUIRE((error == std::errc() && end == digits.data() + digits.size()));
  return value;
}

std::string undump(const std::string& text) {
  std::string bytes, line, word;
  for (std::istringstream lines(text); std::getline(lines, line);) {
    if (line == "*") continue;
    std::istringstream words(line);
    words >> word;
    const uint64_t offset = parse_hex(word);
    REQUIRE(offset < (1 << 20));
    // A `*` line: as the line before it.
    while (bytes.size() < offset) bytes += bytes.substr(bytes.size() - 16);
    while (words >> word && word[0] != '|') bytes += static_cast<char>(parse_hex(word));
  }
  return bytes;
}

std::string read_example_of_format_md() {
  std::ifstream stream(MICA_SOURCE_ROOT "/formats/FORMAT.md");
  const std::string page{std::istreambuf_iterator<char>(stream), {}};
  const std::string fence = "```hexdump\n";
  const size_t begin = page.find(fence);
  REQUIRE(begin != page.npos);
  const size_t end = page.find("```", begin + fence.size());
  return page.substr(begin + fence.size(), end - begin - fence.size());
}

TEST_CASE("the hex dump of FORMAT.md is what the writer makes") {
  const std::string expected = dump(write_example());
  CHECK_MESSAGE((read_example_of_format_md() == expected), "FORMAT.md should have:\n" << expected);
}

TEST_CASE("the hex dump of FORMAT.md opens, verifies and decodes") {
  const std::string bytes = undump(read_example_of_format_md());
  const MicaFile file = MicaFile::open(MappedFile::borrow(as_bytes(bytes), "FORMAT.md"));
  CHECK(file.find_damage({}).empty());
  CHECK(as_text(file.tokenizer_image()) == "tokens");
  CHECK(file.metadata()["source"]["kind"].as_string() == "example");
  REQUIRE(file.segments().size() == 3);
  CHECK(file.segments()[1].layer == 0);

  const TensorRecord* q = file.find(Role::kAttnQ, 0);
  REQUIRE(q != nullptr);
  CHECK(q->dtype == kQ4g32);
  CHECK(q->rows == kRows);
  CHECK(q->relative_error == 0.0625f);
  const Bytes slab = file.data(*q);
  REQUIRE(slab.size() == 320);  // 256 codes + 32 scales + 16 zeros, up to 64
  for (int n = 0; n < 16; ++n) {
    const auto scale = f16_to_f32(load_at<uint16_t>(slab, 256 + 2 * n, "scale"));
    const int zero = load_at<uint8_t>(slab, 256 + 32 + n, "zero");
    for (int k = 0; k < kCols; ++k) {
      const int byte = load_at<uint8_t>(slab, k / 8 * 64 + 4 * n + k % 4, "code");
      const int code = k % 8 < 4 ? byte & 15 : byte >> 4;
      const float w = scale * (static_cast<float>(code) - static_cast<float>(zero) / 8);
      const float expected =
          n >= kRows ? 0 : std::ldexp(static_cast<float>(example_code(n, k)) - (64.0f - n) / 8, -n);
      CHECK(w == expected);
    }
  }
}

}  // namespace
}  // namespace mica::testing
