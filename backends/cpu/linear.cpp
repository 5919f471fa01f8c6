#include "backends/cpu/linear.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "backends/cpu/formats.h"
#include "backends/cpu/normalize.h"

namespace mica::cpu {
namespace {

constexpr int64_t kMinGroup = 32;
// Tokens whose products are kept between the blocks of K; with kStripePanels 96 KB.
constexpr int64_t kBlockTokens = 512;
// Panels that a thread takes at a time for few tokens: about a microsecond of reading, beside which
// a fetch from a counter is nothing.
constexpr int64_t kStreamPanels = 4;
// Rows of input that every thread prepares for itself, which costs less than waiting for others.
constexpr int64_t kAloneTokens = 8;
constexpr int64_t kProductFloats = kBlockTokens * kStripePanels * kPanelRows;
// Bytes that a thread asks for before it begins to stream; the kernels ask for those after.
constexpr int64_t kFirstBytes = 16 << 10;
// Pieces a thread, so that none waits long for another's last one.
constexpr int64_t kEnoughPieces = 4;
// Rows for which unpacking a stripe is a small part of using it; a multiple of every tile.
constexpr int64_t kLeastRows = 96, kEvenRows = 24;
// Tokens that a thread prepares at a time.
constexpr int64_t kPreparedTokens = 8;

int64_t ceil_divide(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

int64_t panel_count(const Weight& weight) {
  return ceil_divide(weight.rows, kPanelRows);
}

// Linears whose panels are units of work; with kActivate a unit is a panel of each.
size_t unit_kinds(const LinearStep& step) {
  return step.end == LinearEnd::kActivate ? 1 : step.linears.size();
}

// Asks for the weights that a thread reads first, while it prepares the input.
void prefetch_units(const LinearStep& step, int64_t unit) {
  size_t i = 0;
  for (; unit >= panel_count(*step.linears[i].weight); ++i) {
    unit -= panel_count(*step.linears[i].weight);
  }
  const Weight& weight = *step.linears[i].weight;
  if (weight.dtype.layout == TensorLayout::kRows) return;
  const std::byte* first = weight.data + static_cast<uint64_t>(unit) * weight.slab_stride;
  for (int64_t byte = 0; byte < kFirstBytes; byte += 64) __builtin_prefetch(first + byte);
}

int64_t token_count(const LinearStep& step) {
  return step.rows.empty() ? step.x.rows() : static_cast<int64_t>(step.rows.size());
}

// Rows 2 t and 2 t + 1 become their sum, row t.
void add_parts(const Matrix& y, int64_t tokens, int64_t count) {
  for (int64_t t = 0; t < tokens; ++t) {
    const float* parts = y.data + 2 * t * y.stride;
    float* sum = y.data + t * y.stride;
    for (int64_t i = 0; i < count; ++i) sum[i] = parts[i] + parts[y.stride + i];
  }
}

template <class T>
T* as(const AlignedBuffer& buffer) {
  return reinterpret_cast<T*>(buffer.data());
}

}  // namespace

LinearRunner::LinearRunner(ThreadPool& pool, const Kernels& kernels, Activations activations)
    : pool_(pool),
      kernels_(kernels),
      activations_(activations),
      rows_(kernels, activations, pool.size()),
      threads_(pool.size()) {}

uint64_t LinearRunner::InputMemory::allocate(int64_t tokens, int64_t cols) {
  const auto padded = static_cast<uint64_t>(tokens + kTokenPadding - 1);
  const auto elements = padded * static_cast<uint64_t>(cols);
  codes = AlignedBuffer(elements);
  groups = AlignedBuffer(elements / kMinGroup * sizeof(InputGroup));
  normalized = AlignedBuffer(elements * sizeof(float));
  return codes.bytes() + groups.bytes() + normalized.bytes();
}

LinearRunner::Input LinearRunner::InputMemory::input() const {
  return {as<int8_t>(codes), as<InputGroup>(groups), as<float>(normalized), {}, nullptr};
}

uint64_t LinearRunner::reserve(const StepLimits& limits) {
  const int64_t rows = std::max(limits.tokens, 2 * limits.logit_rows);
  uint64_t bytes = shared_.allocate(rows, limits.input_cols);
  bytes += rows_.reserve(limits, kBlockTokens);
  for (ThreadMemory& memory : threads_) {
    bytes += memory.input.allocate(kAloneTokens, limits.input_cols);
    memory.row = AlignedBuffer(limits.input_cols * sizeof(float));
    memory.scratch = AlignedBuffer(kProductScratchBytes);
    for (AlignedBuffer& products : memory.products) {
      products = AlignedBuffer(kProductFloats * sizeof(float));
      bytes += products.bytes();
    }
    bytes += memory.row.bytes() + memory.scratch.bytes();
  }
  return bytes;
}

void LinearRunner::run(const LinearStep& step) {
  const int64_t tokens = token_count(step);
  if (tokens == 0) return;
  for (const Linear& linear : step.linears) {
    if (takes_module(*linear.weight, tokens)) rows_.load();
  }
  int64_t units = 0;
  for (size_t i = 0; i < unit_kinds(step); ++i) units += panel_count(*step.linears[i].weight);
  ++step_number_;
  const int64_t rows = tokens * parts_of(step);
  if (rows <= kAloneTokens) {
    return pool_.share(units, kStreamPanels, [&](int thread, Range part) {
      run_units(step, prepare_alone(step, part.begin, thread), part, {0, rows}, thread);
    });
  }
  const Input input = place_input(step, shared_);
  pool_.share(tokens, kPreparedTokens, [&](int thread, Range part) {
    for (int64_t t = part.begin; t < part.end; ++t) {
      prepare_row(step, t, input, as<float>(threads_[thread].row));
    }
  });
  run_pieces(step, input, units);
}

// A piece is some panels for a block of tokens.
void LinearRunner::run_pieces(const LinearStep& step, const Input& input, int64_t units) {
  const int64_t rows = token_count(step) * parts_of(step);
  const int64_t stripe = panels_at_once(step), stripes = ceil_divide(units, stripe);
  const int64_t block = rows_at_once(step, stripes);
  pool_.share(stripes * ceil_divide(rows, block), 1, [&](int thread, Range pieces) {
    for (int64_t i = pieces.begin; i < pieces.end; ++i) {
      const int64_t unit = i % stripes * stripe, row = i / stripes * block;
      run_units(step, input, {unit, std::min(units, unit + stripe)},
                {row, std::min(rows, row + block)}, thread);
    }
  });
}

bool LinearRunner::takes_codes(const Weight& weight) const {
  return activations_ == Activations::kInt8 && weight.dtype.layout == TensorLayout::kPanels;
}

int64_t LinearRunner::parts_of(const LinearStep& step) const {
  return step.two_parts && takes_codes(*step.linears[0].weight) ? 2 : 1;
}

bool LinearRunner::takes_module(const Weight& weight, int64_t tokens) const {
  return weight.dtype.layout == TensorLayout::kRows && tokens > RowMultiplier::kOwnTokens;
}

LinearRunner::Input LinearRunner::place_input(const LinearStep& step, const InputMemory& memory) {
  const int64_t tokens = token_count(step);
  const auto& linears = step.linears;
  const bool splits = std::any_of(linears.begin(), linears.end(), [&](const Linear& linear) {
    return takes_module(*linear.weight, tokens) &&
           rows_.takes_halves(*find_row_format(linear.weight->dtype), linear.weight->cols);
  });
  Input input = memory.input();
  if (splits) input.halves = rows_.halves();
  const auto codes = [&](const Linear& linear) { return takes_codes(*linear.weight); };
  if (std::none_of(linears.begin(), linears.end(), codes)) input.codes = nullptr;
  if (std::all_of(linears.begin(), linears.end(), codes)) input.normalized = nullptr;

  input.floats = {input.normalized, step.x.row_size()};
  if (!step.norm.present() && step.rows.empty()) {
    input.floats.data = step.x.data();
    input.normalized = nullptr;
  }
  return input;
}

// In the thread's own memory, once a step.
LinearRunner::Input LinearRunner::prepare_alone(const LinearStep& step, int64_t first_unit,
                                                int thread) {
  ThreadMemory& memory = threads_[thread];
  const Input input = place_input(step, memory.input);
  if (std::exchange(memory.prepared_step, step_number_) != step_number_) {
    prefetch_units(step, first_unit);
    for (int64_t t = 0; t < token_count(step); ++t) {
      prepare_row(step, t, input, as<float>(memory.row));
    }
  }
  return input;
}

void LinearRunner::prepare_row(const LinearStep& step, int64_t token, const Input& input,
                               float* row) {
  const int64_t cols = step.x.row_size();
  const float* x = step.x.row(step.rows.empty() ? token : step.rows[token]);
  if (input.normalized) row = input.normalized + token * cols;
  if (step.norm.present()) {
    normalize(kernels_, step.norm, x, cols, row);
    x = row;
  } else if (input.normalized) {
    std::memcpy(row, x, cols * sizeof(float));
  }
  if (input.halves) {
    uint16_t* halves = input.halves + 2 * token * cols;
    kernels_.split(x, cols, halves, halves + cols);
  }
  if (!input.codes) return;
  const auto& linears = step.linears;
  const auto coded = std::find_if(linears.begin(), linears.end(), [&](const Linear& linear) {
    return takes_codes(*linear.weight);
  });
  const int group = coded->weight->dtype.group;
  const int64_t parts = parts_of(step);
  int8_t* codes = input.codes + token * parts * cols;
  InputGroup* groups = input.groups + token * parts * (cols / group);
  kernels_.quantize(x, cols, group, codes, groups);
  if (parts == 1) return;
  for (int64_t k = 0; k < cols; ++k) {
    row[k] = x[k] - groups[k / group].scale * static_cast<float>(codes[k]);
  }
  kernels_.quantize(row, cols, group, codes + cols, groups + cols / group);
}

void LinearRunner::run_units(const LinearStep& step, const Input& input, Range units, Range rows,
                             int thread) {
  int64_t first = 0;
  for (size_t i = 0; i < unit_kinds(step); ++i) {
    const int64_t count = panel_count(*step.linears[i].weight);
    const Range panels{std::max<int64_t>(units.begin - first, 0),
                       std::min(units.end - first, count)};
    if (panels.begin < panels.end) run_panels(step, input, i, panels, rows, thread);
    first += count;
  }
}

void LinearRunner::run_panels(const LinearStep& step, const Input& input, size_t linear,
                              Range panels, Range rows, int thread) {
  const Linear& first = step.linears[linear];
  const int64_t parts = parts_of(step), tokens = (rows.end - rows.begin) / parts;
  const int64_t out_cols = first.weight->rows, col = panels.begin * kPanelRows;
  const auto products_of = [&](const Linear& factor, int which) {
    const Matrix y = multiply(*factor.weight, input, panels, rows, thread, which);
    if (parts == 2) add_parts(y, tokens, y.stride);
    return ConstMatrix{y.data, y.stride};
  };
  Finish finish{.tokens = tokens,
                .count = std::min(out_cols, panels.end * kPanelRows) - col,
                .y = products_of(first, 0),
                .bias = first.bias ? first.bias + col : nullptr,
                .out = {first.out + rows.begin / parts * out_cols + col, out_cols},
                .scale = step.scale,
                .softcap = step.softcap,
                .activation = step.activation};
  if (step.end == LinearEnd::kActivate) {
    if (step.linears.size() == 2) {
      const Linear& second = step.linears[1];
      finish.up = products_of(second, 1);
      finish.up_bias = second.bias ? second.bias + col : nullptr;
    }
    kernels_.activate(finish);
  } else if (step.end == LinearEnd::kAdd) {
    kernels_.add(finish);
  } else {
    kernels_.store(finish);
  }
}

// Of a piece's rows of input: as many as there is memory for, or fewer where that gives every
// thread enough pieces. Float weights stay whole: their module's results depend on the division.
int64_t LinearRunner::rows_at_once(const LinearStep& step, int64_t stripes) const {
  const int64_t tokens = token_count(step), rows = tokens * parts_of(step);
  const bool module =
      std::any_of(step.linears.begin(), step.linears.end(),
                  [&](const Linear& linear) { return takes_module(*linear.weight, tokens); });
  const int64_t wanted = ceil_divide(kEnoughPieces * pool_.size(), stripes);
  const int64_t blocks = module ? 1 : std::min(wanted, rows / kLeastRows);
  const int64_t even = ceil_divide(rows, std::max<int64_t>(blocks, 1));
  return std::min(kBlockTokens, ceil_divide(even, kEvenRows) * kEvenRows);
}

// With many tokens.
int64_t LinearRunner::panels_at_once(const LinearStep& step) const {
  const int64_t tokens = token_count(step);
  const bool module =
      std::all_of(step.linears.begin(), step.linears.end(),
                  [&](const Linear& linear) { return takes_module(*linear.weight, tokens); });
  return module ? rows_.rows_at_once(step.x.row_size()) / kPanelRows : kStripePanels;
}

Matrix LinearRunner::multiply(const Weight& weight, const Input& input, Range panels, Range tokens,
                              int thread, int which) {
  const ThreadMemory& memory = threads_[thread];
  const int64_t cols = weight.cols, count = tokens.end - tokens.begin;
  const Matrix y{as<float>(memory.products[which]), (panels.end - panels.begin) * kPanelRows};
  // Null where all weights take codes.
  const float* floats = input.floats.data ? input.floats.data + tokens.begin * cols : nullptr;
  const ConstMatrix x{floats, input.floats.stride};
  if (weight.dtype.layout == TensorLayout::kRows) {
    const int64_t row = panels.begin * kPanelRows;
    const Rows part{.format = *find_row_format(weight.dtype),
                    .cols = cols,
                    .first = weight.data + row * weight.slab_stride,
                    .count = std::min(weight.rows, panels.end * kPanelRows) - row};
    if (takes_module(weight, count)) {
      const uint16_t* halves = input.halves ? input.halves + 2 * tokens.begin * cols : nullptr;
      return rows_.multiply(part, x, halves, count, thread, which);
    }
    kernels_.multiply_rows(part, x, count, y);
    return y;
  }
  const Panels part{.format = format_of(weight.dtype),
                    .group = weight.dtype.group,
                    .cols = cols,
                    .first = weight.data + panels.begin * weight.slab_stride,
                    .stride = weight.slab_stride,
                    .count = panels.end - panels.begin};
  if (!takes_codes(weight)) {
    kernels_.multiply_decoded(part, x, count, y, memory.scratch.data());
    return y;
  }
  const int64_t groups = cols / weight.dtype.group;
  const CodedInput codes{input.codes + tokens.begin * cols, input.groups + tokens.begin * groups};
  if (count <= kernels_.few_tokens) {
    kernels_.multiply_few(part, codes, count, y);
  } else {
    kernels_.multiply_many(part, codes, count, y, memory.scratch.data());
  }
  return y;
}

}  // namespace mica::cpu
