#include "cli/options.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <fmt/core.h>

#include "cli/terminal.h"
#include "lib/base/error.h"
#include "lib/base/host.h"
#include "lib/base/mapped_file.h"

namespace mica::cli {
namespace {

constexpr uint64_t kTemplateLimitBytes = uint64_t{1} << 20;

void log_to_stderr(void*, mica_log_level level, const char* text, size_t size) {
  if (level == MICA_LOG_DEBUG) return;
  const char* prefix = level == MICA_LOG_WARNING ? "mica: warning: " : "mica: ";
  print_message(prefix + std::string(text, size));
}

template <class T>
bool is_number(const std::string& text, T least, T most) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end && value >= least && value <= most;
}

}  // namespace

CLI::Option* add_size(CLI::App& app, const std::string& name, int64_t& value,
                      const std::string& help) {
  return app
      .add_option_function<std::string>(
          name, [&value](const std::string& text) { value = parse_size(text); }, help)
      ->type_name("SIZE");
}

CLI::Validator whole_number(int64_t least, int64_t most) {
  return {[=](std::string& text) {
            if (is_number(text, least, most)) return std::string();
            const std::string range = most == INT64_MAX ? fmt::format("of {} or more", least)
                                                        : fmt::format("from {} to {}", least, most);
            return fmt::format("expected a whole number {}, found '{}'", range, text);
          },
          ""};
}

CLI::Validator real_number(double least, double most) {
  return {[=](std::string& text) {
            if (is_number(text, least, most)) return std::string();
            return fmt::format("expected a number from {} to {}, found '{}'", least, most, text);
          },
          ""};
}

void declare_output(CLI::App& app, OutputOptions& options) {
  app.add_flag("--json", options.json, "Print one JSON object on standard output");
  app.add_flag("-q,--quiet", options.quiet, "No messages, no progress");
}

void declare_threads(CLI::App& app, int& threads, const std::string& help) {
  app.add_option("-t,--threads", threads, help)->check(whole_number(1, kMaxThreads));
}

void declare_engine(CLI::App& app, EngineOptions& options) {
  declare_threads(app, options.threads,
                  "Threads (default: cores this process may use; `mica doctor` says why)");
  declare_kernels(app, options);
}

void declare_kernels(CLI::App& app, EngineOptions& options) {
  app.add_option(
      "--isa", options.isa,
      "Kernels: auto, generic, avx2, avxvnni, avx512vnni, amx, neon, or reference (slow)");
  app.add_option("--activations", options.activations,
                 "Inputs of quantized products: int8, or f32 for exact checks");
  app.add_option("--device", options.device,
                 "auto: whatever devices there are; cpu: none; cuda: an error without one");
}

void declare_memory(CLI::App& app, MemoryOptions& options) {
  add_size(app, "--gpu-memory", options.gpu_memory,
           "Memory to take of each device at most (default: what is free)");
  app.add_option("--gpu-layers", options.gpu_layers,
                 "Layers on devices, exactly so many or all (default: as many as have room)")
      ->check(whole_number(0, INT32_MAX));
  add_size(app, "--host-memory", options.host_memory,
           "Memory to take of the host at most (default: what is available)");
}

void to_api(const MemoryOptions& options, mica_model_options& result) {
  result.gpu_memory = static_cast<uint64_t>(options.gpu_memory);
  result.gpu_layers = options.gpu_layers;
  result.host_memory = static_cast<uint64_t>(options.host_memory);
}

mica_engine_options to_api(const EngineOptions& options, const OutputOptions& output) {
  mica_engine_options result;
  mica_engine_options_init(&result);
  result.threads = options.threads;
  result.isa = options.isa.c_str();
  result.activations = options.activations.c_str();
  result.device = options.device.c_str();
  if (!output.quiet) result.log = &log_to_stderr;
  return result;
}

void declare_model(CLI::App& app, ModelOptions& options) {
  app.add_option("MODEL", options.path, "A .mica file")->required()->type_name("");
  declare_load(app, options.load);
  app.add_flag("--verify", options.verify, "Check all checksums before running");
}

void declare_load(CLI::App& app, std::string& load) {
  app.add_option("--load", load, "map: run from the mapped file; read: copy it into memory first")
      ->check(CLI::IsMember({"map", "read"}));
}

namespace {

mica_model_options to_api(const ModelOptions& options) {
  mica_model_options result;
  mica_model_options_init(&result);
  result.load = options.load.c_str();
  result.verify = options.verify;
  to_api(options.memory, result);
  return result;
}

}  // namespace

api::Model load(const api::Engine& engine, const ModelOptions& options) {
  return engine.load(options.path, to_api(options));
}

api::Model load(const api::Engine& engine, const ModelOptions& options,
                const SessionOptions& session) {
  mica_model_options request = to_api(options);
  request.context = session.context;
  request.kv = session.kv.c_str();
  request.prefill_chunk = session.prefill_chunk;
  return engine.load(options.path, request);
}

void declare_session(CLI::App& app, SessionOptions& options) {
  add_size(app, "-c,--ctx", options.context,
           "Context in tokens (default: the model's for short texts, 8192 at most)");
  app.add_option(
      "--kv", options.kv,
      "Type of the KV cache: f16, bf16, int8 (half the memory), f32; auto: f16, or int8 where "
      "a device is short of memory");
  app.add_option("--prefill-chunk", options.prefill_chunk,
                 "Prompt tokens a step (default 512, less where a device is short of memory)")
      ->check(whole_number(1, 8192));
}

mica_session_options to_api(SessionOptions& options) {
  mica_session_options result;
  mica_session_options_init(&result);
  result.context = options.context;
  result.kv = options.kv.c_str();
  result.prefill_chunk = options.prefill_chunk;
  if (!options.chat_template_file.empty()) {
    options.chat_template = read_text_file(options.chat_template_file, kTemplateLimitBytes);
    result.chat_template = options.chat_template.c_str();
  }
  return result;
}

void declare_sampling(CLI::App& app, SamplingOptions& options) {
  mica_generate_options& values = options.values;
  mica_generate_options_init(&values);
  app.add_option("-n,--max-tokens", values.max_tokens,
                 "Tokens to generate at most (default: until the context is full)")
      ->check(whole_number(0));
  app.add_option("--temp", values.temperature, "Temperature; 0 is greedy")
      ->check(real_number(0, 100));
  app.add_option("--top-k", values.top_k, "Keep the k likeliest tokens; 0 keeps all")
      ->check(whole_number(0));
  app.add_option("--top-p", values.top_p, "Keep the likeliest tokens of this total probability")
      ->check(real_number(0, 1));
  app.add_option("--min-p", values.min_p,
                 "Keep tokens of at least this share of the likeliest one's")
      ->check(real_number(0, 1));
  app.add_option("--repeat-penalty", values.repetition_penalty,
                 "Divide scores of tokens that occurred; 1 is off")
      ->check(real_number(0.01, 100));
  app.add_option("--frequency-penalty", values.frequency_penalty,
                 "Subtract this for each occurrence of a token");
  app.add_option("--presence-penalty", values.presence_penalty,
                 "Subtract this from tokens that occurred");
  app.add_option("--seed", values.seed, "Seed of the sampler (default: from the system)")
      ->check(whole_number(0));
  app.add_option("--stop", options.stop, "Stop before this text; may be given several times")
      ->allow_extra_args(false);
  app.add_option("--logit-bias", options.bias,
                 "ID=VALUE: add VALUE to a token's score; may be given several times")
      ->allow_extra_args(false);
  app.add_flag("--ignore-eos", options.ignore_eos, "Go on after the end-of-text token");
}

const mica_generate_options& to_api(SamplingOptions& options) {
  for (const std::string& text : options.stop) options.stop_pointers.push_back(text.c_str());
  for (const std::string& text : options.bias) {
    int id = 0;
    float value = 0;
    char rest = 0;
    if (std::sscanf(text.c_str(), "%d=%f%c", &id, &value, &rest) != 2) {
      throw api::Failure(MICA_USAGE,
                         fmt::format("--logit-bias: expected ID=VALUE, found '{}'", text));
    }
    options.bias_ids.push_back(id);
    options.bias_values.push_back(value);
  }
  options.values.stop = options.stop_pointers.data();
  options.values.stop_count = options.stop_pointers.size();
  options.values.bias_ids = options.bias_ids.data();
  options.values.bias_values = options.bias_values.data();
  options.values.bias_count = options.bias_ids.size();
  options.values.ignore_eos = options.ignore_eos;
  return options.values;
}

int64_t parse_size(const std::string& text) {
  size_t used = 0;
  long long number = -1;
  try {
    number = std::stoll(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  const std::string suffix = text.substr(used);
  const int shift = suffix.empty()                   ? 0
                    : suffix == "K" || suffix == "k" ? 10
                    : suffix == "M" || suffix == "m" ? 20
                    : suffix == "G" || suffix == "g" ? 30
                                                     : -1;
  if (used == 0 || number < 1 || shift < 0 || number > (INT64_MAX >> shift)) {
    throw CLI::ValidationError(
        fmt::format("expected a size such as 8192, 32K or 8G, found '{}'", text));
  }
  return number << shift;
}

std::string read_standard_input() {
  std::string text;
  char piece[1 << 16];
  size_t size = 0;
  while ((size = std::fread(piece, 1, sizeof piece, stdin)) > 0) text.append(piece, size);
  if (std::ferror(stdin)) throw api::Failure(MICA_RUNTIME, "standard input: cannot be read");
  return text;
}

std::string read_input(const std::string& path) {
  if (path == "-") return read_standard_input();
  const MappedFile file = MappedFile::open(path, LoadMode::kRead);
  return std::string(as_text(file.bytes()));
}

}  // namespace mica::cli
