#include "lib/text/jinja_strings.h"

#include <algorithm>

#include "lib/text/jinja_search.h"
#include "lib/text/jinja_unicode.h"

namespace mica::jinja {
namespace {

bool is_line_end(char32_t c) {
  return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

// Words between white space: byte offsets [begin, end) of each, from the left or from the right.
Values split_at_space(Budget& budget, const Text& text, int64_t limit) {
  Values parts;
  const std::string& bytes = text.bytes;
  const auto skip = [&](size_t at, bool spaces) {
    while (at < bytes.size() && is_space(character_at(bytes, at).value) == spaces) {
      at += character_at(bytes, at).bytes;
    }
    return at;
  };
  for (size_t begin = skip(0, true); begin < bytes.size();) {
    const bool is_rest = limit >= 0 && static_cast<int64_t>(parts.size()) >= limit;
    if (is_rest) {
      parts.emplace_back(sub_text(budget, text, begin, bytes.size()));
      break;
    }
    const size_t end = skip(begin, false);
    parts.emplace_back(sub_text(budget, text, begin, end));
    begin = skip(end, true);
  }
  return parts;
}

Values rsplit_at_space(Budget& budget, const Text& text, int64_t limit) {
  Values parts;
  const std::string& bytes = text.bytes;
  const auto skip = [&](size_t at, bool spaces) {
    while (at > 0 && is_space(character_at(bytes, character_before(bytes, at)).value) == spaces) {
      at = character_before(bytes, at);
    }
    return at;
  };
  for (size_t end = skip(bytes.size(), true); end > 0;) {
    const bool is_rest = limit >= 0 && static_cast<int64_t>(parts.size()) >= limit;
    const size_t begin = is_rest ? 0 : skip(end, false);
    parts.emplace_back(sub_text(budget, text, begin, end));
    end = is_rest ? 0 : skip(begin, true);
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

}  // namespace

Text strip_text(Budget& budget, const Text& text, const std::string* chars, bool left, bool right) {
  const std::string& bytes = text.bytes;
  const auto is_stripped = [&](size_t at) {
    const Character c = character_at(bytes, at);
    if (!chars) return is_space(c.value);
    budget.charge(chars->size() / Budget::kBytesPerStep + 1);
    for (size_t i = 0; i < chars->size(); i += character_at(*chars, i).bytes) {
      if (character_at(*chars, i).value == c.value) return true;
    }
    return false;
  };
  size_t begin = 0;
  size_t end = bytes.size();
  while (left && begin < end && is_stripped(begin)) begin += character_at(bytes, begin).bytes;
  while (right && end > begin && is_stripped(character_before(bytes, end))) {
    end = character_before(bytes, end);
  }
  budget.charge_characters(begin + bytes.size() - end);
  return sub_text(budget, text, begin, end);
}

Text replace_text(Budget& budget, const Text& text, const Text& old_part, const Text& new_part,
                  int64_t limit) {
  TextBuilder out(budget);
  const std::string& bytes = text.bytes;
  size_t at = 0;
  for (int64_t done = 0; limit < 0 || done < limit; ++done) {
    if (old_part.bytes.empty()) {  // matches in front of every character and at the end
      out.append(new_part);
      if (at == bytes.size()) break;
      const size_t next = at + character_at(bytes, at).bytes;
      out.append(text, at, next);
      at = next;
      continue;
    }
    const size_t found = find_bytes(budget, bytes, old_part.bytes, at);
    if (found == std::string::npos) break;
    out.append(text, at, found);
    out.append(new_part);
    at = found + old_part.bytes.size();
  }
  out.append(text, at, bytes.size());
  return out.take();
}

Values split_text(Budget& budget, const Text& text, const Text* separator, int64_t limit) {
  if (!separator) {
    budget.charge_characters(text.bytes.size());
    return split_at_space(budget, text, limit);
  }
  if (separator->bytes.empty()) fail("split() needs a separator that is not empty");
  Values parts;
  size_t at = 0;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t found = find_bytes(budget, text.bytes, separator->bytes, at);
    if (found == std::string::npos) break;
    parts.emplace_back(sub_text(budget, text, at, found));
    at = found + separator->bytes.size();
  }
  parts.emplace_back(sub_text(budget, text, at, text.bytes.size()));
  return parts;
}

Values rsplit_text(Budget& budget, const Text& text, const Text* separator, int64_t limit) {
  if (!separator) {
    budget.charge_characters(text.bytes.size());
    return rsplit_at_space(budget, text, limit);
  }
  if (separator->bytes.empty()) fail("rsplit() needs a separator that is not empty");
  Values parts;
  size_t end = text.bytes.size();
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t found = find_last_bytes(budget, text.bytes, separator->bytes, end);
    if (found == std::string::npos) break;
    parts.emplace_back(sub_text(budget, text, found + separator->bytes.size(), end));
    end = found;
  }
  parts.emplace_back(sub_text(budget, text, 0, end));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

Values split_lines(Budget& budget, const Text& text, bool keep_ends) {
  budget.charge_characters(text.bytes.size());
  Values lines;
  const std::string& bytes = text.bytes;
  size_t begin = 0;
  for (size_t at = 0; at < bytes.size();) {
    const Character c = character_at(bytes, at);
    const size_t end = at;
    at += c.bytes;
    if (!is_line_end(c.value)) continue;
    if (c.value == '\r' && at < bytes.size() && bytes[at] == '\n') ++at;
    lines.emplace_back(sub_text(budget, text, begin, keep_ends ? at : end));
    begin = at;
  }
  if (begin < bytes.size()) lines.emplace_back(sub_text(budget, text, begin, bytes.size()));
  return lines;
}

Text pad_text(Budget& budget, const Text& text, int64_t width, Align align, std::string_view fill) {
  budget.charge_characters(text.bytes.size());
  const auto length = static_cast<int64_t>(count_characters(text.bytes));
  const int64_t missing = width > length ? width - length : 0;
  // Where the padding is odd, str.center() puts the extra character by this rule.
  const int64_t centered = missing / 2 + (missing & width & 1);
  const int64_t left = align == Align::kLeft ? 0 : align == Align::kRight ? missing : centered;
  TextBuilder out(budget);
  out.append_repeated(fill, static_cast<uint64_t>(left));
  out.append(text);
  out.append_repeated(fill, static_cast<uint64_t>(missing - left));
  return out.take();
}

bool is_upper_string(std::string_view text) {
  bool found = false;
  for (size_t i = 0; i < text.size(); i += character_at(text, i).bytes) {
    const char32_t c = character_at(text, i).value;
    if (is_lower(c) || is_title(c)) return false;
    found = found || is_upper(c);
  }
  return found;
}

bool is_lower_string(std::string_view text) {
  bool found = false;
  for (size_t i = 0; i < text.size(); i += character_at(text, i).bytes) {
    const char32_t c = character_at(text, i).value;
    if (is_upper(c) || is_title(c)) return false;
    found = found || is_lower(c);
  }
  return found;
}

}  // namespace mica::jinja
