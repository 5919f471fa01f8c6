// The keys of one architecture in a GGUF file: "llama." stands before each name. Remembers which
// were asked for.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf_file.h"

namespace mica {

class GgufKeys {
 public:
  // Both outlive the object.
  GgufKeys(const GgufFile& file, std::string_view architecture)
      : file_(file), architecture_(architecture) {}

  const GgufFile& file() const { return file_; }
  std::string key(std::string_view name) const;
  std::string what(std::string_view name) const { return file_.what(key(name)); }
  bool has(std::string_view name) const { return file_.find(ask(name)) != nullptr; }
  auto integer(std::string_view name) const { return file_.unsigned_integer(ask(name)); }
  auto number(std::string_view name) const { return file_.number(ask(name)); }
  auto string(std::string_view name) const { return file_.string(ask(name)); }
  auto boolean(std::string_view name) const { return file_.boolean(ask(name)); }

  // Throws Error(kInvalidFile) when there is no such key.
  int64_t required(std::string_view name) const;
  double required_number(std::string_view name) const;
  int64_t optional(std::string_view name, int64_t otherwise) const {
    return has(name) ? required(name) : otherwise;
  }
  // A factor; what llama.cpp takes for none, 0, is `otherwise` as well.
  double factor(std::string_view name, double otherwise) const;

  // Throws Error(kUnsupported): "model.gguf: key 'llama.NAME': REASON".
  [[noreturn]] void refuse(std::string_view name, std::string_view reason) const;

  // "attention.sliding_window_pattern": true for layers with a window; where it is a number or
  // absent, every `period`th layer has none.
  std::vector<bool> windowed_layers(int64_t layers, int64_t period) const;

  // Keys that no one asked for: throws Error(kUnsupported) for those that change what a model
  // computes, adds a note on those that are not known to be harmless.
  void refuse_others(std::vector<std::string>& notes) const;

 private:
  std::string ask(std::string_view name) const {
    asked_.emplace(name);
    return key(name);
  }

  const GgufFile& file_;
  std::string_view architecture_;
  mutable std::set<std::string, std::less<>> asked_;
};

}  // namespace mica
