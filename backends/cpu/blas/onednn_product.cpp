#include <array>
#include <dnnl.hpp>
#include <optional>

#include "backends/cpu/blas/bf16_product.h"

// Of libgomp; clang's <omp.h> is in a package of its own.
extern "C" int omp_get_max_threads();
extern "C" void omp_set_num_threads(int);

namespace mica::cpu {
namespace {

// oneDNN is built with OpenMP; on this thread it gets a team of one. The setting belongs to the
// thread, which may be the application's own, so it is put back.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

using Shape = std::array<int64_t, 6>;  // tokens, rows, cols and the strides of x, w, y

struct Prepared {
  Shape shape{};
  std::optional<dnnl::matmul> matmul;
};

dnnl::memory::desc matrix(int64_t rows, int64_t cols, int64_t row_stride, int64_t col_stride,
                          dnnl::memory::data_type type) {
  return {{rows, cols}, type, dnnl::memory::dims{row_stride, col_stride}};
}

// One primitive a shape. Creating one costs some 0.1 ms even from oneDNN's own cache; a model's
// layers ask for a few shapes again and again.
class Multiplier {
 public:
  void run(const MicaBlasProduct& p) {
    const auto bf16 = dnnl::memory::data_type::bf16;
    const auto x = matrix(p.tokens, p.cols, p.x_stride, 1, bf16);
    const auto w = matrix(p.cols, p.rows, 1, p.w_stride, bf16);  // transposed
    const auto y = matrix(p.tokens, p.rows, p.y_stride, 1, dnnl::memory::data_type::f32);
    const Shape shape{p.tokens, p.rows, p.cols, p.x_stride, p.w_stride, p.y_stride};
    Prepared* prepared = find(shape);
    if (prepared == nullptr) {
      prepared = &prepared_[next_++ % prepared_.size()];
      prepared->matmul.emplace(dnnl::matmul::primitive_desc({x, w, y}, engine_));
      prepared->shape = shape;
    }
    prepared->matmul->execute(stream_, {{DNNL_ARG_SRC, {x, engine_, const_cast<void*>(p.x)}},
                                        {DNNL_ARG_WEIGHTS, {w, engine_, const_cast<void*>(p.w)}},
                                        {DNNL_ARG_DST, {y, engine_, p.y}}});
    stream_.wait();
  }

 private:
  Prepared* find(const Shape& shape) {
    for (Prepared& prepared : prepared_) {
      if (prepared.matmul && prepared.shape == shape) return &prepared;
    }
    return nullptr;
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::array<Prepared, 32> prepared_;
  size_t next_ = 0;
};

}  // namespace

bool multiply_bf16(const MicaBlasProduct* product) try {
  const OneThread one_thread;
  thread_local Multiplier multiplier;
  multiplier.run(*product);
  return true;
} catch (...) {
  return false;
}

}  // namespace mica::cpu
