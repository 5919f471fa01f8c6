// Shows what an importer makes of a source, for the comparisons with Python's gguf and safetensors:
//   import-tool SOURCE model              everything but the weights, as JSON
//   import-tool SOURCE floats NAME FILE   the tensor's floats, row by row
//   import-tool SOURCE grid NAME FILE     the same through read_grid: scale * (code - bias) +
//   minimum import-tool SOURCE time               reads every tensor once, on its grid where it has
//   one
// NAME is "attn.q 3" or "embedding": role and layer. Exit code 1 with a sentence on stderr for
// errors.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "formats/importer.h"
#include "lib/base/error.h"
#include "lib/base/output_file.h"

namespace mica {
namespace {

constexpr int64_t kRowsAtOnce = 7;  // odd on purpose: pieces must not matter

Json describe(const SourceTensor& tensor) {
  return Json::object({{"name", tensor_name(tensor.role, tensor.layer)},
                       {"source_name", tensor.source_name},
                       {"type", tensor.source_type},
                       {"rows", tensor.rows},
                       {"cols", tensor.cols},
                       {"grid_bits", tensor.grid.bits},
                       {"is_float", tensor.is_float()}});
}

void print_model(const Importer& importer) {
  const ImportedModel& model = importer.model();
  Json tensors = Json::array();
  for (const SourceTensor& tensor : model.tensors) tensors.push_back(describe(tensor));
  Json notes = Json::array();
  for (const std::string& note : model.notes) notes.push_back(note);
  Json json = Json::object({{"kind", model.kind},
                            {"name", model.name},
                            {"config", model.config},
                            {"generation", model.generation},
                            {"special_tokens", model.special_tokens},
                            {"chat_template", model.chat_template},
                            {"chat_template_source", model.chat_template_source},
                            {"notes", std::move(notes)},
                            {"bytes", importer.source_bytes()},
                            {"hash", importer.hash({}).hex()}});
  json["tensors"] = std::move(tensors);
  json["tokenizer_json"] = model.tokenizer_json;
  std::puts(json.dump().c_str());
}

std::vector<float> read_tensor(const Importer& importer, size_t index, bool on_grid) {
  const SourceTensor& tensor = importer.model().tensors[index];
  std::vector<float> values(static_cast<size_t>(tensor.rows * tensor.cols));
  GridRows grid;
  for (int64_t first = 0; first < tensor.rows; first += kRowsAtOnce) {
    const int64_t rows = std::min(kRowsAtOnce, tensor.rows - first);
    float* out = values.data() + first * tensor.cols;
    if (!on_grid) {
      importer.read_floats(index, first, rows, out);
      continue;
    }
    importer.read_grid(index, first, rows, grid);
    for (size_t i = 0; i < grid.codes.size(); ++i) {
      const size_t group = i / grid.kind.group;
      out[i] = grid.scales[group] * static_cast<float>(grid.codes[i] - grid.kind.bias);
      if (grid.kind.has_minimum) out[i] += grid.minimums[group];
    }
  }
  return values;
}

void write_tensor(const Importer& importer, const std::string& name, bool on_grid,
                  const std::string& path) {
  const auto& tensors = importer.model().tensors;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensor_name(tensors[i].role, tensors[i].layer) != name) continue;
    const std::vector<float> values = read_tensor(importer, i, on_grid);
    OutputFile file(path);
    file.write(std::as_bytes(std::span(values)));
    file.commit();
    return;
  }
  throw Error(ErrorCode::kUsage, "no tensor '" + name + "'");
}

void time_reading(const Importer& importer) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<float> floats;
  GridRows grid;
  const auto& tensors = importer.model().tensors;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].grid.bits > 0) {
      importer.read_grid(i, 0, tensors[i].rows, grid);
    } else {
      floats.resize(static_cast<size_t>(tensors[i].rows * tensors[i].cols));
      importer.read_floats(i, 0, tensors[i].rows, floats.data());
    }
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%.3f s\n", seconds.count());
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.size() < 2)
    throw Error(ErrorCode::kUsage, "import-tool SOURCE model|floats|grid|time ...");
  const auto importer = open_source(arguments[0], [](LogLevel, std::string_view text) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
  });
  const std::string& command = arguments[1];
  if (command == "model") print_model(*importer);
  if (command == "time") time_reading(*importer);
  if (command == "floats" || command == "grid") {
    write_tensor(*importer, arguments.at(2), command == "grid", arguments.at(3));
  }
  return 0;
}

}  // namespace
}  // namespace mica

int main(int count, char** arguments) {
  try {
    return mica::run({arguments + 1, arguments + count});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
