#include "lib/runtime/target_bits.h"

#include <algorithm>
#include <fmt/format.h>

#include "lib/base/error.h"
#include "lib/runtime/source_layer.h"
#include "lib/runtime/type_choice.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

constexpr const char* kCandidates[] = {"q4g128", "q4g64", "q4g32", "q8g128", "q8g64", "q8g32"};

// Damage goes with the square of the rounding error: measured once, computed for the other types.
ChoiceUnit options_of(const Importer& importer, const ModelConfig& config, const Engine& engine,
                      const Sensitivity& unit) {
  ChoiceUnit choice;
  for (const char* name : kCandidates) {
    const DType dtype = parse_dtype(name);
    SourceLayer source(importer, config, unit.layer);
    double error = 0, weights = 0;
    bool possible = true;
    for (const Role role : unit.roles) {
      const View<float> matrix = source.matrix(role);
      possible = possible && matrix.row_size() % dtype.group == 0;
      if (!possible) break;
      error += round_matrix(matrix, dtype, engine) / static_cast<double>(unit.roles.size());
      weights += static_cast<double>(matrix.size());
    }
    if (!possible) continue;
    const double ratio = unit.relative_error > 0 ? error / unit.relative_error : 0;
    choice.weights = weights;
    choice.options.push_back({.dtype = dtype,
                              .bits = weights * bits_per_weight(dtype),
                              .damage = std::max(unit.kl, 0.0) * ratio * ratio});
  }
  return choice;
}

}  // namespace

TargetChoice choose_for_target(const Importer& importer, const ModelConfig& config,
                               const Engine& engine, const BitsTarget& target,
                               const CalibrationWindows& windows,
                               const std::function<void(double)>& report) {
  const std::vector<Sensitivity> measured =
      measure_sensitivity(importer, config, engine, windows, report);
  std::vector<ChoiceUnit> units;
  double weights = 0, least = 0;
  for (const Sensitivity& unit : measured) {
    units.push_back(options_of(importer, config, engine, unit));
    report(1);
    weights += units.back().weights;
    double fewest = units.back().options.front().bits;
    for (const TypeOption& option : units.back().options) fewest = std::min(fewest, option.bits);
    least += fewest;
  }
  if (units.empty()) {
    throw Error(
        ErrorCode::kUsage,
        fmt::format("{}: target of bits a weight: expected matrices with rows of a multiple "
                    "of {} weights, found none",
                    importer.model().name, harm_dtype().group));
  }
  const double left = target.bits_per_weight * (weights + target.fixed_weights) - target.fixed_bits;
  if (!(least <= left)) {  // also where the target is not a number
    throw Error(ErrorCode::kUsage,
                fmt::format("{}: target of bits a weight: expected at least {:.4f}, found {}",
                            importer.model().name,
                            (least + target.fixed_bits) / (weights + target.fixed_weights),
                            target.bits_per_weight));
  }
  // Exactly the target where it can be, so that what just fits does.
  const double each = target.fixed_weights > 0 ? left / weights : target.bits_per_weight;
  const std::vector<size_t> chosen = choose_types(units, each);
  TargetChoice result;
  for (size_t i = 0; i < units.size(); ++i) {
    const DType dtype = units[i].options[chosen[i]].dtype;
    std::string names;
    for (const Role role : measured[i].roles) {
      result.types[{role, measured[i].layer}] = dtype;
      names += fmt::format("{}{}", names.empty() ? "" : ", ", role_name(role));
    }
    result.notes.push_back(fmt::format("layers.{} {}: {}; KL {:.3g} when rounded to {}",
                                       measured[i].layer, names, dtype_name(dtype), measured[i].kl,
                                       dtype_name(harm_dtype())));
  }
  return result;
}

}  // namespace mica
