#include "lib/runtime/plan_source.h"

#include "formats/reader.h"
#include "lib/model/architecture.h"
#include "lib/runtime/convert_plan.h"
#include "lib/runtime/mica_source.h"
#include "lib/runtime/synthetic_model.h"

namespace mica {
namespace {

PlanModel of_shape(const PlanSource& source) {
  const std::string quant = source.quant == "keep" ? "q4g32" : source.quant;
  const SyntheticShape shape = synthetic_shape(source.synthetic, quant);
  return plan_model_of(parse_model_config(shape.metadata["model"], "synthetic model"), shape.specs);
}

// As it is to be converted, or as it is.
PlanModel of_conversion(const Importer& importer, const PlanSource& source) {
  const ImportedModel& model = importer.model();
  const ModelConfig config = parse_model_config(model.config, model.name);
  find_architecture(config.architecture, model.name);
  const ConvertPlan plan =
      plan_conversion(model, {.quant = source.quant, .embedding_quant = source.embedding_quant});
  std::vector<TensorSpec> specs;
  for (const PlannedTensor& tensor : plan.tensors) specs.push_back(tensor.spec);
  return plan_model_of(config, specs);
}

}  // namespace

PlanModel read_plan_model(const PlanSource& source, const LogSink& log) {
  if (!source.synthetic.empty()) return of_shape(source);
  return of_conversion(*open_any_source(source.path, log), source);
}

}  // namespace mica
