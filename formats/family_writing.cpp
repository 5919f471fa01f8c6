// What families share when they write a config.json.
#include <charconv>
#include <fmt/format.h>

#include "formats/family.h"

namespace mica {
namespace {

// One entry a layer: whether it has a window.
std::vector<bool> windowed_layers_of(const Json& model) {
  const auto layers = static_cast<size_t>(model["layers"].as_integer());
  const Json& listed = model["windowed_layers"];
  std::vector<bool> windowed(layers, listed.is_null() && !model["window"].is_null());
  if (listed.is_null()) return windowed;
  windowed.clear();
  for (const Json& entry : listed.as_array()) windowed.push_back(entry.as_bool());
  return windowed;
}

void write_layer_types(const Json& model, Json& config) {
  Json types = Json::array();
  for (const bool windowed : windowed_layers_of(model)) {
    types.push_back(windowed ? "sliding_attention" : "full_attention");
  }
  config["layer_types"] = std::move(types);
}

}  // namespace

double number_or(const Json& json, std::string_view key, double otherwise) {
  const Json& found = json[key];
  return found.is_null() ? otherwise : found.as_number(key);
}

double solve(double estimate, double target, FunctionRef<double(double)> f) {
  for (int digits = 1; digits <= 17; ++digits) {
    const std::string text = fmt::format("{:.{}g}", estimate, digits);
    double rounded = 0;
    std::from_chars(text.data(), text.data() + text.size(), rounded);
    if (f(rounded) == target) return rounded;
  }
  return estimate;
}

void write_window_by_layer(const Json& model, Json& config) {
  const Json& window = model["window"];
  config["sliding_window"] = window.is_null() ? model["context_length"] : window;
  write_layer_types(model, config);
}

void write_window(const Json& model, Json& config) {
  config["sliding_window"] = model["window"];
}

void write_window_by_depth(const Json& model, Json& config) {
  config["use_sliding_window"] = !model["window"].is_null();
  config["sliding_window"] = model["window"];
  write_layer_types(model, config);
  int64_t full = 0;
  for (const bool windowed : windowed_layers_of(model)) full += !windowed;
  config["max_window_layers"] = full;
}

}  // namespace mica
