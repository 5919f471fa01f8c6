#include "lib/text/json_slot.h"

#include <fmt/format.h>

#include "lib/base/checked.h"
#include "lib/base/error.h"
#include "lib/text/image_layout.h"

namespace mica {
namespace {

void flatten(const Json& component, const JsonSlot& slot, const std::string& place,
             std::string_view name, std::vector<JsonComponent>& components) {
  JsonComponent read(component, std::string(slot.name), place, name);
  if (read.type() != "Sequence") {
    if (components.size() == image::kMaxComponents / 4) {
      fail_unsupported(name,
                       fmt::format("a {} of more than {} parts", slot.name, components.size()));
    }
    components.push_back(std::move(read));
    return;
  }
  const std::string list = fmt::format("{}.{}", place, slot.list_key);
  size_t index = 0;
  for (const Json& part : component[slot.list_key].as_array(fmt::format("{}: {}", name, list))) {
    flatten(part, slot, fmt::format("{}[{}]", list, index++), name, components);
  }
}

}  // namespace

JsonComponent::JsonComponent(const Json& json, std::string slot, std::string place,
                             std::string_view name)
    : json_(json), slot_(std::move(slot)), place_(std::move(place)), name_(name) {
  json.as_object(fmt::format("{}: {}", name, place_));
  type_ = text("type");
}

std::string JsonComponent::where(std::string_view key) const {
  return fmt::format("{}: {} {}", name_, place_, key);
}

bool JsonComponent::flag(std::string_view key, bool otherwise) const {
  const Json& value = json_[key];
  return value.is_null() ? otherwise : value.as_bool(where(key));
}

const std::string& JsonComponent::text(std::string_view key) const {
  return json_[key].as_string(where(key));
}

uint64_t JsonComponent::count(std::string_view key, uint64_t otherwise) const {
  const Json& value = json_[key];
  if (value.is_null()) return otherwise;
  return checked_cast<uint64_t>(value.as_integer(where(key)), where(key));
}

JsonComponent::Pattern JsonComponent::pattern() const {
  const Json::Object& pattern = json_["pattern"].as_object(where("pattern"));
  const bool is_regex = pattern.size() == 1 && pattern[0].first == "Regex";
  if (!is_regex && !(pattern.size() == 1 && pattern[0].first == "String")) {
    refuse("a pattern other than 'Regex' and 'String'");
  }
  const std::string& text = pattern[0].second.as_string(where("pattern"));
  if (text.empty()) refuse("an empty pattern");
  return {text, is_regex};
}

void JsonComponent::refuse() const {
  fail_unsupported(name_, fmt::format("the {} '{}' ({})", slot_, type_, place_));
}

void JsonComponent::refuse(std::string_view what) const {
  fail_unsupported(name_, fmt::format("the {} '{}' ({}): {}", slot_, type_, place_, what));
}

void JsonComponent::fail(std::string_view what) const {
  throw Error(ErrorCode::kInvalidFile, fmt::format("{}: {}: {}", name_, place_, what));
}

std::vector<JsonComponent> read_slot(const Json& tokenizer, const JsonSlot& slot,
                                     std::string_view name) {
  std::vector<JsonComponent> components;
  const Json& json = tokenizer[slot.key];
  if (!json.is_null()) flatten(json, slot, std::string(slot.key), name, components);
  return components;
}

void fail_unsupported(std::string_view name, std::string_view what) {
  throw Error(ErrorCode::kUnsupported, fmt::format("{}: {} is not supported", name, what));
}

}  // namespace mica
