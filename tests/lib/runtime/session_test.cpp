#include "lib/runtime/session.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <limits>
#include <thread>

#include "tests/lib/runtime/tiny_runtime.h"
#include "tests/support/error_of.h"

namespace mica::testing {
namespace {

std::vector<float> logits_of(const Session& session) {
  return {session.logits().begin(), session.logits().end()};
}

std::vector<float> logits_after(const std::shared_ptr<const LoadedModel>& model,
                                const std::vector<TokenId>& ids, int64_t chunk,
                                KvType kv = KvType::kF16) {
  Session session(model, {.kv = kv, .chunk = chunk});
  CHECK(session.feed(ids));
  return logits_of(session);
}

TEST_CASE("logits are the same bits for chunks of 1, 7, 64, 512 and 1 or 2 threads on each ISA") {
  const TempFolder folder;
  const auto ids = some_ids(131);
  for (const std::string type : {"q4g32", "q4sg32", "q4mg32", "q8g32"}) {
    for (const std::string& isa : isas_here()) {
      CAPTURE(type);
      CAPTURE(isa);
      const TinyModel tiny{.body = type};
      const auto one = load_tiny(folder, tiny, make_engine(isa, 1));
      const auto two = load_tiny(folder, tiny, make_engine(isa, 2));
      const std::vector<float> expected = logits_after(one, ids, 512);
      for (const int64_t chunk : {1, 7, 64, 512}) {
        CAPTURE(chunk);
        CHECK(logits_after(one, ids, chunk) == expected);
        CHECK(logits_after(two, ids, chunk) == expected);
      }
    }
  }
}

TEST_CASE("so they are for every type of keys and values") {
  const TempFolder folder;
  const auto ids = some_ids(131);
  for (const std::string& isa : isas_here()) {
    CAPTURE(isa);
    const auto one = load_tiny(folder, {}, make_engine(isa, 1));
    const auto two = load_tiny(folder, {}, make_engine(isa, 2));
    std::vector<std::vector<float>> found;
    for (const KvType kv : {KvType::kF16, KvType::kBF16, KvType::kF32, KvType::kInt8}) {
      CAPTURE(static_cast<int>(kv));
      const std::vector<float> expected = logits_after(one, ids, 512, kv);
      CHECK(std::count(found.begin(), found.end(), expected) == 0);
      found.push_back(expected);
      for (const int64_t chunk : {1, 7, 64}) {
        CAPTURE(chunk);
        CHECK(logits_after(one, ids, chunk, kv) == expected);
        CHECK(logits_after(two, ids, chunk, kv) == expected);
      }
    }
  }
}

TEST_CASE("tokens fed in any pieces give the logits of one prefill") {
  const TempFolder folder;
  const auto model = load_tiny(folder);
  const auto ids = some_ids(50);
  const std::vector<float> expected = logits_after(model, ids, 512);
  Session session(model);
  CHECK(session.feed(std::span(ids).first(20)));
  for (size_t i = 20; i < ids.size(); ++i) CHECK(session.feed({&ids[i], 1}));
  CHECK(logits_of(session) == expected);
  CHECK(std::vector<TokenId>(session.ids().begin(), session.ids().end()) == ids);
}

TEST_CASE("replacing the content keeps the common prefix and gives the same logits") {
  const TempFolder folder;
  const auto model = load_tiny(folder);
  auto ids = some_ids(60);
  Session session(model);
  CHECK(session.replace(ids));
  const std::vector<float> first = logits_of(session);

  SUBCASE("with the same ids nothing changes") {
    CHECK(session.replace(ids));
    CHECK(logits_of(session) == first);
  }
  SUBCASE("with a prefix of them") {
    ids.resize(33);
    CHECK(session.replace(ids));
    CHECK(session.ids().size() == 33);
    CHECK(logits_of(session) == logits_after(model, ids, 512));
  }
  SUBCASE("with another end") {
    ids.resize(40);
    for (const TokenId id : some_ids(30, 9)) ids.push_back(id);
    CHECK(session.replace(ids));
    CHECK(logits_of(session) == logits_after(model, ids, 512));
  }
  SUBCASE("with nothing in common") {
    ids = some_ids(10, 4);
    CHECK(session.replace(ids));
    CHECK(logits_of(session) == logits_after(model, ids, 512));
  }
}

TEST_CASE("truncation forgets logits until something is fed") {
  const TempFolder folder;
  const auto model = load_tiny(folder);
  auto ids = some_ids(40);
  Session session(model);
  CHECK(error_of([&] { session.logits(); }).code() == ErrorCode::kUsage);
  CHECK(session.feed(ids));
  session.truncate(17);
  CHECK(session.ids().size() == 17);
  CHECK(error_of([&] { session.logits(); }).code() == ErrorCode::kUsage);
  ids.resize(17);
  ids.push_back(200);
  CHECK(session.feed(std::span(ids).last(1)));
  CHECK(logits_of(session) == logits_after(model, ids, 512));
}

TEST_CASE("sessions of one model do not disturb one another") {
  const TempFolder folder;
  const auto model = load_tiny(folder, {}, make_engine("generic", 2));
  const auto ids = some_ids(80);
  const std::vector<float> expected = logits_after(model, ids, 8);
  std::vector<std::vector<float>> found(4);
  std::vector<std::thread> threads;
  for (auto& logits : found) {
    threads.emplace_back([&] { logits = logits_after(model, ids, 8); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& logits : found) CHECK(logits == expected);
}

TEST_CASE("by itself a context ends where the rotary embedding would be another") {
  const TempFolder folder;
  std::vector<std::string> lines;
  const auto engine = std::make_shared<Engine>(EngineOptions{
      .threads = 1, .isa = "generic", .log = [&](LogLevel level, std::string_view text) {
        CHECK(level == LogLevel::kWarning);
        lines.emplace_back(text);
      }});
  const auto load = [&](const std::string& rope) {
    TinyModel tiny;
    tiny.change_metadata = [&](Json& metadata) {
      metadata["model"]["rope"] = Json::parse(rope, "rope");
    };
    return load_tiny(folder, tiny, engine);
  };
  const std::string scaling =
      R"("original_context_length": 96, "base": 10000, "size": 16, "scaling": )";
  const std::string numbers = "[1, 1, 1, 1, 1, 1, 1, 1]";
  const std::string scalings[] = {
      R"("dynamic", "factor": 2)",
      R"("longrope", "short_factors": )" + numbers + R"(, "long_factors": )" + numbers};
  for (const std::string& rest : scalings) {
    const auto model = load("{" + scaling + rest + "}");
    CHECK(Session(model).context() == 96);
    CHECK(Session(model, {.context = 96}).context() == 96);
    CHECK(lines.empty());
    CHECK(Session(model, {.context = 97}).context() == 97);
    CHECK(lines ==
          std::vector<std::string>{"with a context of 97 tokens the model reads short texts "
                                   "as parts of long ones, unlike up to 96"});
    lines.clear();
  }
  const auto yarn = load("{" + scaling + R"("yarn", "factor": 2})");
  CHECK(Session(yarn).context() == 1024);
  CHECK(lines.empty());
}

TEST_CASE("more tokens than the context holds are refused before anything is run") {
  const TempFolder folder;
  const auto model = load_tiny(folder);
  Session session(model, {.context = 32});
  CHECK(session.context() == 32);
  CHECK(session.feed(some_ids(20)));
  const std::vector<float> before = logits_of(session);
  Error error = error_of([&] { session.feed(some_ids(13)); });
  CHECK(error.code() == ErrorCode::kDoesNotFit);
  CHECK(error.message() == "context: expected at most 32 tokens, found 33 (20 held and 13 new)");
  CHECK(logits_of(session) == before);
  error = error_of([&] { session.replace(some_ids(40)); });
  CHECK(error.message() == "context: expected at most 32 tokens, found 40 (20 held and 20 new)");
  CHECK(logits_of(session) == before);
  CHECK(session.feed(some_ids(12)));
  CHECK(error_of([&] { session.feed(some_ids(1)); }).code() == ErrorCode::kDoesNotFit);
}

TEST_CASE("ids outside of the vocabulary and options out of range are refused") {
  const TempFolder folder;
  const auto model = load_tiny(folder);
  Session session(model);
  for (const TokenId id : {-1, 272}) {
    const Error error = error_of([&] { session.feed({&id, 1}); });
    CHECK(error.code() == ErrorCode::kUsage);
    CHECK(error.message() == "token id: expected one below 272, found " + std::to_string(id));
  }
  CHECK(session.ids().empty());
  CHECK(error_of([&] { session.replace({}); }).code() == ErrorCode::kUsage);
  const auto refusal = [&](const SessionOptions& options) {
    return error_of([&] { Session(model, options); }).message();
  };
  CHECK(refusal({.context = 1025}) == "session context: expected 1 .. 1024, found 1025");
  CHECK(refusal({.context = -1}) == "session context: expected 1 .. 1024, found -1");
  CHECK(refusal({.chunk = 0}) == "session chunk: expected 1 .. 65536, found 0");
}

TEST_CASE("a context that cannot fit into memory is foretold") {
  const TempFolder folder;
  // 2^24 positions x 2 layers x 2 heads x 2 x 4096 channels x 4 bytes = 2 TiB of keys and values
  const auto model =
      load_tiny(folder, {.heads = 2, .kv_heads = 2, .head_size = 4096, .context_length = 1 << 24});
  const Error error = error_of([&] { Session(model, {.context = 1 << 24, .kv = KvType::kF32}); });
  CHECK(error.code() == ErrorCode::kDoesNotFit);
  CHECK(error.message().find("a context of 16777216 tokens: expected 2097") != std::string::npos);
}

TEST_CASE("int8 keys and values need heads that fill whole lines and sums that hold them") {
  const TempFolder folder;
  for (const int size : {24, 272}) {
    const auto model = load_tiny(folder, {.head_size = size});
    const Error error = error_of([&] { Session(model, {.kv = KvType::kInt8}); });
    CHECK(error.code() == ErrorCode::kUnsupported);
    CHECK(error.message() ==
          "KV cache of int8: expected a head size that is a multiple of 16 up to 256, found " +
              std::to_string(size));
    CHECK(Session(model, {.kv = KvType::kBF16}).feed(some_ids(3)));
  }
}

TEST_CASE("logits that are not numbers are an error, not an answer") {
  const TempFolder folder;
  TinyModel tiny;
  tiny.change_values = [](const TensorSpec& spec, std::vector<float>& values) {
    if (spec.role == Role::kOutputNorm) values[3] = std::numeric_limits<float>::quiet_NaN();
  };
  // Float products, so that no rounding to integers swallows it.
  const auto model = load_tiny(folder, tiny, make_engine("generic", 1, Activations::kF32));
  Session session(model);
  const Error error = error_of([&] { session.feed(some_ids(3)); });
  CHECK(error.code() == ErrorCode::kRuntime);
  CHECK(error.message().find("logits after position 2: expected finite numbers") !=
        std::string::npos);
  CHECK(session.ids().empty());
}

TEST_CASE("a file cut while it runs gives an error, not a crash and not an answer") {
  const TempFolder folder;
  for (const double share : {0.0, 0.3, 0.9}) {
    const auto model = load_tiny(folder);
    Session session(model);
    CHECK(session.feed(some_ids(5)));
    const std::string path = folder.file("tiny.mica");
    std::filesystem::resize_file(
        path, static_cast<uintmax_t>(share * static_cast<double>(model->file().file_bytes())));
    CHECK(error_of([&] { session.feed(some_ids(5)); }).code() == ErrorCode::kRuntime);
    std::filesystem::remove(path);
  }
}

TEST_CASE("another thread can stop a long prefill, and the session can go on") {
  const TempFolder folder;
  const auto model = load_tiny(folder, {.context_length = 8192}, make_engine("reference"));
  const auto ids = some_ids(8000);
  Session session(model, {.context = 8192, .chunk = 16});
  CancelFlag cancel = false;
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    cancel = true;
  });
  CHECK_FALSE(session.feed(ids, &cancel));
  other.join();
  CHECK(session.ids().size() % 16 == 0);
  CHECK(session.ids().size() < ids.size());

  const auto more = some_ids(3, 5);
  auto all = std::vector<TokenId>(session.ids().begin(), session.ids().end());
  all.insert(all.end(), more.begin(), more.end());
  CHECK(session.feed(more));
  if (all.size() < 600) CHECK(logits_of(session) == logits_after(model, all, 64));
}

}  // namespace
}  // namespace mica::testing
