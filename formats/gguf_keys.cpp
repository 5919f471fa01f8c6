#include "formats/gguf_keys.h"

#include <fmt/format.h>

#include "formats/family.h"
#include "formats/invalid.h"

namespace mica {

std::string GgufKeys::key(std::string_view name) const {
  return fmt::format("{}.{}", architecture_, name);
}

int64_t GgufKeys::required(std::string_view name) const {
  const auto value = integer(name);
  if (!value) fail_invalid(what(name), "expected an integer, found no such key");
  return checked_cast<int64_t>(*value, what(name));
}

double GgufKeys::required_number(std::string_view name) const {
  const auto value = number(name);
  if (!value) fail_invalid(what(name), "expected a float, found no such key");
  return *value;
}

double GgufKeys::factor(std::string_view name, double otherwise) const {
  const double value = number(name).value_or(0.0);
  return value == 0 ? otherwise : value;
}

void GgufKeys::refuse(std::string_view name, std::string_view reason) const {
  throw Error(ErrorCode::kUnsupported, fmt::format("{}: {}", what(name), reason));
}

std::vector<bool> GgufKeys::windowed_layers(int64_t layers, int64_t period) const {
  constexpr std::string_view kPattern = "attention.sliding_window_pattern";
  const GgufKey* key = file_.find(this->key(kPattern));
  if (key != nullptr && key->type == GgufValueType::kArray) {
    return *file_.booleans(this->key(kPattern));
  }
  period = optional(kPattern, period);
  return all_but_each(period, layers);
}

}  // namespace mica
