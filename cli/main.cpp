// The program `mica`: finds the command, declares its options, runs it, and turns every failure
// into one sentence on stderr and an exit code.
#include <algorithm>
#include <fmt/core.h>
#include <new>

#include "cli/command.h"
#include "cli/help.h"
#include "cli/suggest.h"
#include "lib/api/mica.hpp"
#include "lib/base/error.h"

namespace mica::cli {
namespace {

struct Declared {
  CLI::App* app;
  std::function<int()> run;
};

std::vector<Declared> declare_commands(CLI::App& program) {
  std::vector<Declared> declared;
  for (const Command* command : commands()) {
    CLI::App* app = program.add_subcommand(command->name, command->summary);
    app->formatter(std::make_shared<Help>());
    app->set_help_flag("-h,--help", "Print this text");
    app->description(fmt::format("{}\n\nExamples:\n{}", command->summary, command->examples));
    declared.push_back({app, command->declare(*app)});
  }
  return declared;
}

// Help of the whole program: one line a command (CLI11 would print the examples too).
std::string program_help() {
  std::string text =
      "Mica runs quantized language models from one memory-mapped file.\n\n"
      "Examples:\n"
      "  mica convert SmolLM2-135M-Instruct.Q4_1.gguf smollm2.mica\n"
      "  mica chat smollm2.mica\n\n"
      "Usage: mica COMMAND [OPTIONS]\n\nCommands:\n";
  for (const Command* command : commands()) {
    text += fmt::format("  {:<12} {}\n", command->name, command->summary);
  }
  return text +
         "\n`mica COMMAND --help` shows a command's examples and options.\n\n"
         "Exit codes: 0 done, 1 run-time failure, 2 usage, 3 invalid model file, 4 does not fit,\n"
         "5 unsupported model or CPU, 6 verification failed, 130 interrupted.\n";
}

// The word of the command line that no option or command matches, with the nearest one that exists.
std::string explain(const CLI::ParseError& error, const CLI::App& program, int argc, char** argv) {
  const bool unexpected = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
  const std::string text = error.what();
  const CLI::App* app = &program;
  for (const CLI::App* sub : program.get_subcommands()) app = sub;
  std::vector<std::string> known;
  for (const CLI::Option* option : app->get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  if (app == &program) {
    for (const Command* command : commands()) known.emplace_back(command->name);
  }
  for (int i = 1; i < argc; ++i) {
    const std::string word = std::string(argv[i]).substr(0, std::string_view(argv[i]).find('='));
    if (word.size() < 3 || std::find(known.begin(), known.end(), word) != known.end()) continue;
    if (word[0] != '-' && app != &program) continue;
    const std::string nearest = nearest_word(word, known);
    if (nearest.empty()) continue;
    return fmt::format("{}\nDid you mean '{}'?",
                       unexpected ? fmt::format("'{}' is not known here", word) : text, nearest);
  }
  const bool in_command = app != &program;
  return fmt::format("{}\n`mica{}{} --help` shows what can be given.", text, in_command ? " " : "",
                     in_command ? app->get_name() : "");
}

// `mica help` and `mica help COMMAND` as the options of these names.
std::vector<std::string> arguments_of(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty() || arguments[0] != "help") return arguments;
  arguments.erase(arguments.begin());
  arguments.emplace_back("--help");
  return arguments;
}

int parse_and_run(int argc, char** argv) {
  CLI::App program;
  program.name("mica");
  program.set_help_flag();
  bool help = false, version = false;
  program.add_flag("-h,--help", help);
  program.add_flag("--version", version);
  program.require_subcommand(0, 1);
  const std::vector<Declared> declared = declare_commands(program);
  try {
    std::vector<std::string> arguments = arguments_of(argc, argv);
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
    program.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", program.get_subcommands().at(0)->help());
    return MICA_OK;
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "mica: {}\n", explain(error, program, argc, argv));
    return MICA_USAGE;
  }
  if (version) {
    fmt::print("mica {}\n", mica_version());
    return MICA_OK;
  }
  for (const Declared& command : declared) {
    if (!command.app->parsed()) continue;
    const int status = command.run();
    if (std::fflush(stdout) != 0 || std::ferror(stdout)) {
      throw api::Failure(MICA_RUNTIME, "standard output: cannot write all of the result");
    }
    return status;
  }
  fmt::print(help ? stdout : stderr, "{}", program_help());
  return help ? MICA_OK : MICA_USAGE;
}

int run(int argc, char** argv) {
  try {
    return parse_and_run(argc, argv);
  } catch (const api::Failure& failure) {
    fmt::print(stderr, "mica: {}\n", failure.what());
    return failure.status();
  } catch (const Error& error) {
    fmt::print(stderr, "mica: {}\n", error.message());
    return static_cast<int>(error.code());
  } catch (const CLI::ValidationError& error) {
    fmt::print(stderr, "mica: {}\n", error.what());
    return MICA_USAGE;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "mica: out of memory\n");
    return MICA_RUNTIME;
  } catch (const std::exception& error) {
    fmt::print(stderr, "mica: {}\n", error.what());
    return MICA_RUNTIME;
  }
}

}  // namespace
}  // namespace mica::cli

int main(int argc, char** argv) {
  return mica::cli::run(argc, argv);
}
