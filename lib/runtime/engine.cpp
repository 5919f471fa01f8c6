#include "lib/runtime/engine.h"

#include "lib/backend/reference_backend.h"
#include "lib/base/host.h"

namespace mica {
namespace {

constexpr const char* kReference = "reference";

}  // namespace

std::vector<IsaInfo> engine_isas() {
  std::vector<IsaInfo> isas = cpu_isas();
  isas.insert(isas.begin(), {.name = kReference, .available = true, .missing = {}});
  return isas;
}

std::string choose_engine_isa(std::string_view requested) {
  return requested == kReference ? kReference : choose_isa(requested);
}

Engine::Engine(const EngineOptions& options, std::vector<EngineDevice> devices)
    : log_(options.log),
      pool_(
          std::make_unique<ThreadPool>(choose_threads(read_host_facts(), options.threads).threads)),
      devices_(std::move(devices)) {
  if (options.isa == kReference) {
    backend_ = make_reference_backend(options.activations);
  } else {
    backend_ = make_cpu_backend(*pool_, {.isa = options.isa, .activations = options.activations});
  }
}

}  // namespace mica
