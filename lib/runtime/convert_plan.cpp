#include "lib/runtime/convert_plan.h"

#include <fmt/core.h>
#include <map>

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
  const DType wanted = wanted_dtype(tensor, options);
  const DType dtype = fit_group(wanted, tensor.cols);
  const std::string name = tensor_name(tensor.role, tensor.layer);
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

}  // namespace

ConvertPlan plan_conversion(const ImportedModel& model, const ConvertOptions& options) {
  if (options.quant != "keep") (void)parse_dtype(options.quant);  // refuse before any work
  if (!options.embedding_quant.empty()) (void)parse_dtype(options.embedding_quant);
  ConvertPlan plan;
  Reasons reasons;
  for (size_t i = 0; i < model.tensors.size(); ++i) {
    plan.tensors.push_back(plan_tensor(model.tensors[i], options, reasons));
    plan.tensors.back().source = i;
  }
  plan.substitutions = sentences(reasons);
  return plan;
}

}  // namespace mica
