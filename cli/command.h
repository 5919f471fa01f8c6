// A command of the program: one file in cli/commands each, listed in cli/meson.build.
//
// Exit codes are those of mica_status; 2 also for a command line that cannot be understood.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <span>

namespace mica::cli {

struct Command {
  const char* name;
  const char* summary;
  const char* examples;  // shown first by --help, one a line
  // Declares the options and returns what runs the command; its result is the exit code.
  std::function<int()> (*declare)(CLI::App& app);
};

// In the order of cli/meson.build.
std::span<const Command* const> commands();

}  // namespace mica::cli
