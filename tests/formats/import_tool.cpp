// Shows what the importers make of a source, for the comparisons with Python's gguf and
// safetensors:
//   import-tool model SOURCE        everything but the weights, as JSON
//   import-tool floats SOURCE       the floats of all tensors in the order of "tensors", raw
//   import-tool grid SOURCE         the same by way of read_grid, of tensors that have a grid
//   import-tool time SOURCE         seconds to read every tensor once, on its grid where it has one
//   import-tool safetensors FILE... one line a file: its tensors as JSON, or the refusal
// Exit code 1 with a sentence on stderr for errors.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "formats/importer.h"
#include "formats/safetensors.h"
#include "lib/base/error.h"
#include "lib/base/mapped_file.h"

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

void to_floats(const GridRows& grid, float* out) {
  for (size_t i = 0; i < grid.codes.size(); ++i) {
    const size_t group = i / static_cast<size_t>(grid.kind.group);
    out[i] = grid.scales[group] * static_cast<float>(grid.codes[i] - grid.kind.bias);
    if (grid.kind.has_minimum) out[i] += grid.minimums[group];
  }
}

void stream_tensors(const Importer& importer, bool on_grid) {
  const auto& tensors = importer.model().tensors;
  std::vector<float> values;
  GridRows grid;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (on_grid && tensors[i].grid.bits == 0) continue;
    for (int64_t first = 0; first < tensors[i].rows; first += kRowsAtOnce) {
      const int64_t rows = std::min(kRowsAtOnce, tensors[i].rows - first);
      values.resize(static_cast<size_t>(rows * tensors[i].cols));
      if (on_grid) {
        importer.read_grid(i, first, rows, grid);
        to_floats(grid, values.data());
      } else {
        importer.read_floats(i, first, rows, values.data());
      }
      if (std::fwrite(values.data(), sizeof(float), values.size(), stdout) != values.size()) {
        throw Error(ErrorCode::kRuntime, "stdout: cannot write");
      }
    }
  }
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
  std::printf("%.3f\n", seconds.count());
}

void print_safetensors(const std::string& path) {
  Json line = Json::object();
  try {
    const MappedFile file = MappedFile::open(path);
    Json tensors = Json::object();
    for (const SafeTensor& tensor : parse_safetensors(file.bytes(), path)) {
      Json shape = Json::array();
      for (const int64_t dim : tensor.dims) shape.push_back(dim);
      tensors[tensor.name] = Json::object({{"dtype", tensor.type},
                                           {"shape", shape},
                                           {"begin", tensor.data.data() - file.bytes().data()},
                                           {"bytes", uint64_t{tensor.data.size()}}});
    }
    line["tensors"] = std::move(tensors);
  } catch (const Error& error) {
    line["refused"] = error.message();
  }
  std::puts(line.dump().c_str());
}

void run(const std::string& command, const std::vector<std::string>& sources) {
  if (command == "safetensors") {
    for (const std::string& path : sources) print_safetensors(path);
    return;
  }
  const auto importer = open_source(sources.at(0), {});
  if (command == "model") print_model(*importer);
  if (command == "floats" || command == "grid") stream_tensors(*importer, command == "grid");
  if (command == "time") time_reading(*importer);
}

}  // namespace
}  // namespace mica

int main(int count, char** arguments) {
  try {
    if (count < 3) throw mica::Error(mica::ErrorCode::kUsage, "import-tool COMMAND SOURCE");
    mica::run(arguments[1], {arguments + 2, arguments + count});
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
