// The tables of filters and tests, and how their arguments are bound.
#pragma once

#include <array>
#include <string_view>

#include "lib/text/jinja_value.h"

namespace mica::jinja {

// Arguments sorted to the parameters of a signature like "value, width?, /, first?, *": "?" marks
// one that may be left out, those before "/" cannot be given by name, "*" takes whatever is left.
class Bound {
 public:
  Bound(std::string_view function, std::string_view signature, Arguments arguments);

  const Value& operator[](size_t index) const { return slots_[index]; }
  bool has(size_t index) const { return given_[index]; }
  // Given and not None.
  bool has_value(size_t index) const { return given_[index] && !slots_[index].is(Type::kNone); }
  bool flag(size_t index) const { return given_[index] && truth(slots_[index]); }
  int64_t integer(size_t index, int64_t preset) const;
  TextPtr string(size_t index) const;  // fails when it is not one
  Arguments rest;

 private:
  static constexpr size_t kMaxParameters = 8;
  std::string_view function_;
  std::array<Value, kMaxParameters> slots_;
  std::array<bool, kMaxParameters> given_{};
};

struct FilterEntry {
  std::string_view name;
  std::string_view signature;
  Value (*run)(Evaluator& evaluator, Bound& arguments);
};
struct TestEntry {
  std::string_view name;
  std::string_view signature;
  bool (*run)(Evaluator& evaluator, Bound& arguments);
};

// nullptr when there is none; those of jinja2 that are left out are refused by name.
const FilterEntry* find_filter(std::string_view name);
bool is_filter_name(std::string_view name);  // of jinja2, left out here or not
const TestEntry* find_test(std::string_view name);

Value call_filter(Evaluator& evaluator, const FilterEntry& filter, Value input,
                  Arguments arguments);
bool call_test(Evaluator& evaluator, const TestEntry& test, Value subject, Arguments arguments);

}  // namespace mica::jinja
