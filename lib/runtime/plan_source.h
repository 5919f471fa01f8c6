// The sizes of a model that is to be planned for, from whatever stands for it. No weights are read.
#pragma once

#include <string>

#include "lib/base/log.h"
#include "lib/runtime/plan_model.h"

namespace mica {

struct PlanSource {
  std::string path;       // a .mica file, or a source that convert_model() takes
  std::string synthetic;  // in its place: a size of synthetic_model.h
  // As in ConvertOptions: what the source would be converted to. Of a synthetic model its type.
  std::string quant = "keep";
  std::string embedding_quant;
};

// Throws as opening and planning a conversion does.
PlanModel read_plan_model(const PlanSource& source, const LogSink& log);

}  // namespace mica
