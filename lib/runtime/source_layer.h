// One layer of a source as floats, ready to be run: what calibration holds of the model at a time.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "formats/importer.h"
#include "lib/model/weights.h"

namespace mica {

class SourceLayer {
 public:
  // Reads the layer; throws Error(kInvalidFile) as bind_layer() does, and for weights that are not
  // finite.
  SourceLayer(const Importer& importer, const ModelConfig& config, int layer);
  SourceLayer(const SourceLayer&) = delete;
  SourceLayer& operator=(const SourceLayer&) = delete;

  // Points into this object.
  const LayerWeights& weights() const { return weights_; }
  bool has(Role role) const { return tensors_.contains(role); }
  // "model.gguf: tensor 'blk.3.ffn_up.weight'", for sentences.
  const std::string& name(Role role) const { return tensors_.at(role).name; }
  // Takes over all values of the same layer.
  void copy_from(const SourceLayer& other);
  // [N, K]; may be overwritten by what it has become.
  View<float> matrix(Role role);

 private:
  struct Tensor {
    std::string name;
    std::vector<float> values;
    int64_t rows = 0;
    int64_t cols = 0;
  };
  std::map<Role, Tensor> tensors_;
  LayerWeights weights_;
};

}  // namespace mica
