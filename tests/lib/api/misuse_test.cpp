// What callers do wrong: every wrong pointer, size and order gives a status and a sentence, and
// leaves results empty.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "lib/api/mica.h"
#include "tests/lib/api/c_caller.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"
#include "tests/support/tiny_tokenizer.h"

namespace mica::testing {
namespace {

const std::string kSource = MICA_SOURCE_ROOT "/tests/data/tiny-llama3";

template <class Options>
Options options_of(void (*init)(Options*)) {
  Options options;
  init(&options);
  return options;
}

std::string write_model(const TempFolder& folder) {
  TinyModel tiny{.tokenizer_image = tiny_tokenizer_image()};
  tiny.change_metadata = [](Json& metadata) {
    metadata["chat_template"] = "{% for m in messages %}{{ m.content }}{% endfor %}";
  };
  return write_tiny_model(folder.file("tiny.mica"), tiny);
}

// An engine, a model and a session of it; freed unless a test did and set them to nullptr.
struct Handles {
  explicit Handles(const mica_engine_options* options = nullptr) {
    REQUIRE(mica_engine_create(options, &engine, error) == MICA_OK);
    REQUIRE(mica_model_load(engine, path.c_str(), nullptr, &model, error) == MICA_OK);
    REQUIRE(mica_session_create(model, nullptr, &session, error) == MICA_OK);
    generation.max_tokens = 3;
    generation.ignore_eos = 1;
  }
  Handles(const Handles&) = delete;
  ~Handles() {
    mica_error_free(error);
    mica_engine_free(engine);
    mica_model_free(model);
    mica_session_free(session);
  }

  mica_status generate(mica_token_callback callback, void* user) {
    return mica_generate(session, "abc", 3, 0, &generation, callback, user, nullptr, error);
  }
  std::string message() const { return mica_error_message(error); }

  TempFolder folder;
  std::string path = write_model(folder);
  mica_error* error = mica_error_create();
  mica_engine* engine = nullptr;
  mica_model* model = nullptr;
  mica_session* session = nullptr;
  mica_generate_options generation = options_of(&mica_generate_options_init);
};

TEST_CASE("a C99 program loads a model and generates") {
  const TempFolder folder;
  const char* failure = use_mica_from_c(write_model(folder).c_str());
  CHECK_MESSAGE(failure == nullptr, failure);
}

TEST_CASE("every pointer that must not be NULL is refused by its name") {
  Handles h;
  mica_text text{};
  mica_ids ids{};
  mica_engine* engine = nullptr;
  mica_model* model = nullptr;
  mica_session* session = nullptr;
  const auto json_of = [&](mica_text* json) {
    auto options = options_of(&mica_perplexity_options_init);
    return mica_perplexity(h.model, &options, nullptr, nullptr, json, h.error);
  };
  struct Call {
    const char* argument;
    std::function<mica_status()> make;
  };
  const std::vector<Call> calls = {
      {"engine", [&] { return mica_engine_create(nullptr, nullptr, h.error); }},
      {"json", [&] { return mica_doctor(nullptr, nullptr, h.error); }},
      {"engine", [&] { return mica_model_load(nullptr, "x", nullptr, &model, h.error); }},
      {"path", [&] { return mica_model_load(h.engine, nullptr, nullptr, &model, h.error); }},
      {"model", [&] { return mica_model_load(h.engine, "x", nullptr, nullptr, h.error); }},
      {"model", [&] { return mica_model_info(nullptr, &text, h.error); }},
      {"json", [&] { return mica_model_info(h.model, nullptr, h.error); }},
      {"model", [&] { return mica_tokenize(nullptr, "x", 1, 0, &ids, h.error); }},
      {"text", [&] { return mica_tokenize(h.model, nullptr, 1, 0, &ids, h.error); }},
      {"ids", [&] { return mica_tokenize(h.model, "x", 1, 0, nullptr, h.error); }},
      {"model", [&] { return mica_detokenize(nullptr, nullptr, 0, 0, &text, h.error); }},
      {"ids", [&] { return mica_detokenize(h.model, nullptr, 1, 0, &text, h.error); }},
      {"text", [&] { return mica_detokenize(h.model, nullptr, 0, 0, nullptr, h.error); }},
      {"model", [&] { return mica_render_chat(nullptr, "[]", 2, &text, h.error); }},
      {"messages", [&] { return mica_render_chat(h.model, nullptr, 2, &text, h.error); }},
      {"text", [&] { return mica_render_chat(h.model, "[]", 2, nullptr, h.error); }},
      {"model", [&] { return mica_session_create(nullptr, nullptr, &session, h.error); }},
      {"session", [&] { return mica_session_create(h.model, nullptr, nullptr, h.error); }},
      {"session",
       [&] {
         return mica_generate(nullptr, "x", 1, 0, nullptr, nullptr, nullptr, &text, h.error);
       }},
      {"prompt",
       [&] {
         return mica_generate(h.session, nullptr, 1, 0, nullptr, nullptr, nullptr, &text, h.error);
       }},
      {"session",
       [&] { return mica_chat(nullptr, "[]", 2, nullptr, nullptr, nullptr, &text, h.error); }},
      {"messages",
       [&] { return mica_chat(h.session, nullptr, 2, nullptr, nullptr, nullptr, &text, h.error); }},
      {"engine",
       [&] { return mica_convert(nullptr, "x", "y", nullptr, nullptr, nullptr, &text, h.error); }},
      {"source",
       [&] {
         return mica_convert(h.engine, nullptr, "y", nullptr, nullptr, nullptr, &text, h.error);
       }},
      {"output",
       [&] {
         return mica_convert(h.engine, "x", nullptr, nullptr, nullptr, nullptr, &text, h.error);
       }},
      {"model",
       [&] { return mica_perplexity(nullptr, nullptr, nullptr, nullptr, &text, h.error); }},
      {"json", [&] { return json_of(nullptr); }},
      {"path",
       [&] { return mica_bench(nullptr, nullptr, nullptr, nullptr, nullptr, &text, h.error); }},
      {"json",
       [&] { return mica_bench(nullptr, "x", nullptr, nullptr, nullptr, nullptr, h.error); }},
      {"prompts",
       [&] {
         auto options = options_of(&mica_bench_options_init);
         options.prompts.values = nullptr;
         return mica_bench(nullptr, h.path.c_str(), &options, nullptr, nullptr, &text, h.error);
       }},
  };
  for (const Call& call : calls) {
    CHECK(call.make() == MICA_USAGE);
    CHECK(h.message() ==
          "argument '" + std::string(call.argument) + "': expected a pointer, found NULL");
  }
  CHECK(mica_engine_create(nullptr, &engine, nullptr) == MICA_OK);  // no error wanted
  mica_engine_free(engine);
}

TEST_CASE("arrays of generation options that are NULL are refused by their names") {
  Handles h;
  h.generation.stop_count = 1;
  CHECK(h.generate(nullptr, nullptr) == MICA_USAGE);
  CHECK(h.message() == "argument 'stop': expected a pointer, found NULL");
  const char* const strings[] = {nullptr};
  h.generation.stop = strings;
  CHECK(h.generate(nullptr, nullptr) == MICA_USAGE);
  h.generation.stop_count = 0;
  h.generation.bias_count = 1;
  CHECK(h.generate(nullptr, nullptr) == MICA_USAGE);
  CHECK(h.message() == "argument 'bias_ids': expected a pointer, found NULL");
  const int32_t ids[] = {1};
  h.generation.bias_ids = ids;
  CHECK(h.generate(nullptr, nullptr) == MICA_USAGE);
  CHECK(h.message() == "argument 'bias_values': expected a pointer, found NULL");
}

TEST_CASE("what may be NULL may") {
  Handles h;
  mica_engine_free(nullptr);
  mica_model_free(nullptr);
  mica_session_free(nullptr);
  mica_error_free(nullptr);
  mica_text_free(nullptr);
  mica_ids_free(nullptr);
  mica_session_cancel(nullptr);
  mica_engine_options_init(nullptr);
  mica_model_options_init(nullptr);
  mica_session_options_init(nullptr);
  mica_generate_options_init(nullptr);
  mica_convert_options_init(nullptr);
  mica_perplexity_options_init(nullptr);
  mica_bench_options_init(nullptr);
  CHECK(mica_error_status(nullptr) == MICA_OK);
  CHECK(std::string(mica_error_message(nullptr)).empty());
  mica_ids ids{};
  CHECK(mica_tokenize(h.model, nullptr, 0, 0, &ids, nullptr) == MICA_OK);
  CHECK(ids.size == 0);
  mica_ids_free(&ids);
}

TEST_CASE("options that were not set up are refused with both sizes") {
  Handles h;
  mica_text text{};
  mica_engine* engine = nullptr;
  mica_model* model = nullptr;
  mica_session* session = nullptr;
  const auto refused = [&](const char* name, auto init, const auto& call) {
    auto options = options_of(init);
    const size_t right = options.struct_size;
    for (const size_t size : {size_t{0}, right - 1, right + 8, SIZE_MAX}) {
      options.struct_size = size;
      CHECK(call(&options) == MICA_USAGE);
      CHECK(h.message() == "argument 'options': expected a struct_size of " +
                               std::to_string(right) + ", as " + name + "_init sets it, found " +
                               std::to_string(size));
    }
  };
  refused("mica_engine_options", &mica_engine_options_init,
          [&](auto* o) { return mica_engine_create(o, &engine, h.error); });
  refused("mica_engine_options", &mica_engine_options_init,
          [&](auto* o) { return mica_doctor(o, &text, h.error); });
  refused("mica_model_options", &mica_model_options_init,
          [&](auto* o) { return mica_model_load(h.engine, h.path.c_str(), o, &model, h.error); });
  refused("mica_session_options", &mica_session_options_init,
          [&](auto* o) { return mica_session_create(h.model, o, &session, h.error); });
  refused("mica_generate_options", &mica_generate_options_init, [&](auto* o) {
    return mica_generate(h.session, "x", 1, 0, o, nullptr, nullptr, &text, h.error);
  });
  refused("mica_convert_options", &mica_convert_options_init, [&](auto* o) {
    return mica_convert(h.engine, "x", "y", o, nullptr, nullptr, &text, h.error);
  });
  refused("mica_perplexity_options", &mica_perplexity_options_init,
          [&](auto* o) { return mica_perplexity(h.model, o, nullptr, nullptr, &text, h.error); });
  refused("mica_bench_options", &mica_bench_options_init, [&](auto* o) {
    return mica_bench(nullptr, h.path.c_str(), o, nullptr, nullptr, &text, h.error);
  });
}

TEST_CASE("results are empty after a failure, whatever they held") {
  Handles h;
  char garbage[] = "garbage";
  int32_t numbers[] = {1};
  const auto empties_text = [&](const std::function<mica_status(mica_text*)>& call) {
    mica_text text{garbage, 7};
    CHECK(call(&text) != MICA_OK);
    CHECK(text.data == nullptr);
    CHECK(text.size == 0);
  };
  auto options = options_of(&mica_engine_options_init);
  options.isa = "warp9";
  empties_text([&](mica_text* text) { return mica_doctor(&options, text, h.error); });
  empties_text([&](mica_text* text) { return mica_model_info(nullptr, text, h.error); });
  const int32_t outside = 259;
  empties_text(
      [&](mica_text* text) { return mica_detokenize(h.model, &outside, 1, 0, text, h.error); });
  empties_text([&](mica_text* text) { return mica_render_chat(h.model, "3", 1, text, h.error); });
  empties_text([&](mica_text* text) {
    return mica_generate(h.session, "\xff", 1, 0, nullptr, nullptr, nullptr, text, h.error);
  });
  empties_text([&](mica_text* text) {
    return mica_chat(h.session, "{", 1, nullptr, nullptr, nullptr, text, h.error);
  });
  empties_text([&](mica_text* text) {
    return mica_convert(h.engine, "/nowhere/x.gguf", "y", nullptr, nullptr, nullptr, text, h.error);
  });
  empties_text([&](mica_text* text) {
    return mica_perplexity(h.model, nullptr, nullptr, nullptr, text, h.error);
  });
  empties_text([&](mica_text* text) {
    return mica_bench(nullptr, "/nowhere.mica", nullptr, nullptr, nullptr, text, h.error);
  });

  mica_ids ids{numbers, 1};
  CHECK(mica_tokenize(h.model, "\xff", 1, 0, &ids, h.error) == MICA_USAGE);
  CHECK(ids.data == nullptr);
  CHECK(ids.size == 0);
  auto* engine = h.engine;
  CHECK(mica_engine_create(&options, &engine, h.error) == MICA_USAGE);
  CHECK(engine == nullptr);
  auto* model = h.model;
  CHECK(mica_model_load(h.engine, "/nowhere.mica", nullptr, &model, h.error) == MICA_RUNTIME);
  CHECK(model == nullptr);
  CHECK(h.message() == "/nowhere.mica: cannot open: No such file or directory");
  auto* session = h.session;
  auto session_options = options_of(&mica_session_options_init);
  session_options.kv = "f8";
  CHECK(mica_session_create(h.model, &session_options, &session, h.error) == MICA_USAGE);
  CHECK(session == nullptr);
  CHECK(h.message() == "kv: expected f16 or bf16 or int8 or f32, found 'f8'");
}

TEST_CASE("an error tells of the last call alone") {
  Handles h;
  CHECK(mica_error_status(h.error) == MICA_OK);
  CHECK(h.message().empty());
  mica_text text{};
  CHECK(mica_chat(h.session, "{", 1, nullptr, nullptr, nullptr, &text, h.error) == MICA_USAGE);
  CHECK(mica_error_status(h.error) == MICA_USAGE);
  CHECK(h.message().starts_with("messages: "));
  CHECK(mica_model_info(h.model, &text, h.error) == MICA_OK);
  CHECK(mica_error_status(h.error) == MICA_OK);
  CHECK(h.message().empty());
  mica_text_free(&text);
  mica_text_free(&text);
  CHECK(text.data == nullptr);
}

TEST_CASE("handles are freed in any order") {
  for (int order = 0; order < 6; ++order) {
    Handles h;
    const auto free = [&](int what) {
      if (what == 0) mica_engine_free(std::exchange(h.engine, nullptr));
      if (what == 1) mica_model_free(std::exchange(h.model, nullptr));
      if (what == 2) mica_session_free(std::exchange(h.session, nullptr));
    };
    const int first = order / 2, second = (first + 1 + order % 2) % 3;
    free(first);
    if (h.session != nullptr) CHECK(h.generate(nullptr, nullptr) == MICA_OK);
    free(second);
    if (h.session != nullptr) CHECK(h.generate(nullptr, nullptr) == MICA_OK);
    if (h.model == nullptr) continue;
    mica_text text{};
    CHECK(mica_model_info(h.model, &text, h.error) == MICA_OK);
    mica_text_free(&text);
  }
}

TEST_CASE("the log is told of a full context, also when only the session is left") {
  std::string lines;
  auto options = options_of(&mica_engine_options_init);
  options.log_user = &lines;
  options.log = [](void* user, mica_log_level level, const char* text, size_t size) {
    CHECK(level == MICA_LOG_WARNING);
    *static_cast<std::string*>(user) += std::string(text, size) + "\n";
  };
  Handles h(&options);
  mica_session_free(h.session);
  auto small = options_of(&mica_session_options_init);
  small.context = 8;
  REQUIRE(mica_session_create(h.model, &small, &h.session, h.error) == MICA_OK);
  mica_engine_free(std::exchange(h.engine, nullptr));
  mica_model_free(std::exchange(h.model, nullptr));
  h.generation.max_tokens = -1;
  CHECK(h.generate(nullptr, nullptr) == MICA_OK);
  CHECK(lines == "the context is full\n");
}

TEST_CASE("a callback may use the engine and the model, and stop its own session") {
  Handles h;
  const auto on_token = [](void* user, const char*, size_t, int32_t) {
    auto& handles = *static_cast<Handles*>(user);
    mica_ids ids{};
    CHECK(mica_tokenize(handles.model, "hi", 2, 0, &ids, nullptr) == MICA_OK);
    mica_ids_free(&ids);
    mica_session* other = nullptr;
    CHECK(mica_session_create(handles.model, nullptr, &other, nullptr) == MICA_OK);
    CHECK(mica_generate(other, "x", 1, 0, &handles.generation, nullptr, nullptr, nullptr,
                        nullptr) == MICA_OK);
    mica_session_free(other);
    mica_session_cancel(handles.session);
    return 1;
  };
  mica_text json{};
  REQUIRE(mica_generate(h.session, "abc", 3, 0, &h.generation, on_token, &h, &json, h.error) ==
          MICA_OK);
  CHECK(Json::parse(json.data, "json")["finish_reason"].as_string() == "cancelled");
  mica_text_free(&json);
}

TEST_CASE("a conversion's progress callback may use the engine that converts") {
  Handles h;
  const auto on_progress = [](void* user, uint64_t done, uint64_t total) {
    CHECK(done <= total);
    return static_cast<int>(static_cast<Handles*>(user)->generate(nullptr, nullptr) == MICA_OK);
  };
  const std::string output = h.folder.file("converted.mica");
  mica_error* error = mica_error_create();
  CHECK(mica_convert(h.engine, kSource.c_str(), output.c_str(), nullptr, on_progress, &h, nullptr,
                     error) == MICA_OK);
  CHECK(std::string(mica_error_message(error)).empty());

  const auto stop = [](void*, uint64_t, uint64_t) { return 0; };
  const std::string never = h.folder.file("never.mica");
  CHECK(mica_convert(h.engine, kSource.c_str(), never.c_str(), nullptr, stop, nullptr, nullptr,
                     error) == MICA_INTERRUPTED);
  CHECK(std::string(mica_error_message(error)) == "conversion interrupted; nothing was changed");
  CHECK_FALSE(std::filesystem::exists(never));
  mica_error_free(error);
}

TEST_CASE("what a callback throws becomes an error") {
  Handles h;
  const auto on_token = [](void*, const char*, size_t, int32_t) -> int {
    throw std::runtime_error("the display is gone");
  };
  CHECK(h.generate(on_token, nullptr) == MICA_RUNTIME);
  CHECK(h.message() == "the display is gone");
  const auto on_second = [](void*, const char*, size_t, int32_t) -> int { throw 7; };
  CHECK(h.generate(on_second, nullptr) == MICA_RUNTIME);
  CHECK(h.message() == "a callback threw something that is no std::exception");
  CHECK(h.generate(nullptr, nullptr) == MICA_OK);
}

}  // namespace
}  // namespace mica::testing
