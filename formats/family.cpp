#include "formats/family.h"

#include <algorithm>
#include <fmt/format.h>

#include "formats/invalid.h"

namespace mica {
namespace {

// Rows of a matrix that sources fuse with others, or elements of its bias.
int64_t output_rows(const SourceConfig& config, Role role) {
  switch (role) {
    case Role::kAttnQ:
    case Role::kAttnQBias:
      return config.heads * config.head_size;
    case Role::kAttnK:
    case Role::kAttnV:
    case Role::kAttnKBias:
    case Role::kAttnVBias:
      return config.kv_heads * config.head_size;
    default:
      return config.feed_forward_size;
  }
}

std::vector<TensorPart> split(const SourceName& fused, const SourceConfig& config, int64_t rows,
                              const std::string& what) {
  int64_t sum = 0;
  for (const Role role : fused.roles) sum += output_rows(config, role);
  if (rows != sum) {
    fail_invalid(what, fmt::format("expected {} rows by the configuration, found {}", sum, rows));
  }
  const int64_t pieces = fused.by_head ? config.heads : 1;
  std::vector<TensorPart> parts;
  int64_t first = 0;
  for (const Role role : fused.roles) {
    const int64_t part_rows = output_rows(config, role);
    const int64_t block = part_rows / pieces;
    parts.push_back({role, part_rows, {.first = first, .block = block, .stride = sum / pieces}});
    first += block;
  }
  return parts;
}

// The tensor's parts by the family's own names, or else the one that Llama has under its name.
std::optional<TensorParts> find_parts(const std::vector<SourceName>& names, const LocalName& local,
                                      std::optional<Role> otherwise, const SourceConfig& config,
                                      int64_t rows, const std::string& what) {
  const auto known = std::find_if(names.begin(), names.end(), [&](const SourceName& own) {
    return own.name == local.name && role_in_layer(own.roles[0]) == (local.layer != kNoLayer);
  });
  if (known != names.end() && known->roles.size() > 1) {
    return TensorParts{local.layer, split(*known, config, rows, what)};
  }
  if (known != names.end()) otherwise = known->roles[0];
  if (!otherwise) return std::nullopt;
  return TensorParts{local.layer, {{*otherwise, rows, {}}}};
}

}  // namespace

std::vector<bool> all_but_each(int64_t period, int64_t layers) {
  std::vector<bool> result;
  for (int64_t i = 1; i <= layers; ++i) result.push_back(period <= 0 || i % period != 0);
  return result;
}

void read_window_by_depth(const HfSettings& settings, SourceConfig& config) {
  std::vector<bool> windowed = settings.windowed_layers();
  const int64_t window = settings.integer("sliding_window", 0);
  const int64_t first = settings.required("max_window_layers");
  if (!settings.boolean("use_sliding_window")) return;
  if (windowed.empty()) {
    for (int64_t i = 0; i < config.layers; ++i) windowed.push_back(i >= first);
  }
  set_window(config, window, std::move(windowed));
}

std::optional<TensorParts> parts_of_hf_tensor(const Family& family, const SourceConfig& config,
                                              std::string_view name, int64_t rows,
                                              const std::string& what) {
  const LocalName local = local_hf_name(name, family.hf_prefixes);
  return find_parts(family.hf_names, local, role_of_hf_name(local), config, rows, what);
}

std::optional<TensorParts> parts_of_gguf_tensor(const Family& family, const SourceConfig& config,
                                                std::string_view name, int64_t rows,
                                                const std::string& what) {
  const LocalName local = local_gguf_name(name);
  auto parts = find_parts(family.gguf_names, local, role_of_gguf_name(local), config, rows, what);
  if (!parts || !family.gguf_interleaves) return parts;
  for (TensorPart& part : parts->parts) {
    if (part.role == Role::kAttnQ || part.role == Role::kAttnK || part.role == Role::kAttnQBias ||
        part.role == Role::kAttnKBias) {
      part.map.interleaved = config.head_size;
    }
  }
  return parts;
}

}  // namespace mica
