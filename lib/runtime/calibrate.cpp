#include "lib/runtime/calibrate.h"

#include <algorithm>
#include <cstring>
#include <fmt/core.h>

#include "lib/base/error.h"
#include "lib/runtime/prediction_divergence.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

// Tells conversions apart: what is quantized to what, with which text and how.
Hash128 key_of(const ConvertPlan& plan, const CalibrationOptions& options,
               const Hash128& source_hash) {
  std::string key =
      fmt::format("mica {} {} {} {} {} {} {}\n", MICA_VERSION, source_hash.hex(),
                  hash128(as_bytes(options.text)).hex(), options.tokens,
                  static_cast<int>(options.effort), options.awq, options.random_tokens);
  for (const PlannedTensor& tensor : plan.tensors) {
    key += fmt::format("{} {} {}\n", tensor_name(tensor.spec.role, tensor.spec.layer),
                       dtype_name(tensor.spec.dtype), tensor.carried || tensor.copied);
  }
  return hash128(as_bytes(key));
}

// What the tensor's bytes mean, in place of the source's floats.
void decode_into(View<float> weights, const DType& dtype, Bytes bytes) {
  const WeightType& type = *find_weight_type(dtype);
  const int64_t cols = weights.row_size();
  const uint64_t stride = slab_stride(dtype, static_cast<uint64_t>(cols), "calibration");
  std::vector<float> panel(static_cast<size_t>(kPanelRows * cols));
  for (int64_t row = 0; row < weights.rows(); row += kPanelRows) {
    type.decode(&bytes[row / kPanelRows * stride], cols, dtype.group, panel.data());
    std::copy_n(panel.data(), std::min<int64_t>(kPanelRows, weights.rows() - row) * cols,
                weights.row(row));
  }
}

// Whether a side file's layer is what the task would give: all its matrices, and vectors of the
// source that changed.
bool fits(const std::vector<CalibratedTensor>& tensors, const LayerTask& task,
          SourceLayer& source) {
  size_t matrices = 0;
  for (const CalibratedTensor& tensor : tensors) {
    if (!source.has(tensor.role)) return false;
    const View<float> weights = source.matrix(tensor.role);
    const auto dtype = task.dtypes.find(tensor.role);
    if (dtype == task.dtypes.end() && weights.rows() > 1) return false;
    matrices += dtype != task.dtypes.end();
    const auto bytes = tensor_bytes(dtype == task.dtypes.end() ? kF32 : dtype->second,
                                    static_cast<uint64_t>(weights.rows()),
                                    static_cast<uint64_t>(weights.row_size()), "calibration");
    if (tensor.bytes.size() != bytes) return false;
  }
  return matrices == task.dtypes.size();
}

// Puts what the tensors have become in place of the source's floats.
void take_over(const std::vector<CalibratedTensor>& tensors, const LayerTask& task,
               SourceLayer& source) {
  for (const CalibratedTensor& tensor : tensors) {
    const View<float> weights = source.matrix(tensor.role);
    const auto dtype = task.dtypes.find(tensor.role);
    if (dtype != task.dtypes.end()) {
      decode_into(weights, dtype->second, tensor.bytes);
    } else {
      std::memcpy(weights.data(), tensor.bytes.data(), tensor.bytes.size());
    }
  }
}

}  // namespace

Calibration::Calibration(const Importer& importer, const ConvertPlan& plan,
                         const ModelConfig& config, const Engine& engine,
                         const CalibrationOptions& options, const std::string& output,
                         const Hash128& source_hash, Bytes tokenizer_image,
                         std::function<void()> between)
    : importer_(importer),
      plan_(plan),
      config_(config),
      engine_(engine),
      options_(options),
      between_(std::move(between)),
      store_(output + ".calibration", key_of(plan, options, source_hash), options.resume) {
  const Tokenizer tokenizer = Tokenizer::open(tokenizer_image, importer.model().name);
  const CalibrationText text = options.random_tokens
                                   ? draw_calibration_tokens(tokenizer, config, options.tokens)
                                   : cut_calibration_text(tokenizer, config, options.text,
                                                          options.text_name, options.tokens);
  tokens_ = std::ssize(text.windows.tokens);
  pass_.emplace(importer, config, engine, text.windows);
  if (text.held_out.tokens.empty()) return;
  held_out_.emplace(importer, config, engine, text.held_out);
  held_out_source_.emplace(*held_out_);
}

const CalibratedTensor* Calibration::find(Role role, int layer) {
  if (layer == kNoLayer) return nullptr;
  while (layer_ < layer) next_layer();
  for (const CalibratedTensor& tensor : tensors_) {
    if (tensor.role == role) return &tensor;
  }
  return nullptr;
}

void Calibration::next_layer() {
  ++layer_;
  SourceLayer source(importer_, config_, layer_);
  const LayerTask task = task_of(layer_);
  if (held_out_source_) held_out_source_->run(layer_, source.weights(), {}, true, between_);
  tensors_ = store_.read_next();
  if (!tensors_.empty() && fits(tensors_, task, source)) {
    take_over(tensors_, task, source);
  } else {
    tensors_ = calibrate_layer(source, task, *pass_, engine_, between_);
    store_.append(tensors_);
  }
  if (held_out_) held_out_->run(layer_, source.weights(), {}, true, between_);
  const bool is_last = layer_ + 1 == config_.layers;
  if (!is_last) pass_->run(layer_, source.weights(), {}, true, between_);
}

std::optional<HeldOutDivergence> Calibration::held_out_divergence() {
  if (!held_out_) return std::nullopt;
  PredictionDivergence divergence(importer_, config_, 1);
  divergence.add_model(*held_out_source_);
  divergence.add_model(*held_out_);
  return HeldOutDivergence{divergence.run(engine_, between_).front(), divergence.scored()};
}

LayerTask Calibration::task_of(int layer) const {
  LayerTask task{.layer = layer, .effort = options_.effort, .awq = options_.awq};
  for (const PlannedTensor& tensor : plan_.tensors) {
    if (tensor.spec.layer != layer || !is_calibrated(tensor)) continue;
    task.dtypes[tensor.spec.role] = tensor.spec.dtype;
  }
  return task;
}

}  // namespace mica
