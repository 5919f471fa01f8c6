// The filters by subject; jinja_filters.cpp puts them into one table.
#pragma once

#include <functional>
#include <span>

#include "lib/text/jinja_filters.h"

namespace mica::jinja {

std::span<const FilterEntry> text_filters();
std::span<const FilterEntry> sequence_filters();
std::span<const FilterEntry> selection_filters();  // what takes other filters, tests or attributes
std::span<const FilterEntry> number_filters();

// The values as a generator: Python evaluates those when they are asked for, so a failure to make
// the values is kept for then too.
Value generator(const std::function<Values()>& make);

// Reads the attribute path that a filter was given: "a.b.0", an int, or nothing for the item
// itself.
class AttributeGetter {
 public:
  // `preset` stands for parts that are undefined; missing: they stay so.
  AttributeGetter(const Value& attribute, bool ignore_case, Value preset = Value::missing());
  Value get(Evaluator& evaluator, Value item) const;

 private:
  Values parts_;
  bool ignore_case_;
  Value preset_;
};

}  // namespace mica::jinja
