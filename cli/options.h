// Options that several commands share, declared once so that names, help and meaning agree.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/api/mica.hpp"

namespace mica::cli {

// --json and --quiet, on every command.
struct OutputOptions {
  bool json = false;
  bool quiet = false;
};
void declare_output(CLI::App& app, OutputOptions& options);

// -t, --threads.
void declare_threads(CLI::App& app, int& threads, const std::string& help);

// --threads, --isa, --activations, --device.
struct EngineOptions {
  int threads = 0;
  std::string isa = "auto";
  std::string activations = "int8";
  std::string device = "auto";
};
void declare_engine(CLI::App& app, EngineOptions& options);
// All of them but --threads.
void declare_kernels(CLI::App& app, EngineOptions& options);
// Log lines go to stderr unless `output.quiet`. The result borrows strings of `options`.
mica_engine_options to_api(const EngineOptions& options, const OutputOptions& output);

// --gpu-memory, --gpu-layers, --host-memory: what a model may take of them.
struct MemoryOptions {
  int64_t gpu_memory = 0;
  int64_t gpu_layers = -1;
  int64_t host_memory = 0;
};
void declare_memory(CLI::App& app, MemoryOptions& options);
void to_api(const MemoryOptions& options, mica_model_options& result);

// MODEL, --load, --verify; a command that runs it declares the memory options as well.
struct ModelOptions {
  std::string path;
  std::string load = "map";
  bool verify = false;
  MemoryOptions memory;
};
void declare_model(CLI::App& app, ModelOptions& options);
void declare_load(CLI::App& app, std::string& load);
api::Model load(const api::Engine& engine, const ModelOptions& options);
// --ctx, --kv, --prefill-chunk, --chat-template.
struct SessionOptions {
  int64_t context = 0;
  std::string kv = "f16";
  int prefill_chunk = 0;
  std::string chat_template_file;
  std::string chat_template;  // contents of the file
};
void declare_session(CLI::App& app, SessionOptions& options);
mica_session_options to_api(SessionOptions& options);
// With memory planned for such a session.
api::Model load(const api::Engine& engine, const ModelOptions& options,
                const SessionOptions& session);

// -n, --temp, --top-k, ... : what is not given is left to the model and to Mica.
struct SamplingOptions {
  mica_generate_options values;  // NaN and negative: not given
  std::vector<std::string> stop;
  std::vector<std::string> bias;  // "ID=VALUE"
  bool ignore_eos = false;

  std::vector<const char*> stop_pointers;
  std::vector<int32_t> bias_ids;
  std::vector<float> bias_values;
};
void declare_sampling(CLI::App& app, SamplingOptions& options);
const mica_generate_options& to_api(SamplingOptions& options);

// Checks of an option's value, whose sentences say what was expected and found.
CLI::Validator whole_number(int64_t least, int64_t most = INT64_MAX);
CLI::Validator real_number(double least, double most);

// An option that takes what parse_size() does.
CLI::Option* add_size(CLI::App& app, const std::string& name, int64_t& value,
                      const std::string& help);

// "8192", "32K", "8G": a count or size with a binary suffix. Throws CLI::ValidationError.
int64_t parse_size(const std::string& text);

// All of standard input.
std::string read_standard_input();
// A whole file, or standard input for "-". Throws api::Failure(MICA_RUNTIME).
std::string read_input(const std::string& path);

}  // namespace mica::cli
