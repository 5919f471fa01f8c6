#include "tests/lib/runtime/tiny_runtime.h"

#include "backends/cpu/cpu_backend.h"
#include "tests/support/tiny_tokenizer.h"

namespace mica::testing {

std::vector<std::string> isas_here() {
  std::vector<std::string> names = {"reference"};
  for (const IsaInfo& isa : cpu_isas()) {
    if (isa.available) names.emplace_back(isa.name);
  }
  return names;
}

std::shared_ptr<const Engine> make_engine(const std::string& isa, int threads,
                                          Activations activations) {
  return std::make_shared<Engine>(
      EngineOptions{.threads = threads, .isa = isa, .activations = activations});
}

std::shared_ptr<const LoadedModel> load_tiny(const TempFolder& folder, TinyModel model,
                                             std::shared_ptr<const Engine> engine) {
  if (model.tokenizer_image.empty()) model.tokenizer_image = tiny_tokenizer_image();
  if (engine == nullptr) engine = make_engine();
  return LoadedModel::load(std::move(engine), write_tiny_model(folder.file("tiny.mica"), model));
}

std::vector<TokenId> some_ids(int count, int seed) {
  std::vector<TokenId> ids;
  for (int i = 0; i < count; ++i) ids.push_back((i * 37 + seed * 101 + i * i * 3 + 5) % 256);
  return ids;
}

}  // namespace mica::testing
