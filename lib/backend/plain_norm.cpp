#include "lib/backend/plain_norm.h"

#include <algorithm>
#include <cmath>

namespace mica {

void normalize_row(const Norm& norm, const float* x, int64_t size, float* out) {
  if (!norm.present()) {
    std::copy_n(x, size, out);
    return;
  }
  const auto count = static_cast<double>(size);
  double mean = 0, square = 0;
  if (norm.kind == NormKind::kLayer) {
    for (int64_t i = 0; i < size; ++i) mean += x[i];
    mean /= count;
  }
  for (int64_t i = 0; i < size; ++i) square += (x[i] - mean) * (x[i] - mean);
  const double scale = 1 / std::sqrt(square / count + norm.epsilon);
  for (int64_t i = 0; i < size; ++i) {
    const double y = (x[i] - mean) * scale * norm.weight.data()[i];
    out[i] = static_cast<float>(norm.bias.empty() ? y : y + norm.bias.data()[i]);
  }
}

}  // namespace mica
