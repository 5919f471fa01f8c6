// mica verify: checksums and padding of every region and tensor.
#include <fmt/core.h>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "formats/reader.h"

namespace mica::cli {
namespace {

struct Options {
  OutputOptions output;
  std::string path;
};

int run(const Options& options) {
  std::vector<std::string> damaged;
  uint64_t file_bytes = 0;
  {
    ProgressBar bar("Verifying", ProgressBar::Unit::kBytes, options.output.quiet);
    const InterruptHandler on_interrupt({});
    const MicaFile file = MicaFile::open(options.path);
    file_bytes = file.file_bytes();
    damaged = file.find_damage([&](uint64_t done, uint64_t total) {
      bar.update(done, total);
      return InterruptHandler::count() == 0;
    });
  }
  if (options.output.json) {
    const Json result = Json::object({{"ok", damaged.empty()}, {"damaged", Json::array(damaged)}});
    fmt::print("{}\n", result.dump());
  } else if (damaged.empty()) {
    if (!options.output.quiet)
      fmt::print("{}: all {} are as they were written\n", options.path, human_bytes(file_bytes));
  } else {
    for (const std::string& name : damaged) {
      fmt::print(stderr, "mica: {}: damaged: {}\n", options.path, name);
    }
  }
  return damaged.empty() ? MICA_OK : MICA_VERIFICATION;
}

std::function<int()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("FILE", options->path, "A .mica file")->required()->type_name("");
  declare_output(app, options->output);
  return [options] { return run(*options); };
}

}  // namespace

extern const Command kCommand_verify;
const Command kCommand_verify = {"verify", "Check a .mica file for damage",
                                 "  mica verify model.mica\n"
                                 "  mica verify model.mica --json",
                                 &declare};

}  // namespace mica::cli
