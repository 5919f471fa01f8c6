// A thin C++ layer over mica.h: owning handles, std::string in and out, errors as exceptions.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "lib/api/mica.h"

namespace mica::api {

// A failed call: the status is the program's exit code, the sentence names the cause.
class Failure : public std::runtime_error {
 public:
  Failure(mica_status status, const std::string& message)
      : std::runtime_error(message), status_(status) {}
  mica_status status() const { return status_; }

 private:
  mica_status status_;
};

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* handle) const {
    Free(handle);
  }
};
using EngineHandle = std::unique_ptr<mica_engine, Deleter<mica_engine_free>>;
using ModelHandle = std::unique_ptr<mica_model, Deleter<mica_model_free>>;
using SessionHandle = std::unique_ptr<mica_session, Deleter<mica_session_free>>;
using ErrorHandle = std::unique_ptr<mica_error, Deleter<mica_error_free>>;

// Calls `function(arguments..., error)` and throws Failure unless it returns MICA_OK.
template <class Function, class... Arguments>
void call(Function function, Arguments... arguments) {
  const ErrorHandle error(mica_error_create());
  const mica_status status = function(arguments..., error.get());
  if (status != MICA_OK) {
    throw Failure(status, error ? mica_error_message(error.get()) : "out of memory");
  }
}

// The same for functions whose last result is a text.
template <class Function, class... Arguments>
std::string text_of(Function function, Arguments... arguments) {
  mica_text text{};
  call(function, arguments..., &text);
  const std::unique_ptr<mica_text, Deleter<mica_text_free>> guard(&text);
  return std::string(text.data, text.size);
}

// Receives pieces of text; returning false stops the generation.
using TokenCallback = std::function<bool(std::string_view piece, int32_t id)>;
using ProgressCallback = std::function<bool(uint64_t done, uint64_t total)>;

inline int forward_token(void* user, const char* text, size_t size, int32_t id) {
  const auto& callback = *static_cast<const TokenCallback*>(user);
  return !callback || callback({text, size}, id);
}
inline int forward_progress(void* user, uint64_t done, uint64_t total) {
  const auto& callback = *static_cast<const ProgressCallback*>(user);
  return !callback || callback(done, total);
}
template <class Callback>
void* user_of(const Callback& callback) {
  return const_cast<void*>(static_cast<const void*>(&callback));
}

inline std::string doctor(const mica_engine_options& options) {
  return text_of(mica_doctor, &options);
}

// `path` is not looked at for a synthetic model.
inline std::string plan(const mica_engine_options& engine, const std::string& path,
                        const mica_plan_options& options) {
  return text_of(mica_plan, &engine, path.c_str(), &options);
}

// Receives the result so far; returning false stops the benchmark.
using BenchCallback = std::function<bool(std::string_view json)>;

inline int forward_bench(void* user, const char* json, size_t size) {
  const auto& callback = *static_cast<const BenchCallback*>(user);
  return !callback || callback({json, size});
}
// `path` is not looked at for a synthetic model.
inline std::string bench(const mica_engine_options& engine, const std::string& path,
                         const mica_bench_options& options, const BenchCallback& callback) {
  return text_of(mica_bench, &engine, path.c_str(), &options, &forward_bench, user_of(callback));
}

class Session {
 public:
  explicit Session(mica_session* session) : session_(session) {}

  std::string generate(std::string_view prompt, uint32_t flags,
                       const mica_generate_options& options, const TokenCallback& callback) {
    return text_of(mica_generate, session_.get(), prompt.data(), prompt.size(), flags, &options,
                   &forward_token, user_of(callback));
  }
  std::string chat(std::string_view messages_json, const mica_generate_options& options,
                   const TokenCallback& callback) {
    return text_of(mica_chat, session_.get(), messages_json.data(), messages_json.size(), &options,
                   &forward_token, user_of(callback));
  }
  void cancel() { mica_session_cancel(session_.get()); }

 private:
  SessionHandle session_;
};

class Model {
 public:
  explicit Model(mica_model* model) : model_(model) {}

  std::string info() const { return text_of(mica_model_info, model_.get()); }
  std::vector<int32_t> tokenize(std::string_view text, uint32_t flags = 0) const {
    mica_ids ids{};
    call(mica_tokenize, model_.get(), text.data(), text.size(), flags, &ids);
    const std::unique_ptr<mica_ids, Deleter<mica_ids_free>> guard(&ids);
    return {ids.data, ids.data + ids.size};
  }
  std::string detokenize(std::span<const int32_t> ids, uint32_t flags = 0) const {
    return text_of(mica_detokenize, model_.get(), ids.data(), ids.size(), flags);
  }
  std::string render_chat(std::string_view messages_json) const {
    return text_of(mica_render_chat, model_.get(), messages_json.data(), messages_json.size());
  }
  const mica_model* handle() const { return model_.get(); }
  Session session(const mica_session_options& options) const {
    mica_session* session = nullptr;
    call(mica_session_create, model_.get(), &options, &session);
    return Session(session);
  }
  std::string perplexity(const mica_perplexity_options& options,
                         const ProgressCallback& progress) const {
    return text_of(mica_perplexity, model_.get(), &options, &forward_progress, user_of(progress));
  }

 private:
  ModelHandle model_;
};

class Engine {
 public:
  explicit Engine(const mica_engine_options& options) {
    mica_engine* engine = nullptr;
    call(mica_engine_create, &options, &engine);
    engine_.reset(engine);
  }
  Model load(const std::string& path, const mica_model_options& options) const {
    mica_model* model = nullptr;
    call(mica_model_load, engine_.get(), path.c_str(), &options, &model);
    return Model(model);
  }
  std::string convert(const std::string& source, const std::string& output,
                      const mica_convert_options& options, const ProgressCallback& progress) const {
    return text_of(mica_convert, engine_.get(), source.c_str(), output.c_str(), &options,
                   &forward_progress, user_of(progress));
  }

 private:
  EngineHandle engine_;
};

}  // namespace mica::api
