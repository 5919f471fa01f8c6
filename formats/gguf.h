// GGUF files as a source (formats/importer.h).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/importer.h"
#include "formats/source_file.h"

namespace mica {

// `path`: a file, or any part of a split set, whose other parts lie beside it.
std::unique_ptr<Importer> open_gguf(const std::string& path);

// The same from bytes: one file, or the parts of a split set in order. Bytes that no map owns must
// outlive the importer.
std::unique_ptr<Importer> import_gguf(std::vector<SourceFile> parts);

}  // namespace mica
