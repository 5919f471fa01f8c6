// Running out of memory is an error: the k-th allocation of loading a model and generating with it
// fails, for all k. What fails is operator new, and what lib/base asks the system for (the linker
// redirects aligned_alloc and mmap here).
#include <cstdlib>
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <system_error>

#include "lib/base/error.h"
#include "lib/runtime/chat.h"
#include "lib/runtime/generate.h"
#include "tests/lib/runtime/tiny_runtime.h"
#include "tests/support/failing_new.h"

extern "C" {
void* __real_aligned_alloc(size_t alignment, size_t size);
void* __real_mmap(void* address, size_t size, int protection, int flags, int file, off_t offset);

void* __wrap_aligned_alloc(size_t alignment, size_t size) {
  return mica::testing::allocations_left-- <= 0 ? nullptr : __real_aligned_alloc(alignment, size);
}
void* __wrap_mmap(void* address, size_t size, int protection, int flags, int file, off_t offset) {
  if (mica::testing::allocations_left-- <= 0) return MAP_FAILED;
  return __real_mmap(address, size, protection, flags, file, offset);
}
}

namespace mica::testing {
namespace {

TEST_CASE("when the k-th allocation fails, for all k, generation ends with an error") {
  const TempFolder folder;
  TinyModel tiny;
  tiny.change_metadata = [](Json& metadata) {
    metadata["chat_template"] = "{% for m in messages %}{{ m.role + ':' + m.content }}{% endfor %}";
  };
  load_tiny(folder, tiny);  // writes the file
  const std::string path = folder.file("tiny.mica");
  const auto generate_some = [&] {
    const auto model = LoadedModel::load(make_engine("generic", 2), path);
    const Json messages = Json::parse(R"([{"role": "user", "content": "Hi"}])", "messages");
    const auto prompt = encode_chat(*model, render_chat(*model, model->chat_template(), messages));
    Session session(model);
    const GenerateOptions options{.max_tokens = 5,
                                  .sampling = {.temperature = 1, .top_p = 0.9f, .seed = 1},
                                  .stop = {"never"},
                                  .ignore_eos = true};
    return generate(session, prompt, options).tokens;
  };
  const std::vector<TokenId> expected = generate_some();

  const auto attempt = [&](int64_t k) {
    allocations_left = k;
    std::vector<TokenId> tokens;
    try {
      tokens = generate_some();
    } catch (const std::bad_alloc&) {
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::kRuntime);  // the file could not be mapped
    } catch (const std::system_error&) {           // a thread could not be started
    }
    allocations_left = std::numeric_limits<int64_t>::max();
    return tokens;
  };
  int64_t failures = 0;
  while (attempt(failures) != expected) ++failures;
  MESSAGE("allocations made to fail: ", failures);
  CHECK(failures > 100);
  // And nothing is broken by all the failures.
  CHECK(generate_some() == expected);
}

}  // namespace
}  // namespace mica::testing
