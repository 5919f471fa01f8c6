#include "lib/text/jinja_filters.h"

#include <algorithm>
#include <fmt/format.h>

#include "lib/text/jinja_filter_lists.h"

namespace mica::jinja {
namespace {

constexpr std::string_view kRefused[] = {"filesizeformat", "random",   "striptags",
                                         "urlize",         "wordwrap", "xmlattr"};

bool is_refused(std::string_view name) {
  return std::find(std::begin(kRefused), std::end(kRefused), name) != std::end(kRefused);
}

const FilterEntry* look_up(std::string_view name) {
  for (const auto filters :
       {text_filters(), sequence_filters(), selection_filters(), number_filters()}) {
    for (const FilterEntry& filter : filters) {
      if (filter.name == name) return &filter;
    }
  }
  return nullptr;
}

}  // namespace

const FilterEntry* find_filter(std::string_view name) {
  if (is_refused(name)) refuse(fmt::format("the filter '{}' is not supported", name));
  return look_up(name);
}

Value generator(const std::function<Values()>& make) {
  Iterator::Next next;
  int nesting = 0;
  try {
    Values values = make();
    for (const Value& value : values) nesting = std::max(nesting, value.nesting());
    next = [values = std::move(values), at = size_t{0}](Value& value) mutable {
      if (at == values.size()) return false;
      value = values[at++];
      return true;
    };
  } catch (const Failure& failure) {
    next = [failure](Value&) -> bool { throw failure; };
  }
  return Value(std::make_shared<Iterator>(std::move(next), nesting));
}

bool is_filter_name(std::string_view name) {
  return is_refused(name) || look_up(name);
}

Value call_filter(Evaluator& evaluator, const FilterEntry& filter, Value input,
                  Arguments arguments) {
  arguments.positional.insert(arguments.positional.begin(), std::move(input));
  Bound bound(filter.name, filter.signature, std::move(arguments));
  return filter.run(evaluator, bound);
}

}  // namespace mica::jinja
