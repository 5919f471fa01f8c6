#include "lib/base/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <limits>
#include <nlohmann/json.hpp>

#include "lib/base/error.h"
#include "lib/base/utf8.h"

namespace mica {
namespace {

constexpr size_t kMaxDepth = 100;
// Below this many members a linear search for duplicates is the fastest.
constexpr size_t kFewMembers = 16;

// Reads the text for nlohmann and tells the position, which its SAX interface does not.
class Cursor {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Cursor(const char* at, const char** position) : at_(at), position_(position) {}
  reference operator*() const { return *at_; }
  Cursor& operator++() {
    *position_ = ++at_;
    return *this;
  }
  Cursor operator++(int) {
    Cursor before = *this;
    ++*this;
    return before;
  }
  bool operator==(const Cursor& other) const { return at_ == other.at_; }

 private:
  const char* at_;
  const char** position_;
};

// nlohmann quotes what it read last, which may be megabytes or no text at all: left out.
std::string reason_of(std::string_view message) {
  if (const size_t start = message.find("] "); start != message.npos)
    message.remove_prefix(start + 2);
  if (const size_t start = message.find(": ");
      message.starts_with("parse error at ") && start != message.npos) {
    message.remove_prefix(start + 2);
  }
  std::string reason(message.substr(0, message.find("; last read: ")));
  if (const size_t expected = message.rfind("; expected ");
      expected != message.npos && expected >= reason.size()) {
    reason += message.substr(expected);
  }
  return replace_invalid_utf8(reason.substr(0, 200));
}

// Receives nlohmann's SAX events. The stack points at the open containers; only the innermost
// grows, so the pointers stay good.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  Builder(std::string_view text, std::string_view name)
      : text_(text), name_(name), position_(text.data()) {}

  Json build() {
    const Cursor begin(text_.data(), &position_);
    const Cursor end(text_.data() + text_.size(), &position_);
    nlohmann::json::sax_parse(begin, end, this);
    return std::move(root_);
  }

  [[noreturn]] void fail(size_t position, const std::string& reason) const {
    throw Error(ErrorCode::kInvalidFile,
                fmt::format("{}: invalid JSON at byte {}: {}", name_, position, reason));
  }

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }  // not in JSON text
  bool start_object(size_t) override { return open(Json::Object{}); }
  bool start_array(size_t) override { return open(Json::Array{}); }
  bool end_object() override {
    refuse_duplicates(stack_.back()->as_object());
    stack_.pop_back();
    return true;
  }
  bool end_array() override {
    stack_.pop_back();
    return true;
  }
  bool key(string_t& value) override {
    stack_.back()->as_object().emplace_back(std::move(value), nullptr);
    return true;
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    fail(position, reason_of(error.what()));
  }

 private:
  template <class T>
  bool put(T&& value) {
    place() = Json(std::forward<T>(value));
    return true;
  }

  bool open(Json container) {
    if (stack_.size() == kMaxDepth)
      fail(position(), fmt::format("expected at most {} levels, found more", kMaxDepth));
    Json& place = this->place();
    place = std::move(container);
    stack_.push_back(&place);
    return true;
  }

  Json& place() {
    if (stack_.empty()) return root_;
    Json& container = *stack_.back();
    if (container.is_object()) return container.as_object().back().second;
    return container.as_array().emplace_back();
  }

  size_t position() const { return static_cast<size_t>(position_ - text_.data()); }

  void refuse_duplicates(const Json::Object& members) const {
    const std::string* duplicate = nullptr;
    if (members.size() < kFewMembers) {
      for (size_t i = 1; i < members.size(); ++i) {
        for (size_t j = 0; j < i; ++j) {
          if (members[i].first == members[j].first) duplicate = &members[i].first;
        }
      }
    } else {
      duplicate = find_duplicate(members);
    }
    if (duplicate) {
      fail(position(),
           fmt::format("expected distinct keys in the object that ends here, found \"{}\" twice",
                       duplicate->substr(0, 100)));
    }
  }

  // Sorted by hash, then by key: n log n even for keys chosen to collide.
  static const std::string* find_duplicate(const Json::Object& members) {
    std::vector<std::pair<size_t, const std::string*>> keys;
    keys.reserve(members.size());
    for (const auto& [key, value] : members) keys.emplace_back(std::hash<std::string>{}(key), &key);
    std::sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first < b.first : *a.second < *b.second;
    });
    const auto same = std::adjacent_find(
        keys.begin(), keys.end(),
        [](const auto& a, const auto& b) { return a.first == b.first && *a.second == *b.second; });
    return same == keys.end() ? nullptr : same->second;
  }

  std::string_view text_;
  std::string_view name_;
  const char* position_;
  Json root_;
  std::vector<Json*> stack_;
};

void dump_string(std::string& out, const std::string& value) {
  const bool valid = find_invalid_utf8(value) == kValid;
  const std::string repaired = valid ? std::string() : replace_invalid_utf8(value);
  out += '"';
  for (const char c : valid ? value : repaired) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<uint8_t>(c) < 0x20) {
          fmt::format_to(std::back_inserter(out), "\\u{:04x}", c);
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

void dump_number(std::string& out, double value) {
  if (!std::isfinite(value)) {
    throw Error(ErrorCode::kRuntime,
                fmt::format("JSON: expected a finite number, found {}", value));
  }
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
  const std::string_view text(digits, static_cast<size_t>(end - digits));
  out += text;
  if (text.find_first_of(".e") == text.npos) out += ".0";  // stays a number, not an integer
}

struct Writer {
  std::string out;
  int indent;

  void line(int depth) {
    if (indent > 0) out.append(1, '\n').append(static_cast<size_t>(depth) * indent, ' ');
  }

  // Writes the items of an array or object between brackets.
  template <class Items, class WriteItem>
  void list(const char* brackets, const Items& items, int depth, WriteItem write_item) {
    out += brackets[0];
    bool first = true;
    for (const auto& item : items) {
      if (!first) out += ',';
      first = false;
      line(depth + 1);
      write_item(item);
    }
    if (!items.empty()) line(depth);
    out += brackets[1];
  }

  void value(const Json& json, int depth) {
    if (json.is_null()) {
      out += "null";
    } else if (json.is_bool()) {
      out += json.as_bool() ? "true" : "false";
    } else if (json.is_integer()) {
      fmt::format_to(std::back_inserter(out), "{}", json.as_integer());
    } else if (json.is_number()) {
      dump_number(out, json.as_number());
    } else if (json.is_string()) {
      dump_string(out, json.as_string());
    } else if (json.is_array()) {
      list("[]", json.as_array(), depth, [&](const Json& item) { value(item, depth + 1); });
    } else {
      list("{}", json.as_object(), depth, [&](const Json::Member& member) {
        dump_string(out, member.first);
        out += indent > 0 ? ": " : ":";
        value(member.second, depth + 1);
      });
    }
  }
};

[[noreturn]] void fail_type(std::string_view what, const char* expected, const Json& found) {
  throw Error(ErrorCode::kInvalidFile,
              fmt::format("{}{}expected {}, found {}", what, what.empty() ? "" : ": ", expected,
                          found.type_name()));
}

}  // namespace

Json Json::parse(std::string_view text, std::string_view name) {
  Builder builder(text, name);
  // nlohmann takes a NUL byte for the end of the text.
  if (const size_t nul = text.find('\0'); nul != text.npos)
    builder.fail(nul, "expected text, found a NUL byte");
  return builder.build();
}

std::string Json::dump(int indent) const {
  Writer writer{{}, indent};
  writer.value(*this, 0);
  return std::move(writer.out);
}

const char* Json::type_name() const {
  constexpr const char* kNames[] = {"null",   "boolean", "integer", "number",
                                    "string", "array",   "object"};
  static_assert(std::size(kNames) == std::variant_size_v<decltype(value_)>);
  return kNames[value_.index()];
}

bool Json::as_bool(std::string_view what) const {
  if (const bool* value = std::get_if<bool>(&value_)) return *value;
  fail_type(what, "boolean", *this);
}

int64_t Json::as_integer(std::string_view what) const {
  if (const int64_t* value = std::get_if<int64_t>(&value_)) return *value;
  const double* value = std::get_if<double>(&value_);
  if (value && std::trunc(*value) == *value && *value >= -0x1p63 && *value < 0x1p63) {
    return static_cast<int64_t>(*value);
  }
  fail_type(what, "integer", *this);
}

double Json::as_number(std::string_view what) const {
  if (const double* value = std::get_if<double>(&value_)) return *value;
  if (const int64_t* value = std::get_if<int64_t>(&value_)) return static_cast<double>(*value);
  fail_type(what, "number", *this);
}

const std::string& Json::as_string(std::string_view what) const {
  if (const std::string* value = std::get_if<std::string>(&value_)) return *value;
  fail_type(what, "string", *this);
}

const Json::Array& Json::as_array(std::string_view what) const {
  if (const Array* value = std::get_if<Array>(&value_)) return *value;
  fail_type(what, "array", *this);
}

const Json::Object& Json::as_object(std::string_view what) const {
  if (const Members* value = std::get_if<Members>(&value_)) return value->list;
  fail_type(what, "object", *this);
}

Json::Array& Json::as_array(std::string_view what) {
  return const_cast<Array&>(std::as_const(*this).as_array(what));
}

Json::Object& Json::as_object(std::string_view what) {
  return const_cast<Object&>(std::as_const(*this).as_object(what));
}

const Json* Json::find(std::string_view key) const {
  const Members* members = std::get_if<Members>(&value_);
  if (!members) return nullptr;
  for (const auto& [name, value] : members->list) {
    if (name == key) return &value;
  }
  return nullptr;
}

const Json& Json::operator[](std::string_view key) const {
  static const Json kNull;
  const Json* value = find(key);
  return value ? *value : kNull;
}

Json& Json::operator[](std::string_view key) {
  if (is_null()) value_ = Members{};
  if (const Json* value = find(key)) return const_cast<Json&>(*value);
  return as_object().emplace_back(std::string(key), nullptr).second;
}

void Json::push_back(Json value) {
  if (is_null()) value_ = Array{};
  as_array().push_back(std::move(value));
}

}  // namespace mica
