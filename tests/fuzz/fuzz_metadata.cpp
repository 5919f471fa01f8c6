// Fuzzes what a model file says about its model: the input is the metadata of a tiny model whose
// checksums are right. What loads must run: three tokens through every kernel it asks for.
#include <algorithm>
#include <cstring>
#include <vector>

#include "lib/base/error.h"
#include "lib/runtime/session.h"
#include "tests/formats/mica_exercise.h"
#include "tests/lib/runtime/tiny_runtime.h"

namespace mica::testing {
namespace {

struct Fixture {
  TempFolder folder;
  std::shared_ptr<const Engine> engine = make_engine("generic", 1);
  std::string front;  // of the model file: all before the metadata
  FileHeader header;

  Fixture() {
    load_tiny(folder, {.layers = 1}, engine);
    front = folder.get("tiny.mica");
    std::memcpy(&header, front.data(), sizeof(header));
    front.resize(header.metadata.offset);
  }

  // Returns its path.
  std::string with_metadata(std::string_view metadata) {
    std::string file = front;
    file += metadata;
    header.metadata.bytes = metadata.size();
    header.file_bytes = file.size();
    std::memcpy(file.data(), &header, sizeof(header));
    seal(std::as_writable_bytes(std::span(file)));
    return folder.put("fuzz.mica", file);
  }
};

}  // namespace
}  // namespace mica::testing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mica;
  static testing::Fixture fixture;
  try {
    const std::string path = fixture.with_metadata({reinterpret_cast<const char*>(data), size});
    const auto model = LoadedModel::load(fixture.engine, path);
    Session session(model, {.context = std::min<int64_t>(model->config().context_length, 32)});
    session.feed(std::vector<TokenId>{1, 2, 3});
  } catch (const Error&) {
  }
  return 0;
}
