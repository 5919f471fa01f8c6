// Which weight type each tensor of a source gets, decided before any weight is read.
#pragma once

#include <string>
#include <vector>

#include "formats/importer.h"
#include "formats/writer.h"
#include "lib/runtime/convert.h"

namespace mica {

struct PlannedTensor {
  TensorSpec spec;
  size_t source = 0;     // index into ImportedModel::tensors
  bool carried = false;  // codes are taken over from the source's grid
  bool copied = false;   // bytes are those of the source
};

struct ConvertPlan {
  std::vector<PlannedTensor> tensors;      // in the source's order
  std::vector<std::string> substitutions;  // sentences for the report
};

ConvertPlan plan_conversion(const ImportedModel& model, const ConvertOptions& options);

}  // namespace mica
