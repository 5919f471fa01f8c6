// A .mica file as the source of a conversion (formats/importer.h): tensors that keep their type are
// copied byte for byte, others are decoded; tokenizer, settings and template are handed on as they
// are. It stands here, above the other importers, because it decodes weights.
#pragma once

#include <memory>

#include "formats/importer.h"
#include "formats/reader.h"

namespace mica {

// Throws Error(kUnsupported) for weights that this program does not know. The importer's hash()
// throws Error(kVerification) where a checksum of the file disagrees.
std::unique_ptr<Importer> import_mica(MicaFile file);

// As open_source, with .mica files among the sources.
std::unique_ptr<Importer> open_any_source(const std::string& source, const LogSink& log);

}  // namespace mica
