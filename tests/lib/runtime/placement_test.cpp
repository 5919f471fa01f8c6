// Models cut into parts: whatever is computed where, answers are the same.
#include "lib/runtime/placement.h"

#include <algorithm>

#include "lib/runtime/session.h"
#include "tests/lib/runtime/test_devices.h"
#include "tests/lib/runtime/tiny_runtime.h"
#include "tests/support/error_of.h"
#include "tests/support/mock_device.h"
#include "tests/support/tiny_tokenizer.h"

namespace mica::testing {
namespace {

constexpr int kLayers = 5;

// The engine's CPU, and devices of the same kernels.
std::shared_ptr<const Engine> engine_with_devices(int devices) {
  return std::make_shared<Engine>(EngineOptions{.threads = 1}, make_test_devices(devices));
}

std::shared_ptr<const LoadedModel> load_placed(const std::string& path, const Placement& placement,
                                               int devices = 2) {
  return LoadedModel::load(engine_with_devices(devices), path, {.placement = placement});
}

Placement cut_at(int64_t host_layers) {
  return {.parts = {{kHostDevice, 0, host_layers}, {0, host_layers, kLayers - host_layers}}};
}

std::string write_model(const TempFolder& folder, TinyModel model = {}) {
  model.layers = kLayers;
  model.tokenizer_image = tiny_tokenizer_image();
  return write_tiny_model(folder.file("tiny.mica"), model);
}

// Logits after the last of `ids`, fed in two pieces, and after each of a few tokens behind them.
std::vector<float> logits_after(const std::shared_ptr<const LoadedModel>& model,
                                const std::vector<TokenId>& ids, int64_t chunk,
                                KvType kv = KvType::kF16) {
  Session session(model, {.kv = kv, .chunk = chunk});
  std::vector<float> all;
  const auto append = [&] {
    all.insert(all.end(), session.logits().begin(), session.logits().end());
  };
  const size_t first = ids.size() / 3;
  CHECK(session.feed(std::span(ids).first(first)));
  CHECK(session.feed(std::span(ids).subspan(first)));
  append();
  for (TokenId id = 1; id < 4; ++id) {
    CHECK(session.feed({&id, 1}));
    append();
  }
  return all;
}

std::vector<float> logits_on_host(const std::string& path, const std::vector<TokenId>& ids,
                                  KvType kv = KvType::kF16) {
  return logits_after(LoadedModel::load(make_engine("auto"), path), ids, 512, kv);
}

TEST_CASE("layers on the host, on a device and on two devices give the logits of the host alone") {
  const TempFolder folder;
  for (const bool tied : {false, true}) {
    for (const std::string architecture : {"llama", "gemma2", "gpt_neox"}) {
      CAPTURE(architecture);
      CAPTURE(tied);
      const std::string path =
          write_model(folder, {.architecture = architecture, .tied = tied, .biases = true});
      const auto ids = some_ids(100);
      const std::vector<float> expected = logits_on_host(path, ids);
      for (int64_t host = 0; host <= kLayers; ++host) {
        CAPTURE(host);
        CHECK(logits_after(load_placed(path, cut_at(host)), ids, 16) == expected);
      }
      const Placement whole{.parts = {{1, 0, kLayers}}};
      CHECK(logits_after(load_placed(path, whole), ids, 32) == expected);
      const Placement three{.parts = {{kHostDevice, 0, 1}, {1, 1, 3}, {0, 4, 1}}};
      CHECK(logits_after(load_placed(path, three), ids, 32) == expected);
    }
  }
}

TEST_CASE("prompts that take the host's layers to a device give the same logits") {
  const TempFolder folder;
  const std::string path = write_model(folder, {.architecture = "gemma2", .tied = true});
  const auto ids = some_ids(300);
  for (const KvType kv : {KvType::kF16, KvType::kInt8}) {
    const std::vector<float> expected = logits_on_host(path, ids, kv);
    for (const int64_t host : {1, 2, 5}) {
      for (const int64_t tokens : {33, 64, 512}) {
        CAPTURE(host);
        CAPTURE(tokens);
        Placement placement = cut_at(host);
        placement.streaming = {.from_tokens = 20, .tokens = tokens};
        CHECK(logits_after(load_placed(path, placement), ids, 16, kv) == expected);
      }
    }
    Placement three{.parts = {{kHostDevice, 0, 2}, {0, 2, 2}, {1, 4, 1}}};
    three.streaming = {.from_tokens = 20, .tokens = 128};
    CHECK(logits_after(load_placed(path, three), ids, 16, kv) == expected);
  }
}

TEST_CASE("1,000 streamed prompts over devices whose work comes late give the same logits") {
  const TempFolder folder;
  const std::string path = write_model(folder);
  const auto ids = some_ids(50);
  const std::vector<float> expected = logits_on_host(path, ids);
  Placement placement{.parts = {{kHostDevice, 0, 2}, {0, 2, 2}, {1, 4, 1}}};
  placement.streaming = {.from_tokens = 10, .tokens = 32};
  for (unsigned seed = 1; seed <= 50; ++seed) {
    const auto engine =
        std::make_shared<Engine>(EngineOptions{.threads = 1}, make_test_devices(2, seed));
    const auto model = LoadedModel::load(engine, path, {.placement = placement});
    for (int run = 0; run < 20; ++run) {
      CAPTURE(seed);
      REQUIRE(logits_after(model, ids, 8) == expected);
    }
  }
}

TEST_CASE("a session of a cut model is shortened and continued as any other") {
  const TempFolder folder;
  const std::string path = write_model(folder);
  Placement placement = cut_at(3);
  placement.streaming = {.from_tokens = 20, .tokens = 64};
  Session cut(load_placed(path, placement), {.chunk = 16});
  Session whole(LoadedModel::load(make_engine("auto"), path));
  const auto ids = some_ids(120), others = some_ids(70, 1);
  for (Session* session : {&cut, &whole}) {
    CHECK(session->feed(ids));
    session->truncate(37);
    CHECK(session->feed(others));
  }
  CHECK(std::ranges::equal(cut.logits(), whole.logits()));
}

TEST_CASE("a streamed prompt that is cancelled leaves a session that goes on") {
  const TempFolder folder;
  const std::string path = write_model(folder);
  Placement placement = cut_at(3);
  placement.streaming = {.from_tokens = 20, .tokens = 64};
  Session session(load_placed(path, placement), {.chunk = 16});
  const auto ids = some_ids(120);
  const CancelFlag cancel = true;
  CHECK_FALSE(session.feed(ids, &cancel));
  CHECK(session.ids().empty());
  CHECK(session.feed(ids));
  Session whole(LoadedModel::load(make_engine("auto"), path));
  CHECK(whole.feed(ids));
  CHECK(std::ranges::equal(session.logits(), whole.logits()));
}

std::shared_ptr<const Engine> engine_with(const MockOptions& options) {
  std::vector<EngineDevice> devices;
  devices.push_back({.name = "mock:0", .backend = std::make_unique<MockBackend>(options)});
  return std::make_shared<Engine>(EngineOptions{.threads = 1}, std::move(devices));
}

TEST_CASE("a device without room for the weights is refused with both numbers") {
  const TempFolder folder;
  const std::string path = write_model(folder);
  const auto engine = engine_with({.memory_bytes = 40 << 10});
  const Error error = error_of([&] { LoadedModel::load(engine, path, {.placement = cut_at(2)}); });
  CHECK(error.code() == ErrorCode::kDoesNotFit);
  CAPTURE(error.message());
  CHECK(error.message().find("expected ") != std::string::npos);
  CHECK(error.message().find(" for the weights of 3 layers, found ") != std::string::npos);
}

TEST_CASE("a device without room for keys and values is refused, and a shorter context fits") {
  const TempFolder folder;
  const std::string path = write_model(folder);
  const auto engine = engine_with({.memory_bytes = 1 << 20});
  const auto model = LoadedModel::load(engine, path, {.placement = cut_at(2)});
  const Error error = error_of([&] { Session(model, {.context = 1024, .chunk = 512}); });
  CHECK(error.code() == ErrorCode::kDoesNotFit);
  CHECK(error.message().find("a context of 1024 tokens: expected ") != std::string::npos);
  CHECK(error.message().find(" for keys, values and intermediate results on mock of cpu") !=
        std::string::npos);
  CHECK(Session(model, {.context = 64, .chunk = 8}).feed(some_ids(40)));
}

TEST_CASE("without pinned memory all is as with it") {
  const TempFolder folder;
  const std::string path = write_model(folder);
  Placement placement = cut_at(3);
  placement.streaming = {.from_tokens = 20, .tokens = 64};
  const auto ids = some_ids(100);
  const auto model =
      LoadedModel::load(engine_with({.refuses_pinning = true}), path, {.placement = placement});
  CHECK(logits_after(model, ids, 16) == logits_on_host(path, ids));
}

TEST_CASE("a device lost in mid-run is a sentence each time, and the session's ids are kept") {
  const TempFolder folder;
  const auto model = LoadedModel::load(engine_with({.lost_after = 200}), write_model(folder),
                                       {.placement = cut_at(2)});
  Session session(model, {.chunk = 16});
  int64_t fed = 0;
  const auto feed_on = [&] {
    for (;; ++fed) {
      const auto id = static_cast<TokenId>(fed % 200);
      session.feed({&id, 1});
    }
  };
  for (int attempt = 0; attempt < 2; ++attempt) {
    const Error error = error_of(feed_on);
    CHECK(error.code() == ErrorCode::kRuntime);
    CHECK(error.message().find("device lost") != std::string::npos);
  }
  CHECK(fed > 3);
  CHECK(std::ssize(session.ids()) == fed);
}

TEST_CASE("a placement that does not fit model or engine is refused") {
  const TempFolder folder;
  const std::string path = write_model(folder);
  const auto message = [&](const Placement& placement, int devices) {
    const Error error = error_of([&] { load_placed(path, placement, devices); });
    CHECK(error.code() == ErrorCode::kUsage);
    return error.message();
  };
  CHECK(message({.parts = {{kHostDevice, 0, 2}, {1, 2, 3}}}, 1) ==
        "placement: expected layers from 2 on one of 1 devices or the host, found 3 layers from 2 "
        "on device 1");
  CHECK(message({.parts = {{kHostDevice, 0, 2}, {0, 3, 2}}}, 1) ==
        "placement: expected layers from 2 on one of 1 devices or the host, found 2 layers from 3 "
        "on device 0");
  CHECK(message({.parts = {{kHostDevice, 0, 2}}}, 1) == "placement: expected 5 layers, found 2");
}

}  // namespace
}  // namespace mica::testing
