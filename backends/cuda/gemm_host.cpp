#include "backends/cuda/gemm.h"
#include "lib/base/half.h"

namespace mica::cuda {
namespace {

class HostGemm final : public Gemm {
 public:
  uint64_t workspace_bytes() const override { return 1024; }
  bool multiply(const GemmShape& shape, const uint16_t* x, const uint16_t* weights, float* out,
                std::byte*, StreamHandle) override {
    for (int64_t t = 0; t < shape.tokens; ++t) {
      for (int64_t n = 0; n < shape.rows; ++n) {
        float sum = 0;
        for (int64_t k = 0; k < shape.cols; ++k) {
          sum += bf16_to_f32(x[t * shape.cols + k]) * bf16_to_f32(weights[n * shape.cols + k]);
        }
        out[t * shape.rows + n] = sum;
      }
    }
    return true;
  }
};

}  // namespace

std::unique_ptr<Gemm> Gemm::load(Driver&) {
  return std::make_unique<HostGemm>();
}

}  // namespace mica::cuda
