// Model folders in the Hugging Face layout as a source (formats/importer.h): config.json,
// safetensors, tokenizer.json and their companions.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "formats/importer.h"
#include "formats/source_file.h"

namespace mica {

// A folder, read but for its weights, which are mapped.
struct HfFolder {
  std::string path;                          // begins error sentences
  std::string name;                          // "SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M"
  std::map<std::string, std::string> texts;  // text files by name, those that exist
  std::vector<SourceFile> shards;            // names are those of the files, without the folder
  std::vector<std::string> notes;
};

// `advice` is added to the sentence when a file is missing; it may be empty.
HfFolder read_hf_folder(const std::string& path, const std::string& advice);

// Bytes that no map owns must outlive the importer.
std::unique_ptr<Importer> import_huggingface(HfFolder folder);

}  // namespace mica
