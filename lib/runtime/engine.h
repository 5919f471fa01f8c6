// The one facade over everything below: an Engine (threads, ISA, log sink: chosen once, passed down),
// a LoadedModel (a mapped file ready to run) and, in session.h, sessions on it.
//
// Ownership: a LoadedModel shares its Engine, a Session shares its LoadedModel. Steps of all sessions
// of one engine are serialised by a mutex; everything const may be used from several threads.
#pragma once

#include <memory>
#include <string>

#include "formats/reader.h"
#include "lib/backend/backend.h"
#include "lib/base/host.h"
#include "lib/base/log.h"
#include "lib/base/thread_pool.h"
#include "lib/text/chat_template.h"
#include "lib/text/tokenizer.h"

namespace mica {

struct EngineOptions {
  int threads = 0;           // 0: choose_threads (lib/base/host.h)
  std::string isa = "auto";  // "generic", "avx2", "avx512vnni", ...
  Activations activations = Activations::kInt8;
  LogSink log;
};

class Engine;       // engine.cpp
class LoadedModel;  // file, tokenizer, chat template, weights, config

std::shared_ptr<Engine> make_engine(const EngineOptions& options);

struct LoadOptions {
  LoadMode mode = LoadMode::kMap;
  bool verify = false;  // check every checksum first
};

std::shared_ptr<const LoadedModel> load_model(std::shared_ptr<Engine> engine,
                                              const std::string& path, const LoadOptions& options);

}  // namespace mica
