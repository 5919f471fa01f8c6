#include "lib/text/jinja_unicode.h"

#include <algorithm>
#include <initializer_list>
#include <utf8proc.h>

#include "lib/base/utf8.h"

namespace mica::jinja {
namespace {

struct LongMapping {
  char32_t from;
  const char32_t* upper;
  const char32_t* title;
};
// Unicode's SpecialCasing.txt, the unconditional part; U+1F80..1FAF follow a rule and are not here.
constexpr LongMapping kLongMappings[] = {{0x00df, U"SS", U"Ss"},
                                         {0x0149, U"\u02bcN", U"\u02bcN"},
                                         {0x01f0, U"J\u030c", U"J\u030c"},
                                         {0x0390, U"\u0399\u0308\u0301", U"\u0399\u0308\u0301"},
                                         {0x03b0, U"\u03a5\u0308\u0301", U"\u03a5\u0308\u0301"},
                                         {0x0587, U"\u0535\u0552", U"\u0535\u0582"},
                                         {0x1e96, U"H\u0331", U"H\u0331"},
                                         {0x1e97, U"T\u0308", U"T\u0308"},
                                         {0x1e98, U"W\u030a", U"W\u030a"},
                                         {0x1e99, U"Y\u030a", U"Y\u030a"},
                                         {0x1e9a, U"A\u02be", U"A\u02be"},
                                         {0x1f50, U"\u03a5\u0313", U"\u03a5\u0313"},
                                         {0x1f52, U"\u03a5\u0313\u0300", U"\u03a5\u0313\u0300"},
                                         {0x1f54, U"\u03a5\u0313\u0301", U"\u03a5\u0313\u0301"},
                                         {0x1f56, U"\u03a5\u0313\u0342", U"\u03a5\u0313\u0342"},
                                         {0x1fb2, U"\u1fba\u0399", U"\u1fba\u0345"},
                                         {0x1fb3, U"\u0391\u0399", U"\u1fbc"},
                                         {0x1fb4, U"\u0386\u0399", U"\u0386\u0345"},
                                         {0x1fb6, U"\u0391\u0342", U"\u0391\u0342"},
                                         {0x1fb7, U"\u0391\u0342\u0399", U"\u0391\u0342\u0345"},
                                         {0x1fbc, U"\u0391\u0399", U"\u1fbc"},
                                         {0x1fc2, U"\u1fca\u0399", U"\u1fca\u0345"},
                                         {0x1fc3, U"\u0397\u0399", U"\u1fcc"},
                                         {0x1fc4, U"\u0389\u0399", U"\u0389\u0345"},
                                         {0x1fc6, U"\u0397\u0342", U"\u0397\u0342"},
                                         {0x1fc7, U"\u0397\u0342\u0399", U"\u0397\u0342\u0345"},
                                         {0x1fcc, U"\u0397\u0399", U"\u1fcc"},
                                         {0x1fd2, U"\u0399\u0308\u0300", U"\u0399\u0308\u0300"},
                                         {0x1fd3, U"\u0399\u0308\u0301", U"\u0399\u0308\u0301"},
                                         {0x1fd6, U"\u0399\u0342", U"\u0399\u0342"},
                                         {0x1fd7, U"\u0399\u0308\u0342", U"\u0399\u0308\u0342"},
                                         {0x1fe2, U"\u03a5\u0308\u0300", U"\u03a5\u0308\u0300"},
                                         {0x1fe3, U"\u03a5\u0308\u0301", U"\u03a5\u0308\u0301"},
                                         {0x1fe4, U"\u03a1\u0313", U"\u03a1\u0313"},
                                         {0x1fe6, U"\u03a5\u0342", U"\u03a5\u0342"},
                                         {0x1fe7, U"\u03a5\u0308\u0342", U"\u03a5\u0308\u0342"},
                                         {0x1ff2, U"\u1ffa\u0399", U"\u1ffa\u0345"},
                                         {0x1ff3, U"\u03a9\u0399", U"\u1ffc"},
                                         {0x1ff4, U"\u038f\u0399", U"\u038f\u0345"},
                                         {0x1ff6, U"\u03a9\u0342", U"\u03a9\u0342"},
                                         {0x1ff7, U"\u03a9\u0342\u0399", U"\u03a9\u0342\u0345"},
                                         {0x1ffc, U"\u03a9\u0399", U"\u1ffc"},
                                         {0xfb00, U"FF", U"Ff"},
                                         {0xfb01, U"FI", U"Fi"},
                                         {0xfb02, U"FL", U"Fl"},
                                         {0xfb03, U"FFI", U"Ffi"},
                                         {0xfb04, U"FFL", U"Ffl"},
                                         {0xfb05, U"ST", U"St"},
                                         {0xfb06, U"ST", U"St"},
                                         {0xfb13, U"\u0544\u0546", U"\u0544\u0576"},
                                         {0xfb14, U"\u0544\u0535", U"\u0544\u0565"},
                                         {0xfb15, U"\u0544\u053b", U"\u0544\u056b"},
                                         {0xfb16, U"\u054e\u0546", U"\u054e\u0576"},
                                         {0xfb17, U"\u0544\u053d", U"\u0544\u056d"}};

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

bool is_one_of(utf8proc_category_t value, std::initializer_list<utf8proc_category_t> list) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

const LongMapping* long_mapping(char32_t c) {
  const auto* found = std::lower_bound(std::begin(kLongMappings), std::end(kLongMappings), c,
                                       [](const LongMapping& m, char32_t v) { return m.from < v; });
  return found != std::end(kLongMappings) && found->from == c ? found : nullptr;
}

void append(std::string& out, const char32_t* text) {
  for (; *text; ++text) append_utf8(out, *text);
}

void append_upper(std::string& out, char32_t c) {
  if (c < 0x80) return out.push_back(static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c));
  if (c >= 0x1f80 && c <= 0x1faf) {  // Greek with iota subscript: the capital, then capital iota
    const char32_t first = c < 0x1f90 ? 0x1f08 : c < 0x1fa0 ? 0x1f28 : 0x1f68;
    append_utf8(out, first + (c & 7));
    return append_utf8(out, 0x399);
  }
  if (const LongMapping* mapping = long_mapping(c)) return append(out, mapping->upper);
  append_utf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
}

void append_title(std::string& out, char32_t c) {
  if (c < 0x80) return append_upper(out, c);
  if (const LongMapping* mapping = long_mapping(c)) return append(out, mapping->title);
  append_utf8(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
}

template <size_t count>
bool in_ranges(const char32_t (&ranges)[count][2], char32_t c) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [c](const char32_t(&range)[2]) { return c >= range[0] && c <= range[1]; });
}

// Neither counts as a letter beside a final sigma.
bool is_case_ignorable(char32_t c) {
  return is_one_of(category(c), {UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_ME, UTF8PROC_CATEGORY_CF,
                                 UTF8PROC_CATEGORY_LM, UTF8PROC_CATEGORY_SK}) ||
         c == '\'' || c == '.' || c == ':' || c == 0xb7 || c == 0x2018 || c == 0x2019;
}

bool is_final_sigma(std::string_view text, size_t offset) {
  size_t before = offset;
  bool cased_before = false;
  while (before > 0) {
    before = character_before(text, before);
    const char32_t c = character_at(text, before).value;
    if (is_case_ignorable(c)) continue;
    cased_before = is_cased(c);
    break;
  }
  if (!cased_before) return false;
  for (size_t i = offset + 2; i < text.size();) {  // U+03A3 has two bytes
    const Character next = character_at(text, i);
    if (!is_case_ignorable(next.value)) return !is_cased(next.value);
    i += next.bytes;
  }
  return true;
}

void append_lower(std::string& out, std::string_view text, size_t offset, char32_t c) {
  if (c < 0x80) return out.push_back(static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c));
  if (c == 0x130) return append(out, U"i\u0307");
  if (c == 0x3a3) return append_utf8(out, is_final_sigma(text, offset) ? 0x3c2 : 0x3c3);
  append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

// Calls each(out, offset, character) for every character and returns what they appended.
template <class Each>
std::string mapped(std::string_view text, Each each) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Character next = character_at(text, i);
    each(out, i, next.value);
    i += next.bytes;
  }
  return out;
}

}  // namespace

Character character_at(std::string_view text, size_t offset) {
  const auto first = static_cast<unsigned char>(text[offset]);
  if (first < 0x80) return {first, 1};
  const CodePoint decoded = decode_utf8(text, offset);
  if (decoded.bytes == 0) return {0xfffd, 1};
  return {decoded.value, static_cast<size_t>(decoded.bytes)};
}

size_t character_before(std::string_view text, size_t offset) {
  size_t begin = offset - 1;
  while (begin > 0 && offset - begin < 4 && (text[begin] & 0xc0) == 0x80) --begin;
  return begin + character_at(text, begin).bytes == offset ? begin : offset - 1;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

size_t count_characters(std::string_view text) {
  if (is_ascii(text)) return text.size();
  size_t count = 0;
  for (size_t i = 0; i < text.size(); i += character_at(text, i).bytes) ++count;
  return count;
}

size_t offset_of(std::string_view text, size_t index) {
  if (is_ascii(text)) return std::min(index, text.size());
  size_t offset = 0;
  while (index-- > 0 && offset < text.size()) offset += character_at(text, offset).bytes;
  return offset;
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == 0x20 || (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x1f);
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_alpha(char32_t c) {
  return is_one_of(category(c), {UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LL, UTF8PROC_CATEGORY_LT,
                                 UTF8PROC_CATEGORY_LM, UTF8PROC_CATEGORY_LO});
}
bool is_decimal(char32_t c) {
  return category(c) == UTF8PROC_CATEGORY_ND;
}
bool is_digit_character(char32_t c) {
  static constexpr char32_t kOther[][2] = {
      {0xb2, 0xb3},       {0xb9, 0xb9},       {0x1369, 0x1371},   {0x19da, 0x19da},
      {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
      {0x2474, 0x247c},   {0x2488, 0x2490},   {0x24ea, 0x24ea},   {0x24f5, 0x24fd},
      {0x24ff, 0x24ff},   {0x2776, 0x277e},   {0x2780, 0x2788},   {0x278a, 0x2792},
      {0x10a40, 0x10a43}, {0x10e60, 0x10e68}, {0x11052, 0x1105a}, {0x1f100, 0x1f10a}};
  return is_decimal(c) || in_ranges(kOther, c);
}
bool is_numeric(char32_t c) {
  return is_one_of(category(c), {UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NL, UTF8PROC_CATEGORY_NO});
}
bool is_alnum(char32_t c) {
  return is_alpha(c) || is_numeric(c);
}

// Besides category Lu (Ll), Unicode's Other_Uppercase (Other_Lowercase).
bool is_upper(char32_t c) {
  return category(c) == UTF8PROC_CATEGORY_LU || (c >= 0x2160 && c <= 0x216f) ||
         (c >= 0x24b6 && c <= 0x24cf) || (c >= 0x1f130 && c <= 0x1f149) ||
         (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
}
bool is_lower(char32_t c) {
  static constexpr char32_t kOther[][2] = {
      {0xaa, 0xaa},       {0xba, 0xba},       {0x2b0, 0x2b8},     {0x2c0, 0x2c1},
      {0x2e0, 0x2e4},     {0x345, 0x345},     {0x37a, 0x37a},     {0x1d2c, 0x1d6a},
      {0x1d78, 0x1d78},   {0x1d9b, 0x1dbf},   {0x2071, 0x2071},   {0x207f, 0x207f},
      {0x2090, 0x209c},   {0x2170, 0x217f},   {0x24d0, 0x24e9},   {0x2c7c, 0x2c7d},
      {0xa69c, 0xa69d},   {0xa770, 0xa770},   {0xa7f8, 0xa7f9},   {0xab5c, 0xab5f},
      {0x10780, 0x10780}, {0x10783, 0x10785}, {0x10787, 0x107b0}, {0x107b2, 0x107ba}};
  return category(c) == UTF8PROC_CATEGORY_LL || in_ranges(kOther, c);
}
bool is_title(char32_t c) {
  return category(c) == UTF8PROC_CATEGORY_LT;
}

bool is_printable(char32_t c) {
  if (c < 0x7f) return c >= 0x20;
  return !is_one_of(category(c), {UTF8PROC_CATEGORY_CC, UTF8PROC_CATEGORY_CF, UTF8PROC_CATEGORY_CS,
                                  UTF8PROC_CATEGORY_CO, UTF8PROC_CATEGORY_CN, UTF8PROC_CATEGORY_ZL,
                                  UTF8PROC_CATEGORY_ZP, UTF8PROC_CATEGORY_ZS});
}

std::string to_upper(std::string_view text) {
  return mapped(text, [](std::string& out, size_t, char32_t c) { append_upper(out, c); });
}

std::string to_lower(std::string_view text) {
  return mapped(text,
                [&](std::string& out, size_t i, char32_t c) { append_lower(out, text, i, c); });
}

std::string swap_case(std::string_view text) {
  return mapped(text, [&](std::string& out, size_t i, char32_t c) {
    if (is_upper(c)) return append_lower(out, text, i, c);
    if (is_lower(c)) return append_upper(out, c);
    append_utf8(out, c);
  });
}

std::string capitalize(std::string_view text) {
  return mapped(text, [&](std::string& out, size_t i, char32_t c) {
    if (i == 0) return append_title(out, c);
    append_lower(out, text, i, c);
  });
}

std::string python_title(std::string_view text) {
  bool in_word = false;
  return mapped(text, [&](std::string& out, size_t i, char32_t c) {
    if (in_word) {
      append_lower(out, text, i, c);
    } else {
      append_title(out, c);
    }
    in_word = is_cased(c);
  });
}

}  // namespace mica::jinja
