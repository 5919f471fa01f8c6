#include "lib/runtime/calibrate.h"

#include <algorithm>
#include <cstring>
#include <fmt/core.h>

#include "lib/base/error.h"
#include "lib/runtime/prediction_divergence.h"
#include "quant/weight_type.h"

namespace mica {
namespace {

// "cpu (avx512vnni": what is computed with, without the number of threads.
std::string kernels_of(const Engine& engine) {
  const std::string name = engine.backend().name();
  return name.substr(0, name.find(','));
}

// Tells conversions apart: what is quantized to what, with which text and how. Layers of other
// kernels, which round otherwise, are not gone on from: a resumed conversion gives the bytes of one
// that was never interrupted.
Hash128 key_of(const CalibrationJob& job) {
  const CalibrationOptions& options = job.options;
  std::string key = fmt::format("mica {} {} {} {} {} {} {} {}\n", MICA_VERSION,
                                job.source_hash.hex(), hash128(as_bytes(options.text)).hex(),
                                options.tokens, static_cast<int>(options.effort), options.awq,
                                options.random_tokens, kernels_of(job.engine));
  for (const PlannedTensor& tensor : job.plan.tensors) {
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

CalibrationText make_calibration_text(const Tokenizer& tokenizer, const ModelConfig& config,
                                      const CalibrationOptions& options) {
  if (options.random_tokens) return draw_calibration_tokens(tokenizer, config, options.tokens);
  return cut_calibration_text(tokenizer, config, options.text, options.text_name, options.tokens);
}

Calibration::Calibration(CalibrationJob job, std::function<void(double)> report)
    : job_(std::move(job)),
      report_(std::move(report)),
      store_(job_.output + ".calibration", key_of(job_), job_.options.resume),
      pass_(job_.importer, job_.config, job_.engine, job_.text.windows) {
  if (aims(job_.options.effort)) unquantized_.emplace(pass_);
  if (job_.text.held_out.tokens.empty()) return;
  held_out_.emplace(job_.importer, job_.config, job_.engine, job_.text.held_out);
  held_out_source_.emplace(*held_out_);
}

const CalibratedTensor* Calibration::find(Role role, int layer) {
  if (layer == kNoLayer) return nullptr;
  try {
    while (layer_ < layer) next_layer();
  } catch (const Error& error) {
    // A source that cannot be calibrated will not be resumed.
    if (error.code() == ErrorCode::kInvalidFile) store_.remove();
    if (error.code() != ErrorCode::kInterrupted || !store_.has_layers()) throw;
    throw Error(error.code(), fmt::format("{}; {} keeps the finished layers, for resume",
                                          error.message(), store_.path()));
  }
  for (const CalibratedTensor& tensor : tensors_) {
    if (tensor.role == role) return &tensor;
  }
  return nullptr;
}

void Calibration::next_layer() {
  ++layer_;
  SourceLayer source(job_.importer, job_.config, layer_);
  const LayerTask task = task_of(layer_);
  const auto between = [this] { report_step(); };
  steps_ = 0;
  expected_steps_ = ((task.awq ? 8 : 5) + (unquantized_ ? 1 : 0)) * pass_.steps() +
                    2 * (held_out_ ? held_out_->steps() : 0) + std::ssize(task.dtypes);
  if (held_out_source_) held_out_source_->advance(layer_, source.weights(), between);
  tensors_ = store_.read_next();
  if (!tensors_.empty() && fits(tensors_, task, source)) {
    take_over(tensors_, task, source);
  } else {
    tensors_ = calibrate_layer(source, task, {pass_, unquantized_ ? &*unquantized_ : nullptr},
                               {job_.importer, job_.config, job_.engine}, between);
    store_.append(tensors_);
  }
  if (held_out_) held_out_->advance(layer_, source.weights(), between);
  const bool is_last = layer_ + 1 == job_.config.layers;
  if (is_last) return;
  pass_.advance(layer_, source.weights(), between);
  if (!unquantized_) return;
  const SourceLayer unquantized(job_.importer, job_.config, layer_);
  unquantized_->advance(layer_, unquantized.weights(), between);
}

void Calibration::report_step() {
  ++steps_;
  const double share = static_cast<double>(steps_) / static_cast<double>(expected_steps_);
  report_((layer_ + std::min(share, 1.0)) / static_cast<double>(job_.config.layers));
}

std::optional<HeldOutDivergence> Calibration::held_out_divergence() {
  if (!held_out_) return std::nullopt;
  PredictionDivergence divergence(job_.importer, job_.config, 1);
  divergence.add_model(*held_out_source_);
  divergence.add_model(*held_out_);
  const auto between = [this] { report_(1); };
  return HeldOutDivergence{divergence.run(job_.engine, between).front(), divergence.scored()};
}

LayerTask Calibration::task_of(int layer) const {
  LayerTask task{.layer = layer, .effort = job_.options.effort, .awq = job_.options.awq};
  for (const PlannedTensor& tensor : job_.plan.tensors) {
    if (tensor.spec.layer != layer || !is_calibrated(tensor)) continue;
    task.dtypes[tensor.spec.role] = tensor.spec.dtype;
  }
  return task;
}

}  // namespace mica
