// What bench/gpu.sh measures on one device: gpu-bench equality|kernels|models [--tiny], results as
// JSON. Rates only: the shares of the ceilings are gpu_report.py's.
#include <chrono>
#include <cstring>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>

#include "backends/cpu/cpu_backend.h"
#include "bench/gpu_device.h"
#include "bench/gpu_model.h"
#include "lib/base/error.h"
#include "lib/base/thread_pool.h"
#include "quant/weight_type.h"

namespace mica::bench {
namespace {

using Json = nlohmann::ordered_json;

double seconds_of(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<float> waves(int64_t count) {
  std::vector<float> values(count);
  for (int64_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>((i * 7919 + 13) % 2001 - 1000) / 500;
  }
  return values;
}

// One matrix and its operands in a backend's memory.
struct Placed {
  Placed(Backend& of, const DType& dtype, int64_t rows, int64_t cols, int64_t tokens)
      : backend(of), out_size(tokens * rows) {
    const auto bytes = random_panels(dtype, rows, cols, 1);
    weights = backend.allocate(bytes.size());
    backend.upload(bytes, weights->data());
    const std::vector<float> input = waves(tokens * cols);
    x = backend.allocate(input.size() * 4);
    backend.upload(std::as_bytes(std::span(input)), x->data());
    out = backend.allocate(out_size * 4);
    weight = {dtype, rows, cols, weights->data(), slab_stride(dtype, cols, "bench")};
    projection = {&weight, {}, {reinterpret_cast<float*>(out->data()), tokens, rows}};
    args = {.x = {reinterpret_cast<const float*>(x->data()), tokens, cols},
            .projections = {&projection, 1}};
    backend.reserve({.tokens = tokens, .input_cols = cols, .output_rows = rows});
  }
  Placed(const Placed&) = delete;
  Placed& operator=(const Placed&) = delete;

  void run() { backend.norm_linear(args); }
  std::vector<float> result() {
    std::vector<float> values(out_size);
    backend.download(out->data(), std::as_writable_bytes(std::span(values)));
    return values;
  }

  Backend& backend;
  int64_t out_size;
  std::unique_ptr<DeviceBuffer> weights, x, out;
  Weight weight;
  Projection projection;
  NormLinearArgs args;
};

std::vector<DType> dtypes() {
  std::vector<DType> all;
  for (const WeightType* type : weight_types()) {
    for (const int group : {32, 64, 128}) all.push_back(make_dtype(*type, group));
  }
  return all;
}

// Products of the device and of the CPU, bit by bit.
Json equality(Backend& device, bool tiny) {
  ThreadPool pool(2);
  const auto cpu = make_cpu_backend(pool, {});
  Json cases = Json::array();
  int64_t different = 0;
  for (const DType& dtype : dtypes()) {
    for (const int64_t tokens : {1, 3, 8, 33, 130}) {
      const int64_t rows = tiny ? 40 : 1000, cols = tiny ? 256 : 4096;
      Placed here(device, dtype, rows, cols, tokens), there(*cpu, dtype, rows, cols, tokens);
      here.run();
      there.run();
      const auto a = here.result(), b = there.result();
      const bool same = std::memcmp(a.data(), b.data(), a.size() * 4) == 0;
      if (!same) cases.push_back(dtype_name(dtype) + ", " + std::to_string(tokens) + " tokens");
      different += !same;
    }
  }
  return {{"cases", std::ssize(dtypes()) * 5}, {"different", different}, {"which", cases}};
}

// Seconds of one run: as many as take half a second, after one to warm up.
double time_of(Placed& placed, bool tiny) {
  const auto round = [&](int64_t runs) {
    return seconds_of([&] {
      for (int64_t i = 0; i < runs; ++i) placed.run();
      std::byte last[4];
      placed.backend.download(placed.out->data(), last);
    });
  };
  if (tiny) return round(1);
  const double once = round(1);
  const auto runs = std::max<int64_t>(3, static_cast<int64_t>(0.2 / std::max(once, 1e-5)));
  return std::min(round(runs), round(runs)) / static_cast<double>(runs);
}

Json kernels(Backend& device, bool tiny) {
  Json results = Json::array();
  for (const DType& dtype : dtypes()) {
    for (const int64_t tokens : {1, 2, 4, 8, 32, 512, 2048}) {
      const bool is_decode = tokens <= 8;
      // Weights beyond any cache, or an 8B model's feed-forward.
      const int64_t cols = tiny ? 128 : 4096;
      const int64_t rows = tiny ? 48 : is_decode ? 131072 : 14336;
      if (tiny && tokens > 32) continue;
      Placed placed(device, dtype, rows, cols, tokens);
      const double seconds = time_of(placed, tiny);
      results.push_back(
          {{"type", dtype_name(dtype)},
           {"tokens", tokens},
           {"rows", rows},
           {"cols", cols},
           {"seconds", seconds},
           {"bytes_per_second", static_cast<double>(placed.weights->bytes()) / seconds},
           {"operations_per_second", 2.0 * static_cast<double>(rows * cols * tokens) / seconds}});
    }
  }
  return results;
}

Json model_rates(Backend& device, const ModelShape& shape, const DType& dtype, bool tiny) {
  const int64_t prompt = tiny ? 20 : 2048, tokens = tiny ? 3 : 64, depth = tiny ? 24 : 4096;
  const int64_t held = tiny ? 1 : shape.layers;
  const uint64_t free_before = device.free_bytes();
  GpuModel model(device, shape, dtype, held, depth + tokens, prompt);
  const uint64_t taken = free_before - device.free_bytes();
  model.step(prompt, 0);  // to warm up, and so that the cache holds numbers
  const double prefill = seconds_of([&] { model.step(prompt, 0); });
  for (int64_t at = prompt; at < depth; at += prompt) model.step(std::min(prompt, depth - at), at);
  const auto decode_from = [&](int64_t position) {
    model.step(1, position);
    const double seconds = seconds_of([&] {
      for (int64_t i = 0; i < tokens; ++i) model.step(1, position + i);
    });
    return static_cast<double>(tokens) / seconds;
  };
  const double operations =
      2.0 * static_cast<double>(shape.layers * GpuModel::layer_bytes(shape, dtype)) /
      (bits_per_weight(dtype) / 8) * static_cast<double>(prompt);
  return {{"model", shape.name},
          {"type", dtype_name(dtype)},
          {"weight_bytes", model.weight_bytes()},
          {"prefill_tokens", prompt},
          {"prefill_tokens_per_second", static_cast<double>(prompt) / prefill},
          {"prefill_operations_per_second", operations / prefill},
          {"decode_tokens_per_second", decode_from(1)},
          {"decode_tokens_per_second_at_depth", decode_from(depth)},
          {"depth", depth},
          {"asked_bytes", model.asked_bytes()},
          {"taken_bytes", taken}};
}

Json models(Backend& device, bool tiny) {
  const ModelShape shapes[] = {{"1b", 16, 2048, 32, 8, 64, 8192, 128256},
                               {"8b", 32, 4096, 32, 8, 128, 14336, 128256},
                               {"70b", 80, 8192, 64, 8, 128, 28672, 128256}};
  if (tiny)
    return {model_rates(device, {"tiny", 2, 64, 4, 2, 32, 128, 96}, parse_dtype("q4g32"), tiny)};
  Json results = Json::array();
  for (const ModelShape& shape : shapes) {
    for (const char* type : {"q4g32", "q4g64", "q8g32"}) {
      if (shape.name == "70b" && std::string_view(type) != "q4g64") continue;
      try {
        results.push_back(model_rates(device, shape, parse_dtype(type), tiny));
      } catch (const std::bad_alloc&) {
        results.push_back(
            {{"model", shape.name}, {"type", type}, {"error", "device memory is full"}});
      }
    }
  }
  return results;
}

int run(const std::string& what, bool tiny) {
  const auto device = open_device(Activations::kInt8);
  Json result{{"device", device->name()}};
  if (what == "equality") {
    result["equality"] = equality(*device, tiny);
  } else if (what == "kernels") {
    result["kernels"] = kernels(*device, tiny);
  } else if (what == "models") {
    result["models"] = models(*device, tiny);
  } else {
    throw Error(ErrorCode::kUsage, "expected equality, kernels or models, found '" + what + "'");
  }
  std::cout << result.dump(1) << std::endl;
  return what == "equality" && result["equality"]["different"] != 0;
}

}  // namespace
}  // namespace mica::bench

int main(int argc, char** argv) {
  try {
    return mica::bench::run(argc > 1 ? argv[1] : "", argc > 2 && std::string(argv[2]) == "--tiny");
  } catch (const std::exception& error) {
    std::cerr << "gpu-bench: " << error.what() << "\n";
    return 1;
  }
}
