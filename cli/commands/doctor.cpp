// mica doctor: what this machine has, what Mica would use of it, and why.
#include <fmt/core.h>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "lib/base/json.h"

namespace mica::cli {
namespace {

struct Options {
  OutputOptions output;
  EngineOptions engine;
};

std::string show(const std::string& key, const Json& value) {
  if (value.is_string()) return value.as_string();
  if (value.is_bool()) return value.as_bool() ? "yes" : "no";
  const bool limits = key.starts_with("cgroup_") || key.ends_with("_bytes");
  if (limits && value.as_number() == 0) return "no limit";
  if (key == "slurm_cpus" && value.as_number() == 0) return "not set";
  if (key.ends_with("_bytes")) return human_bytes(static_cast<uint64_t>(value.as_integer()));
  return value.dump();
}

void print_object(const Json& object, const std::string& indent) {
  for (const auto& [key, value] : object.as_object()) {
    if (value.is_object()) {
      fmt::print("{}{}\n", indent, key);
      print_object(value, indent + "  ");
    } else {
      fmt::print("{}{:<{}} {}\n", indent, key, 28 - indent.size(), show(key, value));
    }
  }
}

int run(const Options& options) {
  const std::string json = api::doctor(to_api(options.engine, options.output));
  if (options.output.json) {
    fmt::print("{}\n", json);
  } else {
    print_object(Json::parse(json, "doctor"), "");
  }
  return MICA_OK;
}

std::function<int()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  declare_engine(app, options->engine);
  declare_output(app, options->output);
  return [options] { return run(*options); };
}

}  // namespace

extern const Command kCommand_doctor;
const Command kCommand_doctor = {"doctor", "Show what this machine has and what Mica uses of it",
                                 "  mica doctor\n"
                                 "  mica doctor --threads 4 --isa avx2 --json",
                                 &declare};

}  // namespace mica::cli
