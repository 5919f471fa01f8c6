// A JSON value, its parser and its writer.
//
// Objects keep the order of their members (a tokenizer's vocabulary and a report are both read in
// order). The parser is for untrusted text: depth is limited, duplicate keys are refused, text must
// be UTF-8. nlohmann-json does the work inside json.cpp and appears nowhere else.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace mica {

class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;

  Json() = default;  // null
  Json(std::nullptr_t) {}
  Json(bool value) : value_(value) {}
  template <std::integral T>
  Json(T value) {  // a double above the range of int64_t
    if (std::in_range<int64_t>(value)) {
      value_ = static_cast<int64_t>(value);
    } else {
      value_ = static_cast<double>(value);
    }
  }
  Json(double value) : value_(value) {}
  Json(const char* value) : value_(std::string(value)) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(Array value) : value_(std::move(value)) {}
  Json(Object value) : value_(Members{std::move(value)}) {}
  static Json object(std::initializer_list<Member> members = {}) { return Json(Object(members)); }
  static Json array() { return Json(Array{}); }
  template <std::ranges::range Values>
  static Json array(const Values& values) {
    return Json(Array(values.begin(), values.end()));
  }

  // `name` begins every error sentence ("config.json: ..."). Throws Error(kInvalidFile).
  static Json parse(std::string_view text, std::string_view name);

  // Shortest text that parses back to the same value; no white space unless indent > 0. What is not
  // UTF-8 in a string becomes U+FFFD. Throws Error(kRuntime) for NaN and infinity.
  std::string dump(int indent = 0) const;

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_integer() const { return std::holds_alternative<int64_t>(value_); }
  bool is_number() const { return is_integer() || std::holds_alternative<double>(value_); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_object() const { return std::holds_alternative<Members>(value_); }
  const char* type_name() const;  // "null", "boolean", "integer", "number", "string", ...

  // Typed access: throws Error(kInvalidFile) "<what>: expected T, found U". A `what` may be empty.
  bool as_bool(std::string_view what = "value") const;
  int64_t as_integer(std::string_view what = "value") const;  // takes 3.0 as 3
  double as_number(std::string_view what = "value") const;
  const std::string& as_string(std::string_view what = "value") const;
  const Array& as_array(std::string_view what = "value") const;
  const Object& as_object(std::string_view what = "value") const;
  Array& as_array(std::string_view what = "value");
  Object& as_object(std::string_view what = "value");

  // The member, or null (a shared constant) when absent or when this is not an object.
  const Json& operator[](std::string_view key) const;
  const Json* find(std::string_view key) const;  // nullptr when absent
  // The member, appended as null when absent; null becomes an object first.
  Json& operator[](std::string_view key);
  void push_back(Json value);

  bool operator==(const Json& other) const = default;

 private:
  // A type of its own keeps libstdc++ 12 from taking the variant for one that is never valueless:
  // it then jumps through a wild pointer when a copy runs out of memory.
  struct Members {
    Object list;
    bool operator==(const Members& other) const;  // clang 14 cannot default it in here
  };

  std::variant<std::nullptr_t, bool, int64_t, double, std::string, Array, Members> value_ = nullptr;
};

inline bool Json::Members::operator==(const Members& other) const {
  return list == other.list;
}

}  // namespace mica
