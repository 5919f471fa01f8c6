#include "lib/runtime/convert_plan.h"

#include <algorithm>
#include <fmt/core.h>
#include <fnmatch.h>
#include <map>
#include <optional>
#include <sstream>

#include "lib/base/error.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

// Why a tensor's type differs from what was asked for; tensors with the same reason share a
// sentence.
using Reasons = std::map<std::string, std::vector<std::string>>;

bool is_head(Role role) {
  return role == Role::kTokenEmbedding || role == Role::kHead;
}

bool is_panel_type(const DType& dtype) {
  return dtype.layout == TensorLayout::kPanels;
}

// The type with fewest bits a weight that takes this grid code by code; nullptr when none does.
const WeightType* carrying_type(const GridKind& grid) {
  const auto bits = [&](const WeightType& type) {
    return bits_per_weight(make_dtype(type, grid.group));
  };
  const WeightType* best = nullptr;
  for (const WeightType* type : weight_types()) {
    if (type->carries(grid) && (!best || bits(*type) < bits(*best))) best = type;
  }
  return best;
}

// `wanted`, or with the next smaller group that divides cols, or f16 when none does.
DType fit_group(const DType& wanted, int64_t cols) {
  if (!is_panel_type(wanted)) return wanted;
  const WeightType& type = *find_weight_type(wanted);
  for (int group = wanted.group; group >= 32; group /= 2) {
    if (cols % group == 0) return make_dtype(type, group);
  }
  return kF16;
}

struct Rule {
  std::string where;  // "recipe.txt:3"
  std::string pattern;
  DType dtype;
};

std::vector<Rule> parse_recipe(const ConvertOptions& options) {
  std::vector<Rule> rules;
  std::istringstream lines(options.recipe);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string pattern, type, more;
    if (!(words >> pattern)) continue;
    const std::string where = fmt::format("{}:{}", options.recipe_name, number);
    if (!(words >> type) || words >> more) {
      throw Error(ErrorCode::kUsage,
                  fmt::format("{}: expected a pattern and a type, found '{}'", where, line));
    }
    rules.push_back({where, pattern, parse_dtype(type)});
  }
  return rules;
}

bool is_like(const std::string& name, const Rule& rule) {
  return fnmatch(rule.pattern.c_str(), name.c_str(), 0) == 0;
}

// What the recipe says of a tensor; nothing where it says nothing.
std::optional<DType> find_rule(const std::vector<Rule>& rules, const std::string& name) {
  std::optional<DType> found;
  for (const Rule& rule : rules) {
    if (is_like(name, rule)) found = rule.dtype;
  }
  return found;
}

DType wanted_dtype(const SourceTensor& tensor, const ConvertOptions& options) {
  if (is_head(tensor.role) && !options.embedding_quant.empty()) {
    return parse_dtype(options.embedding_quant);
  }
  if (options.quant == "keep") {
    if (tensor.stored) return *tensor.stored;
    if (const WeightType* type = carrying_type(tensor.grid)) {
      return make_dtype(*type, tensor.grid.group);
    }
    if (!tensor.is_float()) return parse_dtype("q8g32");
    return parse_dtype(is_head(tensor.role) ? "q8g32" : "q4g32");
  }
  if (!is_head(tensor.role)) return parse_dtype(options.quant);
  return is_panel_type(parse_dtype(options.quant)) ? parse_dtype("q8g32")
                                                   : parse_dtype(options.quant);
}

PlannedTensor plan_tensor(const SourceTensor& tensor, const ConvertOptions& options,
                          std::optional<DType> chosen, const std::vector<Rule>& rules,
                          Reasons& reasons) {
  PlannedTensor planned;
  planned.spec = {.role = tensor.role,
                  .layer = tensor.layer,
                  .rows = static_cast<uint64_t>(tensor.rows),
                  .cols = static_cast<uint64_t>(tensor.cols)};
  if (tensor.rows == 1) {  // norms and biases are small and stay exact
    planned.spec.dtype = kF32;
    planned.copied = tensor.stored == kF32;
    return planned;
  }
  const std::string name = tensor_name(tensor.role, tensor.layer);
  const std::optional<DType> rule = find_rule(rules, name);
  const DType wanted = rule ? *rule : chosen ? *chosen : wanted_dtype(tensor, options);
  const DType dtype = fit_group(wanted, tensor.cols);
  if (dtype != wanted) {
    reasons[fmt::format("{} instead of {}: group {} does not divide the row length {}",
                        dtype_name(dtype), dtype_name(wanted), wanted.group, tensor.cols)]
        .push_back(name);
  }
  const WeightType* type = find_weight_type(dtype);
  planned.carried = type && tensor.grid.group == dtype.group && type->carries(tensor.grid);
  if (!tensor.is_float() && !planned.carried && options.quant == "keep") {
    reasons[fmt::format("{} re-quantized from {}", dtype_name(dtype), tensor.source_type)]
        .push_back(name);
  }
  planned.copied = tensor.stored == dtype;
  planned.spec.dtype = dtype;
  return planned;
}

std::vector<std::string> sentences(const Reasons& reasons) {
  std::vector<std::string> result;
  for (const auto& [reason, names] : reasons) {
    result.push_back(names.size() == 1 ? fmt::format("{}: {}", names.front(), reason)
                                       : fmt::format("{} and {} more: {}", names.front(),
                                                     names.size() - 1, reason));
  }
  return result;
}

// Matrices with one input share its quantized form: a recipe must give them one group.
void require_one_group(const ConvertPlan& plan, const std::string& recipe) {
  std::map<std::pair<int, Role>, const PlannedTensor*> first;
  for (const PlannedTensor& tensor : plan.tensors) {
    Role input = tensor.spec.role;
    if (input == Role::kAttnK || input == Role::kAttnV) input = Role::kAttnQ;
    if (input == Role::kFfnGate) input = Role::kFfnUp;
    const PlannedTensor* other =
        first.try_emplace({tensor.spec.layer, input}, &tensor).first->second;
    if (other->spec.dtype.group == tensor.spec.dtype.group) continue;
    throw Error(
        ErrorCode::kUsage,
        fmt::format(
            "{}: expected one group for {} and {}, which have the same input, found {} and {}",
            recipe, tensor_name(other->spec.role, other->spec.layer),
            tensor_name(tensor.spec.role, tensor.spec.layer), dtype_name(other->spec.dtype),
            dtype_name(tensor.spec.dtype)));
  }
}

}  // namespace

bool is_calibrated(const PlannedTensor& tensor) {
  return tensor.spec.layer != kNoLayer && is_panel_type(tensor.spec.dtype) && !tensor.carried &&
         !tensor.copied;
}

void check_type_options(const ImportedModel& model, const ConvertOptions& options) {
  if (options.quant != "keep") (void)parse_dtype(options.quant);
  if (!options.embedding_quant.empty()) (void)parse_dtype(options.embedding_quant);
  for (const Rule& rule : parse_recipe(options)) {
    const auto is_meant = [&](const SourceTensor& tensor) {
      return tensor.rows > 1 && is_like(tensor_name(tensor.role, tensor.layer), rule);
    };
    if (std::any_of(model.tensors.begin(), model.tensors.end(), is_meant)) continue;
    throw Error(
        ErrorCode::kUsage,
        fmt::format("{}: expected a pattern of a matrix's name ('mica inspect' lists them), "
                    "none is like '{}'",
                    rule.where, rule.pattern));
  }
}

ConvertPlan plan_conversion(const ImportedModel& model, const ConvertOptions& options,
                            const ChosenTypes& chosen) {
  check_type_options(model, options);
  ConvertPlan plan;
  Reasons reasons;
  const std::vector<Rule> rules = parse_recipe(options);
  for (size_t i = 0; i < model.tensors.size(); ++i) {
    const SourceTensor& tensor = model.tensors[i];
    const auto choice = chosen.find({tensor.role, tensor.layer});
    const auto dtype = choice == chosen.end() ? std::nullopt : std::optional(choice->second);
    plan.tensors.push_back(plan_tensor(tensor, options, dtype, rules, reasons));
    plan.tensors.back().source = i;
  }
  if (!rules.empty()) require_one_group(plan, options.recipe_name);
  plan.substitutions = sentences(reasons);
  return plan;
}

}  // namespace mica
