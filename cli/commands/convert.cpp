// mica convert: a GGUF file, a Hugging Face folder, a cache name or a .mica file becomes a .mica
// file or a Hugging Face folder.
#include <cmath>
#include <fmt/core.h>
#include <map>
#include <optional>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "lib/base/json.h"
#include "lib/base/output_file.h"

namespace mica::cli {
namespace {

struct Options {
  OutputOptions output;
  EngineOptions engine;
  std::string source;
  std::string destination;
  std::string quant = "keep";
  std::string embedding_quant;
  std::string report_file;
  std::string to = "mica";
  int64_t shard_bytes = 0;
  bool dry_run = false;
  // A file; "default": the text that comes with Mica; "random": tokens; empty: no calibration.
  std::string calibrate;
  std::string calibration_text;
  std::string recipe_file;
  std::string recipe;
  double target_bits = 0;
  std::string effort;
  bool awq = false;
  int64_t calibration_tokens = 0;
  bool resume = false;
};

// One line a weight type: how many tensors, how many bytes, the largest relative error.
void print_types(const Json& report) {
  struct Sum {
    int64_t tensors = 0;
    int64_t bytes = 0;
    double error = -1;  // not measured: a dry run
  };
  std::map<std::string, Sum> sums;
  for (const Json& tensor : report["tensors"].as_array()) {
    Sum& sum = sums[fmt::format("{} -> {}", tensor["source_type"].as_string(),
                                tensor["dtype"].as_string())];
    ++sum.tensors;
    sum.bytes += tensor["bytes"].as_integer();
    if (!tensor["relative_error"].is_null()) {
      sum.error = std::max(sum.error, tensor["relative_error"].as_number());
    }
  }
  for (const auto& [name, sum] : sums) {
    fmt::print(stderr, "  {:<20} {:>5} tensors {:>10}", name, sum.tensors,
               human_bytes(static_cast<uint64_t>(sum.bytes)));
    if (sum.error >= 0) fmt::print(stderr, "  relative error at most {:.2g}", sum.error);
    fmt::print(stderr, "\n");
  }
}

// The errors of the products, a line a role: geometric means over the layers.
void print_calibration(const Json& report) {
  struct Sum {
    int count = 0;
    double nearest = 0, end = 0;
  };
  std::map<std::string, Sum> sums;
  for (const Json& tensor : report["tensors"].as_array()) {
    if (tensor["output_error"].is_null() || tensor["output_error"].as_number() <= 0) continue;
    const std::string& name = tensor["name"].as_string();
    Sum& sum = sums[name.substr(name.find('.', name.find('.') + 1) + 1)];
    ++sum.count;
    sum.nearest += std::log(tensor["nearest_error"].as_number());
    sum.end += std::log(tensor["output_error"].as_number());
  }
  if (sums.empty()) return;
  fmt::print(stderr, "  error of the output   nearest  calibrated\n");
  for (const auto& [name, sum] : sums) {
    fmt::print(stderr, "  {:<20} {:>8.4f} {:>11.4f}\n", name, std::exp(sum.nearest / sum.count),
               std::exp(sum.end / sum.count));
  }
  const Json& held_out = report["held_out"];
  if (held_out.is_null()) return;
  fmt::print(stderr, "  KL of the layers from the source's, {} positions held out: {:.4f}\n",
             held_out["positions"].as_integer(), held_out["mean_kl"].as_number());
}

void print_report(const Options& options, const Json& report) {
  for (const Json& sentence : report["substitutions"].as_array()) {
    fmt::print(stderr, "  substituted: {}\n", sentence.as_string());
  }
  for (const Json& sentence : report["notes"].as_array()) {
    fmt::print(stderr, "  note: {}\n", sentence.as_string());
  }
  print_types(report);
  print_calibration(report);
  fmt::print(stderr, "{} {}: {}, {:.2f} bits a weight in the layers, {:.2f} in all, {}\n",
             options.dry_run ? "Would write" : "Wrote", options.destination,
             human_bytes(static_cast<uint64_t>(report["bytes"].as_integer())),
             report["bits_per_weight"]["body"].as_number(),
             report["bits_per_weight"]["whole"].as_number(),
             human_seconds(report["seconds"].as_number()));
}

// The result borrows strings of `options`.
mica_convert_options to_request(Options& options) {
  mica_convert_options request;
  mica_convert_options_init(&request);
  request.quant = options.quant.c_str();
  if (!options.embedding_quant.empty()) request.embedding_quant = options.embedding_quant.c_str();
  request.dry_run = options.dry_run;
  request.to = options.to.c_str();
  request.shard_bytes = static_cast<uint64_t>(options.shard_bytes);
  request.calibrate = options.calibrate == "default" ? 1 : options.calibrate == "random" ? 2 : 0;
  if (!options.calibrate.empty() && !request.calibrate) {
    options.calibration_text = read_input(options.calibrate);
    request.calibration_text = options.calibration_text.data();
    request.calibration_text_size = options.calibration_text.size();
    request.calibration_name = options.calibrate.c_str();
  }
  if (!options.recipe_file.empty()) {
    options.recipe = read_input(options.recipe_file);
    request.recipe = options.recipe.data();
    request.recipe_size = options.recipe.size();
    request.recipe_name = options.recipe_file.c_str();
  }
  request.target_bits = options.target_bits;
  if (!options.effort.empty()) request.effort = options.effort.c_str();
  request.awq = options.awq;
  request.calibration_tokens = options.calibration_tokens;
  request.resume = options.resume;
  return request;
}

int run(Options& options) {
  const api::Engine engine(to_api(options.engine, options.output));
  const mica_convert_options request = to_request(options);
  std::optional<OutputFile> report_file;  // tried before the work is done
  if (!options.report_file.empty()) report_file.emplace(options.report_file);
  std::string json;
  {
    // Calibration does not go by bytes.
    const bool by_bytes = options.calibrate.empty() && options.target_bits == 0;
    ProgressBar bar("Converting", by_bytes ? ProgressBar::Unit::kBytes : ProgressBar::Unit::kShare,
                    options.output.quiet);
    const InterruptHandler on_interrupt({});
    json = engine.convert(options.source, options.destination, request,
                          [&](uint64_t done, uint64_t total) {
                            bar.update(done, total);
                            return InterruptHandler::count() == 0;
                          });
  }
  const Json report = Json::parse(json, "report");
  if (report_file) {
    report_file->write(as_bytes(report.dump(2) + "\n"));
    report_file->commit();
  }
  if (options.output.json) fmt::print("{}\n", json);
  if (!options.output.quiet) print_report(options, report);
  return MICA_OK;
}

// What becomes of the weights.
void declare_types(CLI::App& app, Options& options) {
  app.add_option(
      "--quant", options.quant,
      "keep (quantized sources and .mica files keep their types, floats become q4g32), "
      "or a type for the layers: q4g32, q4g64, q4sg32, q4mg32, q8g32, f16, bf16, f32, ...");
  app.add_option("--embedding-quant", options.embedding_quant,
                 "Type of embedding and head (default: q8g32 with quantized layers)");
  app.add_option("--recipe", options.recipe_file,
                 "Types of single tensors: lines like \"layers.0.ffn.down q8g32\" or "
                 "\"layers.*.attn.* q4g64\"; later lines win, and all win over --quant and "
                 "--target-bpw")
      ->type_name("FILE");
  app.add_option("--target-bpw", options.target_bits,
                 "Bits a weight of the layers, in place of --quant: q4 or q8 and a group for each "
                 "part, by how much the model suffers when that part is rounded")
      ->check(real_number(1, 16));
}

void declare_calibration(CLI::App& app, Options& options) {
  app.add_option(
         "--calibrate", options.calibrate,
         "Quantize the layers with what a text makes their inputs: a file, \"default\" (also "
         "without a value) for the text that comes with Mica, or \"random\" for tokens "
         "drawn by chance")
      ->expected(0, 1)
      ->default_str("default")
      ->type_name("[FILE]");
  app.add_option(
         "--effort", options.effort,
         "With --calibrate: search (scales alone), gptq, or full (coordinate descent too, the "
         "default)")
      ->check(CLI::IsMember({"search", "gptq", "full"}));
  app.add_flag("--awq", options.awq,
               "With --calibrate: scale the channels of inputs before, folded into norms");
  app.add_option("--calibration-tokens", options.calibration_tokens,
                 "With --calibrate: at most so many tokens of the text (default: 16384)")
      ->check(whole_number(1));
  app.add_flag("--resume", options.resume,
               "With --calibrate: go on where an interrupted conversion to the same OUTPUT "
               "stopped, with the layers kept in OUTPUT.calibration");
}

std::function<int()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("SOURCE", options->source,
                 "A .gguf or .mica file, a Hugging Face model folder, or a cache name "
                 "ORG/NAME[@REVISION]")
      ->required()
      ->type_name("");
  app.add_option("OUTPUT", options->destination,
                 "The .mica file to write, or with --to hf the new folder")
      ->required()
      ->type_name("");
  declare_types(app, *options);
  declare_calibration(app, *options);
  app.add_option(
         "--to", options->to,
         "mica, or hf: a folder for other programs, quantized weights as bf16; a folder that "
         "is not empty is refused")
      ->type_name("FORMAT");
  app.add_option_function<std::string>(
         "--shard-size",
         [options](const std::string& text) { options->shard_bytes = parse_size(text); },
         "Bytes of a weight file of the folder (default: 5 GB)")
      ->type_name("SIZE");
  app.add_flag("--dry-run", options->dry_run, "Say what would be written, write nothing");
  app.add_option("--report", options->report_file, "Write the report as JSON to this file")
      ->type_name("FILE");
  declare_threads(app, options->engine.threads, "Threads; the result does not depend on them");
  declare_output(app, options->output);
  return [options] { return run(*options); };
}

}  // namespace

extern const Command kCommand_convert;
const Command kCommand_convert = {
    "convert", "Turn a GGUF file or a Hugging Face model into a .mica file, or one back",
    "  mica convert SmolLM2-135M-Instruct.Q4_1.gguf smollm2.mica\n"
    "  mica convert ~/models/Llama-3.2-1B llama.mica --quant q4g64\n"
    "  mica convert HuggingFaceTB/SmolLM2-135M-Instruct smollm2.mica --quant q8g32\n"
    "  mica convert f32.mica q4.mica --quant q4g64\n"
    "  mica convert smollm2.mica smollm2-folder --to hf",
    &declare};

}  // namespace mica::cli
