// Functions that every template can call.
#include <ctime>
#include <fmt/format.h>

#include "lib/text/jinja_evaluator.h"
#include "lib/text/jinja_filters.h"

namespace mica::jinja {
namespace {

Value range(Evaluator&, Bound& arguments) {
  const int64_t first = arguments.integer(0, 0);
  const bool has_stop = arguments.has(1);
  const int64_t step = arguments.integer(2, 1);
  if (step == 0) fail("the step of range() cannot be zero");
  return Value(has_stop ? std::make_shared<Range>(first, arguments.integer(1, 0), step)
                        : std::make_shared<Range>(0, first, 1));
}

// What dict(...) holds: a dict or pairs, then the named arguments.
Entries dict_entries(Evaluator& evaluator, Arguments& arguments) {
  Entries entries;
  if (arguments.positional.size() > 1) fail("dict() takes one value and named arguments");
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.is(Type::kDict)) {
      evaluator.budget.charge(source.as<Dict>().entries.size());
      entries = source.as<Dict>().entries;
    } else {
      for (const Value& pair : to_values(evaluator.budget, source)) {
        const Values items = to_values(evaluator.budget, pair);
        if (items.size() != 2) fail("dict() needs pairs of key and value");
        set_entry(evaluator.budget, entries, items[0], items[1]);
      }
    }
  }
  for (auto& [name, value] : arguments.named) {
    set_entry(evaluator.budget, entries, Value(name), std::move(value));
  }
  return entries;
}

Value dict(Evaluator& evaluator, Bound& arguments) {
  return Value(std::make_shared<Dict>(dict_entries(evaluator, arguments.rest)));
}

Value make_namespace(Evaluator& evaluator, Bound& arguments) {
  const Dict checked(dict_entries(evaluator, arguments.rest));
  for (const auto& [key, value] : checked.entries) {
    if (key.is(Type::kString) && key.text().bytes.starts_with('_')) {
      fail(fmt::format("a namespace cannot have the attribute '{}'", key.text().bytes));
    }
  }
  const std::shared_ptr<Namespace> space = evaluator.make_namespace();
  space->entries = checked.entries;
  space->nesting = checked.nesting;
  return Value(space);
}

Value raise_exception(Evaluator& evaluator, Bound& arguments) {
  throw Failure{ErrorCode::kUsage, evaluator.text_of(arguments[0])->bytes};
}

// Where Python's directives are not C's: a time without zone has no %z and %Z, %f are microseconds.
std::string c_format(std::string_view format, int64_t microseconds) {
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    const bool is_directive = format[i] == '%' && i + 1 < format.size();
    const char directive = is_directive ? format[++i] : '\0';
    if (directive == 'f') {
      out += fmt::format("{:06}", microseconds);
    } else if (is_directive && directive != 'z' && directive != 'Z') {
      out += {'%', directive};
    } else if (!is_directive) {
      out += format[i];
    }
  }
  return out;
}

Value strftime_now(Evaluator& evaluator, Bound& arguments) {
  const TextPtr format = arguments.string(0);
  std::timespec now{};
  std::timespec_get(&now, TIME_UTC);
  std::tm local{};
  localtime_r(&now.tv_sec, &local);
  evaluator.budget.charge(format->bytes.size() * 16);  // a directive may write a few dozen bytes
  // The final space tells an empty result from a buffer that is too small.
  const std::string padded = c_format(format->bytes, now.tv_nsec / 1000) + " ";
  std::string out(padded.size() * 32 + 256, '\0');
  const size_t size = std::strftime(out.data(), out.size(), padded.c_str(), &local);
  if (size == 0) fail("strftime_now() cannot write this format");
  out.resize(size - 1);
  return Value(make_text(std::move(out), format->tainted()));
}

Value cycler(Evaluator&, Bound& arguments) {
  if (arguments.rest.positional.empty() || !arguments.rest.named.empty()) {
    fail("cycler() needs at least one value");
  }
  return Value(std::make_shared<Cycler>(std::move(arguments.rest.positional)));
}

Value joiner(Evaluator&, Bound& arguments) {
  const Value separator = arguments.has(0) ? arguments[0] : Value(std::string(", "));
  const auto join = [separator, is_first = true](Evaluator&, Arguments&) mutable {
    return std::exchange(is_first, false) ? Value(std::string()) : separator;
  };
  return Value(std::make_shared<Function>("joiner", join, separator.nesting()));
}

Value lipsum(Evaluator&, Bound&) {
  refuse("the function lipsum() is not supported");
}

constexpr FilterEntry kGlobals[] = {
    {"range", "start, stop?, step?, /", range},
    {"dict", "*", dict},
    {"namespace", "*", make_namespace},
    {"raise_exception", "message", raise_exception},
    {"strftime_now", "format", strftime_now},
    {"cycler", "*", cycler},
    {"joiner", "sep?", joiner},
    {"lipsum", "*", lipsum},
};

}  // namespace

Value find_global(std::string_view name) {
  for (const FilterEntry& global : kGlobals) {
    if (global.name != name) continue;
    const auto call = [&global](Evaluator& evaluator, Arguments& arguments) {
      Bound bound(global.name, global.signature, std::move(arguments));
      return global.run(evaluator, bound);
    };
    return Value(std::make_shared<Function>(std::string(name), call));
  }
  return Value::missing();
}

}  // namespace mica::jinja
