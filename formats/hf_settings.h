// The settings of a config.json: members with their defaults, typed and named in every error, and
// which of them were asked for.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "formats/source_config.h"
#include "lib/base/json.h"

namespace mica {

class HfSettings {
 public:
  // `defaults`: the text of an object whose members stand in for those that `json` does not have
  // (null counts as there). `file` begins the error sentences. Both outlive the object.
  HfSettings(const Json& json, const char* defaults, const std::string& file);

  const Json& get(std::string_view key) const;  // null when absent
  bool is_set(std::string_view key) const { return !get(key).is_null(); }
  int64_t required(std::string_view key) const { return get(key).as_integer(what(key)); }
  int64_t integer(std::string_view key, int64_t otherwise) const {
    return is_set(key) ? required(key) : otherwise;
  }
  double number(std::string_view key, double otherwise) const {
    return is_set(key) ? get(key).as_number(what(key)) : otherwise;
  }
  bool boolean(std::string_view key) const { return is_set(key) && get(key).as_bool(what(key)); }

  std::string what(std::string_view key) const;

  // Throws Error(kUnsupported): "config.json: KEY: FOUND is not supported; expected EXPECTED".
  [[noreturn]] void refuse(std::string_view key, std::string_view expected,
                           const Json& found) const;

  // Those of "layer_types" that are "sliding_attention"; empty when it is not set. Throws for other
  // types than that and "full_attention".
  std::vector<bool> windowed_layers() const;

  // Members that no one asked for: throws Error(kUnsupported) for those that change what a model
  // computes, adds a note on those that are not known to be harmless.
  void refuse_others(std::vector<std::string>& notes) const;

 private:
  const Json& json_;
  const Json defaults_;
  const std::string& file_;
  mutable std::set<std::string, std::less<>> asked_;
};

}  // namespace mica
