#include "lib/text/nfc.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utf8proc.h>

#include "lib/base/utf8.h"
#include "lib/text/unicode_facts.h"

namespace mica {
namespace {

// Text on the two sides of such a code point, itself on the right side, can be normalized apart.
bool begins_run(char32_t point) {
  return point < 0x300 || (point >= 0x3400 && point <= 0x9fff);
}

// A part of the text that normalization changed.
struct ChangedRun {
  TextSpan before, after;
};

class Normalizer {
 public:
  explicit Normalizer(std::string_view text) : text_(text) {}

  void run() {
    size_t copied = 0, start = 0;  // `start`: the last place where a run may begin
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
      if (const std::string_view old = text_.substr(start, end - start); composed_ != old) {
        out_.append(text_, copied, start - copied);
        changed_.push_back({{start, end}, {out_.size(), out_.size() + composed_.size()}});
        out_ += composed_;
        copied = end;
      }
      start = offset = end;
    }
    if (!changed_.empty()) out_.append(text_, copied);
  }

  bool changed() const { return !changed_.empty(); }
  std::string take() { return std::move(out_); }

  void move(std::vector<TextSpan>& spans) const {
    for (TextSpan& span : spans) span = {moved(span.begin, false), moved(span.end, true)};
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

  size_t moved(size_t position, bool is_end) const {
    const auto after = std::ranges::upper_bound(
        changed_, position, {}, [](const ChangedRun& run) { return run.before.begin; });
    if (after == changed_.begin()) return position;
    const ChangedRun& run = *(after - 1);
    if (position == run.before.begin) return run.after.begin;
    if (position < run.before.end) return is_end ? run.after.end : run.after.begin;
    return run.after.end + (position - run.before.end);
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
  std::string out_;
  std::vector<ChangedRun> changed_;
  std::vector<utf8proc_int32_t> points_;
  std::string composed_;
};

}  // namespace

std::optional<std::string> to_nfc(std::string_view text, std::vector<TextSpan>& spans) {
  Normalizer normalizer(text);
  normalizer.run();
  if (!normalizer.changed()) return std::nullopt;
  normalizer.move(spans);
  return normalizer.take();
}

}  // namespace mica
