#include "lib/runtime/source_layer.h"

#include <fmt/core.h>

#include "lib/model/architecture.h"
#include "quant/check_weights.h"

namespace mica {

SourceLayer::SourceLayer(const Importer& importer, const ModelConfig& config, int layer) {
  const ImportedModel& model = importer.model();
  for (size_t i = 0; i < model.tensors.size(); ++i) {
    const SourceTensor& source = model.tensors[i];
    if (source.layer != layer) continue;
    Tensor& tensor = tensors_[source.role];
    tensor = {fmt::format("{}: tensor '{}'", model.name, source.source_name),
              std::vector<float>(static_cast<size_t>(source.rows * source.cols)), source.rows,
              source.cols};
    importer.read_floats(i, 0, source.rows, tensor.values.data());
    check_weights({tensor.values.data(), source.rows, source.cols}, kF32, 0, tensor.name);
  }
  const auto find = [&](Role role, int) {
    const auto found = tensors_.find(role);
    if (found == tensors_.end()) return Weight{};
    const Tensor& tensor = found->second;
    return Weight{.dtype = kF32,
                  .rows = tensor.rows,
                  .cols = tensor.cols,
                  .data = reinterpret_cast<const std::byte*>(tensor.values.data()),
                  .slab_stride = static_cast<uint64_t>(tensor.cols) * sizeof(float)};
  };
  weights_ = bind_layer(find, model.name, config,
                        find_architecture(config.architecture, model.name), layer);
}

void SourceLayer::copy_from(const SourceLayer& other) {
  for (auto& [role, tensor] : tensors_) {
    const std::vector<float>& values = other.tensors_.at(role).values;
    std::copy(values.begin(), values.end(), tensor.values.begin());
  }
}

View<float> SourceLayer::matrix(Role role) {
  Tensor& tensor = tensors_.at(role);
  return {tensor.values.data(), tensor.rows, tensor.cols};
}

}  // namespace mica
