#include "lib/text/unicode_facts.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <fmt/format.h>
#include <iterator>
#include <utf8proc.h>

#include "lib/base/utf8.h"

namespace mica {
namespace {

struct CategoryRange {
  char32_t first, last;
  char category[3];
};

// General categories of all code points assigned in Unicode 15, 15.1 and 16. Sorted.
constexpr CategoryRange kSince14[] = {
    {0x897, 0x897, "Mn"},     {0xcf3, 0xcf3, "Mc"},     {0xece, 0xece, "Mn"},
    {0x1b4e, 0x1b4f, "Po"},   {0x1b7f, 0x1b7f, "Po"},   {0x1c89, 0x1c89, "Lu"},
    {0x1c8a, 0x1c8a, "Ll"},   {0x2427, 0x2429, "So"},   {0x2ffc, 0x2fff, "So"},
    {0x31e4, 0x31e5, "So"},   {0x31ef, 0x31ef, "So"},   {0xa7cb, 0xa7cc, "Lu"},
    {0xa7cd, 0xa7cd, "Ll"},   {0xa7da, 0xa7da, "Lu"},   {0xa7db, 0xa7db, "Ll"},
    {0xa7dc, 0xa7dc, "Lu"},   {0x105c0, 0x105f3, "Lo"}, {0x10d40, 0x10d49, "Nd"},
    {0x10d4a, 0x10d4d, "Lo"}, {0x10d4e, 0x10d4e, "Lm"}, {0x10d4f, 0x10d4f, "Lo"},
    {0x10d50, 0x10d65, "Lu"}, {0x10d69, 0x10d6d, "Mn"}, {0x10d6e, 0x10d6e, "Pd"},
    {0x10d6f, 0x10d6f, "Lm"}, {0x10d70, 0x10d85, "Ll"}, {0x10d8e, 0x10d8f, "Sm"},
    {0x10ec2, 0x10ec4, "Lo"}, {0x10efc, 0x10eff, "Mn"}, {0x1123f, 0x11240, "Lo"},
    {0x11241, 0x11241, "Mn"}, {0x11380, 0x11389, "Lo"}, {0x1138b, 0x1138b, "Lo"},
    {0x1138e, 0x1138e, "Lo"}, {0x11390, 0x113b5, "Lo"}, {0x113b7, 0x113b7, "Lo"},
    {0x113b8, 0x113ba, "Mc"}, {0x113bb, 0x113c0, "Mn"}, {0x113c2, 0x113c2, "Mc"},
    {0x113c5, 0x113c5, "Mc"}, {0x113c7, 0x113ca, "Mc"}, {0x113cc, 0x113cd, "Mc"},
    {0x113ce, 0x113ce, "Mn"}, {0x113cf, 0x113cf, "Mc"}, {0x113d0, 0x113d0, "Mn"},
    {0x113d1, 0x113d1, "Lo"}, {0x113d2, 0x113d2, "Mn"}, {0x113d3, 0x113d3, "Lo"},
    {0x113d4, 0x113d5, "Po"}, {0x113d7, 0x113d8, "Po"}, {0x113e1, 0x113e2, "Mn"},
    {0x116d0, 0x116e3, "Nd"}, {0x11b00, 0x11b09, "Po"}, {0x11bc0, 0x11be0, "Lo"},
    {0x11be1, 0x11be1, "Po"}, {0x11bf0, 0x11bf9, "Nd"}, {0x11f00, 0x11f01, "Mn"},
    {0x11f02, 0x11f02, "Lo"}, {0x11f03, 0x11f03, "Mc"}, {0x11f04, 0x11f10, "Lo"},
    {0x11f12, 0x11f33, "Lo"}, {0x11f34, 0x11f35, "Mc"}, {0x11f36, 0x11f3a, "Mn"},
    {0x11f3e, 0x11f3f, "Mc"}, {0x11f40, 0x11f40, "Mn"}, {0x11f41, 0x11f41, "Mc"},
    {0x11f42, 0x11f42, "Mn"}, {0x11f43, 0x11f4f, "Po"}, {0x11f50, 0x11f59, "Nd"},
    {0x11f5a, 0x11f5a, "Mn"}, {0x1342f, 0x1342f, "Lo"}, {0x13440, 0x13440, "Mn"},
    {0x13441, 0x13446, "Lo"}, {0x13447, 0x13455, "Mn"}, {0x13460, 0x143fa, "Lo"},
    {0x16100, 0x1611d, "Lo"}, {0x1611e, 0x16129, "Mn"}, {0x1612a, 0x1612c, "Mc"},
    {0x1612d, 0x1612f, "Mn"}, {0x16130, 0x16139, "Nd"}, {0x16d40, 0x16d42, "Lm"},
    {0x16d43, 0x16d6a, "Lo"}, {0x16d6b, 0x16d6c, "Lm"}, {0x16d6d, 0x16d6f, "Po"},
    {0x16d70, 0x16d79, "Nd"}, {0x18cff, 0x18cff, "Lo"}, {0x1b132, 0x1b132, "Lo"},
    {0x1b155, 0x1b155, "Lo"}, {0x1cc00, 0x1ccef, "So"}, {0x1ccf0, 0x1ccf9, "Nd"},
    {0x1cd00, 0x1ceb3, "So"}, {0x1d2c0, 0x1d2d3, "No"}, {0x1df25, 0x1df2a, "Ll"},
    {0x1e030, 0x1e06d, "Lm"}, {0x1e08f, 0x1e08f, "Mn"}, {0x1e4d0, 0x1e4ea, "Lo"},
    {0x1e4eb, 0x1e4eb, "Lm"}, {0x1e4ec, 0x1e4ef, "Mn"}, {0x1e4f0, 0x1e4f9, "Nd"},
    {0x1e5d0, 0x1e5ed, "Lo"}, {0x1e5ee, 0x1e5ef, "Mn"}, {0x1e5f0, 0x1e5f0, "Lo"},
    {0x1e5f1, 0x1e5fa, "Nd"}, {0x1e5ff, 0x1e5ff, "Po"}, {0x1f6dc, 0x1f6dc, "So"},
    {0x1f774, 0x1f776, "So"}, {0x1f77b, 0x1f77f, "So"}, {0x1f7d9, 0x1f7d9, "So"},
    {0x1f8b2, 0x1f8bb, "So"}, {0x1f8c0, 0x1f8c1, "So"}, {0x1fa75, 0x1fa77, "So"},
    {0x1fa87, 0x1fa89, "So"}, {0x1fa8f, 0x1fa8f, "So"}, {0x1faad, 0x1faaf, "So"},
    {0x1fabb, 0x1fabf, "So"}, {0x1fac6, 0x1fac6, "So"}, {0x1face, 0x1facf, "So"},
    {0x1fada, 0x1fadc, "So"}, {0x1fadf, 0x1fadf, "So"}, {0x1fae8, 0x1fae9, "So"},
    {0x1faf7, 0x1faf8, "So"}, {0x1fbcb, 0x1fbef, "So"}, {0x2b739, 0x2b739, "Lo"},
    {0x2ebf0, 0x2ee5d, "Lo"}, {0x31350, 0x323af, "Lo"},
};

struct PointRange {
  char32_t first, last;
};

constexpr PointRange kHanSince14[] = {{0x2b739, 0x2b739}, {0x2ebf0, 0x2ee5d}, {0x31350, 0x323af}};

constexpr PointRange kNumericSince16[] = {{0x11de0, 0x11de9}, {0x16ff4, 0x16ff6}};

// Punctuation of Unicode 9 to 14. U+166D and U+111C9 were punctuation before.
constexpr PointRange kPunctuationSince8[] = {
    {0x61d, 0x61d},     {0x9fd, 0x9fd},     {0xa76, 0xa76},     {0xc77, 0xc77},
    {0xc84, 0xc84},     {0x1b7d, 0x1b7e},   {0x2e43, 0x2e4f},   {0x2e52, 0x2e5d},
    {0x10ead, 0x10ead}, {0x10f55, 0x10f59}, {0x10f86, 0x10f89}, {0x1144b, 0x1144f},
    {0x1145a, 0x1145b}, {0x1145d, 0x1145d}, {0x11660, 0x1166c}, {0x116b9, 0x116b9},
    {0x1183b, 0x1183b}, {0x11944, 0x11946}, {0x119e2, 0x119e2}, {0x11a3f, 0x11a46},
    {0x11a9a, 0x11a9c}, {0x11a9e, 0x11aa2}, {0x11c41, 0x11c45}, {0x11c70, 0x11c71},
    {0x11ef7, 0x11ef8}, {0x11fff, 0x11fff}, {0x12ff1, 0x12ff2}, {0x16e97, 0x16e9a},
    {0x16fe2, 0x16fe2}, {0x1e95e, 0x1e95f}};

// Combining marks since Unicode 9 whose class is not zero, and the parts of the one composition
// since then (U+11938). Sorted.
constexpr PointRange kInertInNfc[] = {
    {0x7fd, 0x7fd},     {0x898, 0x89f},     {0x8ca, 0x8d3},     {0x9fe, 0x9fe},
    {0xc3c, 0xc3c},     {0xd3b, 0xd3c},     {0xeba, 0xeba},     {0x1715, 0x1715},
    {0x1abf, 0x1ace},   {0x1df6, 0x1dfa},   {0xa82c, 0xa82c},   {0x10d24, 0x10d27},
    {0x10eab, 0x10eac}, {0x10efd, 0x10eff}, {0x10f46, 0x10f50}, {0x10f82, 0x10f85},
    {0x11070, 0x11070}, {0x1133b, 0x1133b}, {0x1145e, 0x1145e}, {0x11839, 0x1183a},
    {0x11930, 0x11930}, {0x11935, 0x11935}, {0x11938, 0x11938}, {0x1193d, 0x1193e},
    {0x11943, 0x11943}, {0x119e0, 0x119e0}, {0x11a34, 0x11a34}, {0x11a47, 0x11a47},
    {0x11a99, 0x11a99}, {0x11d42, 0x11d42}, {0x11d44, 0x11d45}, {0x11d97, 0x11d97},
    {0x11f41, 0x11f42}, {0x16ff0, 0x16ff1}, {0x1e08f, 0x1e08f}, {0x1e130, 0x1e136},
    {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef}};

// The element of a sorted table that holds `point`, or nullptr.
template <class Range, size_t N>
const Range* find_range(const Range (&table)[N], char32_t point) {
  const auto after =
      std::upper_bound(std::begin(table), std::end(table), point,
                       [](char32_t p, const Range& range) { return p < range.first; });
  if (after == std::begin(table)) return nullptr;
  const Range* range = after - 1;
  return point <= range->last ? range : nullptr;
}

// Two letters, as in UnicodeData.txt.
std::string_view general_category(char32_t point) {
  const utf8proc_category_t known = utf8proc_category(static_cast<utf8proc_int32_t>(point));
  if (known != UTF8PROC_CATEGORY_CN) {
    return utf8proc_category_string(static_cast<utf8proc_int32_t>(point));
  }
  const CategoryRange* range = find_range(kSince14, point);
  return range ? std::string_view(range->category, 2) : "Cn";
}

bool is_ascii_alphanumeric(char32_t point) {
  return (point >= '0' && point <= '9') || ((point | 0x20) >= 'a' && (point | 0x20) <= 'z');
}

// PCRE2's \s takes U+180E for a space; it was one until Unicode 6.3.
constexpr char32_t kFormerSpace = 0x180e;

// Pages of 256 code points that hold one PCRE2 does not know.
constexpr auto kNewerPages = [] {
  std::array<bool, 0x1100> pages{};
  for (const CategoryRange& range : kSince14) {
    for (char32_t page = range.first >> 8; page <= range.last >> 8; ++page) pages[page] = true;
  }
  pages[kFormerSpace >> 8] = true;
  return pages;
}();

}  // namespace

bool is_white_space(char32_t point) {
  if (point < 0x80) return point == ' ' || (point >= 9 && point <= 13);
  return point == 0x85 || point == 0xa0 || point == 0x1680 ||
         (point >= 0x2000 && point <= 0x200a) || point == 0x2028 || point == 0x2029 ||
         point == 0x202f || point == 0x205f || point == 0x3000;
}

bool is_word_character(char32_t point) {
  const std::string_view category = general_category(point);
  if (category[0] == 'L' || category[0] == 'M') return true;
  if (category == "Nd" || category == "Nl" || category == "Pc") return true;
  // Join_Control and the circled and squared letters, which are Alphabetic.
  return point == 0x200c || point == 0x200d || (point >= 0x24b6 && point <= 0x24e9) ||
         (point >= 0x1f130 && point <= 0x1f149) || (point >= 0x1f150 && point <= 0x1f169) ||
         (point >= 0x1f170 && point <= 0x1f189);
}

bool is_numeric(char32_t point) {
  if (point < 0x80) return point >= '0' && point <= '9';
  return general_category(point)[0] == 'N' || find_range(kNumericSince16, point) != nullptr;
}

bool is_punctuation(char32_t point) {
  if (point < 0x80) return point > 0x20 && point < 0x7f && !is_ascii_alphanumeric(point);
  if (point == 0x166d || point == 0x111c9) return true;
  return general_category(point)[0] == 'P' && !find_range(kPunctuationSince8, point) &&
         !find_range(kSince14, point);
}

bool is_inert_in_nfc(char32_t point) {
  return find_range(kInertInNfc, point) != nullptr;
}

bool has_newer_points(std::string_view text) {
  for (size_t offset = 0; offset < text.size();) {
    uint64_t eight = 0;
    if (offset + sizeof(eight) <= text.size()) {
      std::memcpy(&eight, text.data() + offset, sizeof(eight));
      if (!(eight & 0x8080808080808080u)) {
        offset += sizeof(eight);
        continue;
      }
    }
    // Characters of one and two bytes are all older (the last one, U+07FF, is of Unicode 11).
    const uint8_t lead = static_cast<uint8_t>(text[offset]);
    if (lead < 0xe0) {
      offset += lead < 0xc0 ? 1 : 2;
      continue;
    }
    const CodePoint point = decode_utf8(text, offset);
    if (point.bytes == 0) return false;  // the caller has checked the text
    if (kNewerPages[point.value >> 8] &&
        (point.value == kFormerSpace || find_range(kSince14, point.value))) {
      return true;
    }
    offset += static_cast<size_t>(point.bytes);
  }
  return false;
}

std::string newer_ranges(std::string_view property) {
  std::string items;
  const auto add = [&](char32_t first, char32_t last) {
    fmt::format_to(std::back_inserter(items), "\\x{{{:x}}}-\\x{{{:x}}}",
                   static_cast<uint32_t>(first), static_cast<uint32_t>(last));
  };
  if (property == "Han") {
    for (const PointRange& range : kHanSince14) add(range.first, range.last);
    return items;
  }
  for (const CategoryRange& range : kSince14) {
    if (std::string_view(range.category).starts_with(property)) add(range.first, range.last);
  }
  return items;
}

}  // namespace mica
