#include "lib/runtime/engine.h"

#include "backends/cpu/cpu_backend.h"
#include "lib/backend/reference_backend.h"

namespace mica {

Engine::Engine(const EngineOptions& options)
    : threads_(choose_threads(read_host_facts(), options.threads)),
      log_(options.log),
      pool_(std::make_unique<ThreadPool>(threads_.threads)) {
  if (options.isa == "reference") {
    backend_ = make_reference_backend(options.activations);
  } else {
    backend_ = make_cpu_backend(*pool_, {.isa = options.isa, .activations = options.activations});
  }
}

}  // namespace mica
