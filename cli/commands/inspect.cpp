// mica inspect: what is in a .mica file, drawn as formats/FORMAT.md draws it.
#include <cmath>
#include <fmt/core.h>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "formats/reader.h"
#include "quant/weight_type.h"

namespace mica::cli {
namespace {

struct Options {
  OutputOptions output;
  std::string path;
  bool tensors = false;
  bool chat_template = false;
};

Json describe(const TensorRecord& tensor) {
  Json record = Json::object({
      {"name", tensor.name},
      {"role",
       role_name(tensor.role) ? Json(role_name(tensor.role)) : Json(static_cast<int>(tensor.role))},
      {"layer", tensor.layer == kNoLayer ? Json() : Json(tensor.layer)},
      {"dtype", dtype_name(tensor.dtype)},
      {"group", int64_t{tensor.dtype.group}},
      {"shape", Json::Array{Json(tensor.rows), Json(tensor.cols)}},
      {"offset", Json(tensor.offset)},
      {"bytes", Json(tensor.bytes)},
      {"hash", tensor.hash.hex()},
  });
  if (std::isfinite(tensor.relative_error)) {
    record["relative_error"] = double{tensor.relative_error};
  }
  return record;
}

Json describe(const MicaFile& file) {
  Json tensors = Json::array();
  for (const TensorRecord& tensor : file.tensors()) tensors.push_back(describe(tensor));
  return Json::object({{"format_version", int64_t{file.version()}},
                       {"file_bytes", Json(file.file_bytes())},
                       {"model", file.metadata()["model"]},
                       {"metadata", file.metadata()},
                       {"tensors", std::move(tensors)}});
}

void print_tensors(const MicaFile& file) {
  fmt::print("\n{:<24} {:<8} {:>16} {:>12} {:>12}  {}\n", "tensor", "type", "shape", "offset",
             "bytes", "error");
  std::vector<const TensorRecord*> in_order;
  for (const TensorRecord& tensor : file.tensors()) in_order.push_back(&tensor);
  std::sort(in_order.begin(), in_order.end(),
            [](const auto* a, const auto* b) { return a->offset < b->offset; });
  for (const TensorRecord* tensor : in_order) {
    fmt::print("{:<24} {:<8} {:>16} {:>12} {:>12}  {}\n", tensor->name, dtype_name(tensor->dtype),
               fmt::format("[{}, {}]", tensor->rows, tensor->cols), tensor->offset, tensor->bytes,
               std::isfinite(tensor->relative_error) ? fmt::format("{:.2g}", tensor->relative_error)
                                                     : "-");
  }
}

void print_segments(const MicaFile& file) {
  fmt::print("\nsegments\n");
  for (const Segment& segment : file.segments()) {
    const std::string name =
        segment.layer == kNoLayer ? "outside of layers" : fmt::format("layer {}", segment.layer);
    fmt::print("  {:>12} .. {:>12}  {:>10}  {}\n", segment.offset, segment.offset + segment.bytes,
               human_bytes(segment.bytes), name);
  }
}

void print_summary(const MicaFile& file) {
  const Json& metadata = file.metadata();
  fmt::print("{}: .mica version {}, {}, {} tensors\n", file.path(), file.version(),
             human_bytes(file.file_bytes()), file.tensors().size());
  for (const char* key : {"model", "special_tokens", "generation", "source", "conversion"}) {
    for (const auto& [name, value] :
         metadata[key].is_object() ? metadata[key].as_object() : Json::Object{}) {
      fmt::print("  {:<36} {}\n", fmt::format("{}.{}", key, name), value.dump());
    }
  }
  fmt::print("  {:<36} {}\n", "tokenizer", human_bytes(file.tokenizer_image().size()));
  fmt::print("  {:<36} {}\n", "chat_template",
             metadata["chat_template"].is_null()
                 ? "none: `mica chat` needs --chat-template"
                 : "from " + metadata["chat_template_source"].as_string());
}

int run(const Options& options) {
  const MicaFile file = MicaFile::open(options.path);
  if (options.output.json) {
    fmt::print("{}\n", describe(file).dump());
    return MICA_OK;
  }
  if (options.chat_template) {
    const Json& chat_template = file.metadata()["chat_template"];
    fmt::print("{}\n", chat_template.is_null() ? "" : chat_template.as_string());
    return MICA_OK;
  }
  print_summary(file);
  print_segments(file);
  if (options.tensors) print_tensors(file);
  return MICA_OK;
}

std::function<int()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("FILE", options->path, "A .mica file")->required()->type_name("");
  app.add_flag("--tensors", options->tensors, "List every tensor");
  app.add_flag("--chat-template", options->chat_template, "Print the chat template alone");
  declare_output(app, options->output);
  return [options] { return run(*options); };
}

}  // namespace

extern const Command kCommand_inspect;
const Command kCommand_inspect = {"inspect", "Show what is in a .mica file",
                                  "  mica inspect model.mica\n"
                                  "  mica inspect model.mica --tensors\n"
                                  "  mica inspect model.mica --json",
                                  &declare};

}  // namespace mica::cli
