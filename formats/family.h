// A family of models as others' files describe it: its names for settings and tensors, and what
// they come to. One file families/NAME_family.cpp defines `kFamily_NAME`; the list in meson.build
// makes the table. lib/model/arch has the other half, what the engine does.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "formats/gguf_keys.h"
#include "formats/hf_settings.h"
#include "formats/row_map.h"
#include "formats/source_config.h"
#include "lib/base/function_ref.h"

namespace mica {

// A source's name of a tensor, without "model." and "layers.N." or without "blk.N.".
struct SourceName {
  std::string_view name;
  // One role, or those of the matrices that the source has fused, row behind row.
  std::vector<Role> roles;
  bool by_head = false;  // fused head by head
};

struct Family {
  // What its models have in common: architecture, activation, norms, biases.
  SourceConfig config;

  // Any of them is in "architectures" of config.json; empty: not there.
  std::vector<std::string_view> hf_classes = {};
  // What transformers takes for settings that are not there: a JSON object.
  const char* hf_defaults = "{}";
  const char* hf_epsilon = "rms_norm_eps";  // the setting that is the epsilon of its norms
  // What stands before "layers.N." and outside of layers; the first that a name has counts.
  std::vector<std::string_view> hf_prefixes = {"model."};
  // Beginnings of names of tensors that are left out: parts of the model that are not run.
  std::vector<std::string_view> hf_left_out = {};
  // Names that differ from those of formats/roles.h, which count where this has none.
  std::vector<SourceName> hf_names = {};
  float hf_norm_offset = 0;  // added to the weights of norms
  // Reads what only this family has. Sizes, biases and rope were read.
  void (*read_hf)(const HfSettings&, SourceConfig&) = [](const HfSettings&, SourceConfig&) {};
  // Its inverse: from the "model" object of FORMAT.md into a config.json that has all else.
  void (*write_hf)(const Json& model, Json& config) = [](const Json&, Json&) {};

  // "general.architecture" of GGUF files; empty: not there.
  std::string_view gguf_architecture;
  // As above. New converters may fuse what the model itself has apart.
  std::vector<SourceName> gguf_names = {
      {"attn_qkv.weight", {Role::kAttnQ, Role::kAttnK, Role::kAttnV}},
      {"attn_qkv.bias", {Role::kAttnQBias, Role::kAttnKBias, Role::kAttnVBias}}};
  bool gguf_interleaves = false;  // rows of query and key (formats/row_map.h)
  void (*read_gguf)(const GgufKeys&, SourceConfig&) = [](const GgufKeys&, SourceConfig&) {};
};

std::span<const Family* const> families();

// For write_hf. A number, or what it is where the object does not have it.
double number_or(const Json& json, std::string_view key, double otherwise);
// The number with the fewest digits near `estimate` of which `f` makes `target`; `estimate` itself
// where there is none.
double solve(double estimate, double target, FunctionRef<double(double)> f);
// "sliding_window" and, for each layer, "layer_types". Without a window it is one of all positions.
void write_window_by_layer(const Json& model, Json& config);
// "sliding_window" of all layers, or null.
void write_window(const Json& model, Json& config);
// The inverse of read_window_by_depth.
void write_window_by_depth(const Json& model, Json& config);

// True but for each `period`th of `layers`.
std::vector<bool> all_but_each(int64_t period, int64_t layers);
// The window of layers from "max_window_layers" on, or by "layer_types", where "use_sliding_window"
// is set.
void read_window_by_depth(const HfSettings& settings, SourceConfig& config);

// What a source's tensor holds.
struct TensorPart {
  Role role;
  int64_t rows;  // of a matrix; elements of a vector
  RowMap map;
};
struct TensorParts {
  int layer;
  std::vector<TensorPart> parts;  // several where the source fused them
};

// Nothing for a name that is not known. Throws Error(kInvalidFile) where fused rows are not as many
// as the configuration has; `what` begins the sentence. `rows`: of a matrix; elements of a vector.
std::optional<TensorParts> parts_of_hf_tensor(const Family& family, const SourceConfig& config,
                                              std::string_view name, int64_t rows,
                                              const std::string& what);
std::optional<TensorParts> parts_of_gguf_tensor(const Family& family, const SourceConfig& config,
                                                std::string_view name, int64_t rows,
                                                const std::string& what);

}  // namespace mica
