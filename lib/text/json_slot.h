// A slot of a tokenizer.json ("normalizer", "decoder", ...) with its Sequences taken apart, and the
// errors about what stands in it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/base/json.h"

namespace mica {

// One component; a view over the JSON.
class JsonComponent {
 public:
  JsonComponent(const Json& json, std::string slot, std::string place, std::string_view name);

  const std::string& type() const { return type_; }
  const Json& json() const { return json_; }

  // Members of the component; throw Error(kInvalidFile) naming place and member. `otherwise`
  // stands for one that is absent or null.
  bool flag(std::string_view key, bool otherwise) const;
  const std::string& text(std::string_view key) const;
  uint64_t count(std::string_view key, uint64_t otherwise) const;

  // The text under key "pattern", which is {"String": text} or {"Regex": text} and not empty.
  struct Pattern {
    const std::string& text;
    bool is_regex;
  };
  Pattern pattern() const;

  // Error(kUnsupported) "tokenizer.json: the normalizer 'Nmt' (normalizer.normalizers[1]) is not
  // supported".
  [[noreturn]] void refuse() const;
  // The same about a part of the component: "... (place): WHAT is not supported".
  [[noreturn]] void refuse(std::string_view what) const;
  // Error(kInvalidFile) "tokenizer.json: normalizer.normalizers[1]: WHAT".
  [[noreturn]] void fail(std::string_view what) const;

 private:
  std::string where(std::string_view key) const;

  const Json& json_;
  std::string slot_, place_;  // "pre-tokenizer", "pre_tokenizer.pretokenizers[1]"
  std::string_view name_;
  std::string type_;
};

// Where a slot stands and what it is called.
struct JsonSlot {
  std::string_view key;       // "pre_tokenizer"
  std::string_view list_key;  // of a Sequence: "pretokenizers"
  std::string_view name;      // "pre-tokenizer"
};

// The components of a slot in order; none when it is null. Refuses more than fit the image.
std::vector<JsonComponent> read_slot(const Json& tokenizer, const JsonSlot& slot,
                                     std::string_view name);

[[noreturn]] void fail_unsupported(std::string_view name, std::string_view what);

}  // namespace mica
