// Which weight type each tensor of a source gets, decided before any weight is read.
#pragma once

#include <map>
#include <string>
#include <utility>
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

// Whether a tensor of a layer is quantized anew, so that calibration has a say.
bool is_calibrated(const PlannedTensor& tensor);

struct ConvertPlan {
  std::vector<PlannedTensor> tensors;      // in the source's order
  std::vector<std::string> substitutions;  // sentences for the report
};

// Types given beforehand to tensors of layers.
using ChosenTypes = std::map<std::pair<Role, int>, DType>;

// Throws Error(kUsage) for types that are not known and for lines of a recipe that mean no matrix.
void check_type_options(const ImportedModel& model, const ConvertOptions& options);

// Checks the options first.
ConvertPlan plan_conversion(const ImportedModel& model, const ConvertOptions& options,
                            const ChosenTypes& chosen = {});

}  // namespace mica
