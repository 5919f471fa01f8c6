#include "lib/text/nfc.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utf8proc.h>

#include "lib/base/utf8.h"
#include "lib/text/text_edit.h"
#include "lib/text/unicode_facts.h"

namespace mica {
namespace {

// Text on the two sides of such a code point, itself on the right side, can be normalized apart.
bool begins_run(char32_t point) {
  return point < 0x300 || (point >= 0x3400 && point <= 0x9fff);
}

class Composer {
 public:
  Composer(std::string_view text, std::vector<TextSpan>& spans) : text_(text), edit_(text, spans) {}

  std::optional<std::string> run() {
    size_t start = 0;  // the last place where a run may begin
    for (size_t offset = 0; offset < text_.size();) {
      const uint8_t lead = static_cast<uint8_t>(text_[offset]);
      if (lead < 0xcc) {  // below U+0300
        start = offset;
        offset += lead < 0x80 ? 1 : 2;
        continue;
      }
      const CodePoint point = decode_utf8(text_, offset);
      if (begins_run(point.value)) {
        start = offset;
        offset += static_cast<size_t>(std::max(1, point.bytes));
        continue;
      }
      const size_t end = end_of_run(offset);
      normalize_run(text_.substr(start, end - start));
      if (composed_ != text_.substr(start, end - start)) edit_.replace(start, end, composed_);
      start = offset = end;
    }
    return edit_.finish();
  }

 private:
  size_t end_of_run(size_t offset) const {
    while (offset < text_.size()) {
      const CodePoint point = decode_utf8(text_, offset);
      if (begins_run(point.value)) break;
      offset += static_cast<size_t>(point.bytes);
    }
    return offset;
  }

  // Leaves the result in composed_.
  void normalize_run(std::string_view run) {
    composed_.clear();
    for (size_t offset = 0; offset < run.size();) {
      const CodePoint point = decode_utf8(run, offset);
      offset += static_cast<size_t>(point.bytes);
      if (is_inert_in_nfc(point.value)) {
        compose();
        append_utf8(composed_, point.value);
      } else {
        decompose(point.value);
      }
    }
    compose();
  }

  void decompose(char32_t point) {
    std::array<utf8proc_int32_t, 16> parts;
    int boundary = 0;
    const auto count = utf8proc_decompose_char(
        static_cast<utf8proc_int32_t>(point), parts.data(), parts.size(),
        static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE), &boundary);
    const size_t used = std::min(parts.size(), static_cast<size_t>(std::max<int64_t>(count, 0)));
    points_.insert(points_.end(), parts.begin(), parts.begin() + used);
  }

  // Orders and composes points_ and appends them to composed_.
  void compose() {
    const auto mark_class = [](utf8proc_int32_t point) {
      return utf8proc_get_property(point)->combining_class;
    };
    for (auto first = points_.begin(); first != points_.end();) {
      if (mark_class(*first) == 0) {
        ++first;
        continue;
      }
      const auto last =
          std::find_if(first, points_.end(), [&](auto point) { return mark_class(point) == 0; });
      if (!std::ranges::is_sorted(first, last, {}, mark_class)) {
        std::ranges::stable_sort(first, last, {}, mark_class);
      }
      first = last;
    }
    const auto count = utf8proc_normalize_utf32(
        points_.data(), static_cast<utf8proc_ssize_t>(points_.size()),
        static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    for (int64_t i = 0; i < count; ++i) {
      append_utf8(composed_, static_cast<char32_t>(points_[static_cast<size_t>(i)]));
    }
    points_.clear();
  }

  std::string_view text_;
  TextEdit edit_;
  std::vector<utf8proc_int32_t> points_;
  std::string composed_;
};

}  // namespace

std::optional<std::string> to_nfc(std::string_view text, std::vector<TextSpan>& spans) {
  return Composer(text, spans).run();
}

}  // namespace mica
