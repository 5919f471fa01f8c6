#include "backends/cuda/products.h"

#include <algorithm>

#include "backends/cuda/kernels/launchers.h"
#include "lib/base/error.h"
#include "quant/weight_type.h"

namespace mica::cuda {
namespace {

// From here on tiles of two panels a warp: fewer tokens would leave most of a tile's columns empty.
constexpr int64_t kLargeTileTokens = 48;

Format format_of(const DType& dtype) {
  if (dtype == kF32) return Format::kF32;
  if (dtype == kF16) return Format::kF16;
  if (dtype == kBF16) return Format::kBF16;
  return dtype.offset_bytes == 1   ? Format::kQ4
         : dtype.offset_bytes == 2 ? Format::kQ4m
         : dtype.code_bits == 8    ? Format::kQ8
                                   : Format::kQ4s;
}

unsigned blocks(int64_t count, int64_t a_block) {
  return static_cast<unsigned>((count + a_block - 1) / a_block);
}

class Multiplier {
 public:
  Multiplier(const Session& session, const ProductInput& input, const Weight& first)
      : session_(session),
        input_(input),
        tokens_(static_cast<int32_t>(input.tokens)),
        cols_(static_cast<int32_t>(first.cols)) {}

  void run(std::span<const Product> products);

 private:
  bool is_integer(const Weight& weight) const {
    return weight.dtype.group > 0 && session_.activations == Activations::kInt8;
  }
  // Float weights other than bf16 would lose bits.
  bool takes_gemm(const Weight& weight) const {
    return session_.gemm && session_.gemm_tokens > 0 && input_.tokens >= session_.gemm_tokens &&
           (is_integer(weight) || weight.dtype == kBF16) && weight.cols % 8 == 0;
  }

  LaunchShape shape(unsigned x, unsigned y, int shared_bytes) const {
    return {.stream = session_.stream, .x = x, .y = y, .shared_bytes = shared_bytes};
  }
  void prepare_codes(int group);
  void prepare_floats();
  void prepare_bf16();
  void prepare(PrepareArgs args);

  void stream(std::span<const Product> products);
  void multiply_tiles(const Product& product);
  void tile_part(const Product& product, const CodedInput& input, EndKind kind);
  void multiply_floats(const Product& product);
  bool multiply_bf16(const Product& product);

  const Session& session_;
  const ProductInput& input_;
  int32_t tokens_, cols_;
  enum class Prepared { kNothing, kCodes, kFloats, kBF16 } prepared_ = Prepared::kNothing;
};

void Multiplier::prepare(PrepareArgs args) {
  args.x = input_.x;
  args.rows = input_.rows;
  args.cols = cols_;
  args.norm = input_.norm;
  // Where a norm needs the whole row, one block has it; else as many as are useful.
  args.cols_a_block = args.norm.weight ? cols_ : prepare_columns();
  session_.driver.use();
  launch_prepare(shape(tokens_, blocks(cols_, args.cols_a_block), prepare_shared_bytes()), args);
  session_.driver.check_launch("prepare");
}

void Multiplier::prepare_codes(int group) {
  if (prepared_ == Prepared::kCodes) return;
  PrepareArgs args;
  args.group = group;
  args.coded = session_.space.coded;
  if (input_.two_parts) {
    const int64_t codes = input_.tokens * cols_, groups = codes / group;
    args.second = {args.coded.codes + codes, args.coded.scales + groups, args.coded.sums + groups};
  }
  prepare(args);
  prepared_ = Prepared::kCodes;
}

void Multiplier::prepare_floats() {
  if (prepared_ == Prepared::kFloats) return;
  PrepareArgs args;
  args.floats = session_.space.floats;
  prepare(args);
  prepared_ = Prepared::kFloats;
}

void Multiplier::prepare_bf16() {
  if (prepared_ == Prepared::kBF16) return;
  PrepareArgs args;
  args.bf16 = session_.space.bf16;
  prepare(args);
  prepared_ = Prepared::kBF16;
}

// Matrices of one format in one launch.
void Multiplier::stream(std::span<const Product> products) {
  const int64_t columns = input_.two_parts ? 2 * input_.tokens : input_.tokens;
  StreamArgs args;
  args.tokens = static_cast<int32_t>(columns);
  args.two_parts = input_.two_parts;
  args.input = session_.space.coded;
  int32_t panels = 0;
  for (const Product& product : products) {
    args.targets[args.count++] = {matrix_of(*product.weight), product.end, panels};
    panels += static_cast<int32_t>((product.weight->rows + kPanel - 1) / kPanel);
  }
  const Format format = args.targets[0].matrix.format;
  const int width = columns == 1 ? 1 : columns == 2 ? 2 : columns <= 4 ? 4 : 8;
  session_.driver.use();
  launch_stream(shape(panels, 1, stream_shared_bytes(format, width)), format, width, args);
  session_.driver.check_launch("stream");
}

void Multiplier::tile_part(const Product& product, const CodedInput& input, EndKind kind) {
  TileArgs args;
  args.matrix = matrix_of(*product.weight);
  args.end = product.end;
  args.end.kind = kind;
  args.tokens = tokens_;
  args.input = input;
  const bool large = input_.tokens >= kLargeTileTokens;
  session_.driver.use();
  launch_tile(shape(blocks(tokens_, tile_tokens(large)),
                    blocks(product.weight->rows, tile_rows(large)), tile_shared_bytes(large)),
              args.matrix.format, large, args);
  session_.driver.check_launch("tile");
}

void Multiplier::multiply_tiles(const Product& product) {
  const CodedInput& first = session_.space.coded;
  if (!input_.two_parts) return tile_part(product, first, product.end.kind);
  const int64_t codes = input_.tokens * cols_, groups = codes / product.weight->dtype.group;
  tile_part(product, first, EndKind::kStore);
  tile_part(product, {first.codes + codes, first.scales + groups, first.sums + groups},
            EndKind::kSecondPart);
}

void Multiplier::multiply_floats(const Product& product) {
  FloatProductArgs args;
  args.matrix = matrix_of(*product.weight);
  args.end = product.end;
  args.x = session_.space.floats;
  args.tokens = tokens_;
  session_.driver.use();
  if (input_.tokens <= kMostColumns && !is_panel(args.matrix.format)) {
    launch_float_rows(shape(blocks(product.weight->rows, 8), 1, 0), tokens_ == 1 ? 1 : 8, args);
  } else {
    const int tile = float_tile_size();
    launch_float_tile(
        shape(blocks(product.weight->rows, tile), blocks(tokens_, tile), float_tile_shared_bytes()),
        args);
  }
  session_.driver.check_launch("float product");
}

// In pieces of the matrix. False where the library refuses the shape, before anything was written.
bool Multiplier::multiply_bf16(const Product& product) {
  const Workspace& space = session_.space;
  const Matrix matrix = matrix_of(*product.weight);
  const bool is_bf16 = matrix.format == Format::kBF16 && matrix.stride == 2 * uint64_t(cols_);
  int64_t piece = std::min(space.weight_elements / cols_, space.product_elements / tokens_);
  piece = std::min<int64_t>(piece / kPanel * kPanel, matrix.rows);
  for (int64_t first = 0; first < matrix.rows; first += piece) {
    const auto count = static_cast<int32_t>(std::min(piece, matrix.rows - first));
    const auto* weights = reinterpret_cast<const uint16_t*>(matrix.data) + first * cols_;
    session_.driver.use();
    if (!is_bf16) {
      launch_decode_panels(shape(blocks(cols_, 256), blocks(count, kPanel), 0),
                           {matrix, static_cast<int32_t>(first), count, space.weights});
      session_.driver.check_launch("decode_panels");
      weights = space.weights;
    }
    if (!session_.gemm->multiply({tokens_, count, cols_}, space.bf16, weights, space.products,
                                 space.gemm, session_.stream)) {
      if (first == 0) return false;
      throw Error(ErrorCode::kRuntime,
                  "cuda: " + session_.driver.device_name() + ": cuBLASLt refused a product of " +
                      std::to_string(tokens_) + " tokens by [" + std::to_string(count) + ", " +
                      std::to_string(cols_) + "]");
    }
    launch_finish(shape(blocks(count, 256), tokens_, 0),
                  {space.products, tokens_, static_cast<int32_t>(first), count, product.end});
    session_.driver.check_launch("finish");
  }
  return true;
}

void Multiplier::run(std::span<const Product> products) {
  for (size_t i = 0; i < products.size();) {
    const Weight& weight = *products[i].weight;
    if (takes_gemm(weight)) {
      prepare_bf16();
      if (multiply_bf16(products[i])) {
        ++i;
        continue;
      }
    }
    if (!is_integer(weight)) {
      prepare_floats();
      multiply_floats(products[i++]);
      continue;
    }
    prepare_codes(weight.dtype.group);
    const int64_t columns = input_.two_parts ? 2 * input_.tokens : input_.tokens;
    if (columns > kMostColumns) {
      multiply_tiles(products[i++]);
      continue;
    }
    // A gate is read by the product after it: launches of their own.
    size_t end = i + 1;
    while (end < products.size() && end - i < 3 && products[end].weight->dtype == weight.dtype &&
           products[end].end.kind == EndKind::kStore) {
      ++end;
    }
    stream(products.subspan(i, end - i));
    i = end;
  }
}

}  // namespace

NormArgs norm_args(const Norm& norm) {
  return {norm.kind == NormKind::kLayer, norm.epsilon, norm.weight.data(), norm.bias.data()};
}

Matrix matrix_of(const Weight& weight) {
  return {.format = format_of(weight.dtype),
          .group = weight.dtype.group,
          .rows = static_cast<int32_t>(weight.rows),
          .cols = static_cast<int32_t>(weight.cols),
          .data = weight.data,
          .stride = weight.slab_stride};
}

void multiply(const Session& session, const ProductInput& input,
              std::span<const Product> products) {
  if (input.tokens == 0 || products.empty()) return;
  Multiplier(session, input, *products[0].weight).run(products);
}

}  // namespace mica::cuda
