#include <fmt/format.h>

#include "lib/text/jinja_filters.h"

namespace mica::jinja {
namespace {

struct Parameter {
  std::string_view name;
  bool optional = false;
  bool positional_only = false;
};

struct Signature {
  std::vector<Parameter> parameters;
  bool takes_rest = false;
};

Signature read_signature(std::string_view text) {
  Signature signature;
  while (!text.empty()) {
    const size_t end = std::min(text.find(", "), text.size());
    std::string_view name = text.substr(0, end);
    text.remove_prefix(std::min(end + 2, text.size()));
    if (name == "*") {
      signature.takes_rest = true;
    } else if (name == "/") {
      for (Parameter& parameter : signature.parameters) parameter.positional_only = true;
    } else {
      const bool optional = name.ends_with('?');
      if (optional) name.remove_suffix(1);
      signature.parameters.push_back({name, optional});
    }
  }
  return signature;
}

}  // namespace

Bound::Bound(std::string_view function, std::string_view signature_text, Arguments arguments)
    : function_(function) {
  const Signature signature = read_signature(signature_text);
  const std::vector<Parameter>& parameters = signature.parameters;
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    if (i < parameters.size()) {
      slots_[i] = std::move(arguments.positional[i]);
      given_[i] = true;
    } else if (signature.takes_rest) {
      rest.positional.push_back(std::move(arguments.positional[i]));
    } else {
      fail(fmt::format("{}() takes {} arguments, {} are given", function, parameters.size(),
                       arguments.positional.size()));
    }
  }
  for (auto& [name, value] : arguments.named) {
    size_t i = 0;
    while (i < parameters.size() && (parameters[i].name != name || parameters[i].positional_only))
      ++i;
    if (i == parameters.size() && signature.takes_rest) {
      rest.named.emplace_back(std::move(name), std::move(value));
      continue;
    }
    if (i == parameters.size()) fail(fmt::format("{}() takes no argument '{}'", function, name));
    if (given_[i]) fail(fmt::format("{}() is given '{}' twice", function, name));
    slots_[i] = std::move(value);
    given_[i] = true;
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!given_[i] && !parameters[i].optional) {
      fail(fmt::format("{}() lacks the argument '{}'", function, parameters[i].name));
    }
  }
}

int64_t Bound::integer(size_t index, int64_t preset) const {
  if (!given_[index]) return preset;
  const Value& value = slots_[index];
  if (value.is(Type::kUndefined)) fail(value.undefined_message());
  if (!value.is_integral()) {
    fail(fmt::format("{}() needs an int, not {}", function_, type_name(value)));
  }
  return value.as_int();
}

TextPtr Bound::string(size_t index) const {
  const Value& value = slots_[index];
  if (value.is(Type::kUndefined)) fail(value.undefined_message());
  if (!value.is(Type::kString)) {
    fail(fmt::format("{}() needs a string, not {}", function_, type_name(value)));
  }
  return value.text_ptr();
}

}  // namespace mica::jinja
