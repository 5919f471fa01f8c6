#include "formats/importer.h"

#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <system_error>

#include "formats/gguf.h"
#include "formats/hf_cache.h"
#include "formats/huggingface.h"
#include "formats/sniff.h"
#include "lib/base/error.h"

namespace mica {
namespace {

std::unique_ptr<Importer> open_cached(const std::string& name, const LogSink& log) {
  const HfSnapshot snapshot =
      find_hf_snapshot(name, [](const char* key) { return std::getenv(key); });
  if (log) log(LogLevel::kInfo, fmt::format("{}: {}", name, snapshot.folder));
  HfFolder folder = read_hf_folder(
      snapshot.folder, fmt::format("; `{}` fetches what is missing", snapshot.download));
  folder.name = snapshot.repository;  // the folder's own name is a commit
  if (!snapshot.note.empty()) folder.notes.push_back(snapshot.note);
  return import_huggingface(std::move(folder));
}

}  // namespace

std::unique_ptr<Importer> open_source(const std::string& source, const LogSink& log) {
  std::error_code error;
  if (std::filesystem::is_directory(source, error))
    return import_huggingface(read_hf_folder(source, ""));
  if (!std::filesystem::exists(source, error) && is_hf_name(source))
    return open_cached(source, log);
  const MappedFile file = MappedFile::open(source);
  if (!as_text(file.bytes()).starts_with("GGUF")) {
    throw Error(ErrorCode::kInvalidFile,
                fmt::format("{}: expected a GGUF file or a model folder, found {}", source,
                            describe_foreign_bytes(file.bytes())));
  }
  return open_gguf(source);
}

}  // namespace mica
