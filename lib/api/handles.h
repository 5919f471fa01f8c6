// What stands behind the opaque handles of mica.h, and the border where exceptions end.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "lib/api/mica.h"
#include "lib/base/error.h"
#include "lib/base/json.h"
#include "lib/runtime/generate.h"
#include "lib/runtime/plan.h"

struct mica_error {
  mica_status status = MICA_OK;
  std::string message;
};

struct mica_engine {
  std::shared_ptr<const mica::Engine> engine;
};

struct mica_model {
  std::shared_ptr<const mica::LoadedModel> model;
};

struct mica_session {
  mica::Session session;
  std::optional<mica::ChatTemplate> chat_template;  // given by the caller instead of the model's
  mica::CancelFlag cancel{};
};

namespace mica {

// Stores the exception being handled in `error` (may be nullptr) and returns its status.
mica_status store_current_exception(mica_error* error) noexcept;

// Runs `body` on this side of the border: no exception leaves.
template <class Body>
mica_status guarded(mica_error* error, Body&& body) noexcept {
  try {
    body();
    if (error) *error = mica_error{};
    return MICA_OK;
  } catch (...) {
    return store_current_exception(error);
  }
}

[[noreturn]] void fail_argument(const char* name);
[[noreturn]] void fail_struct_size(const char* name, size_t expected, size_t found);

// Throws Error(kUsage) naming the argument when it is NULL.
template <class T>
T& required(T* pointer, const char* name) {
  if (!pointer) fail_argument(name);
  return *pointer;
}

// Where a result goes: required, and empty until there is one.
template <class T>
T& cleared(T* out, const char* name) {
  return required(out, name) = T{};
}

// The options, or their defaults for NULL. Throws Error(kUsage) unless struct_size is the size this
// library was built with.
template <class Options>
Options options_or_default(const Options* given, void (*init)(Options*), const char* name) {
  Options options;
  init(&options);
  if (!given) return options;
  if (given->struct_size != sizeof(Options)) {
    fail_struct_size(name, sizeof(Options), given->struct_size);
  }
  return *given;
}

std::string_view text_or(const char* text, std::string_view fallback);
// The same checks for a pointer and length; NULL is allowed with length 0.
std::string_view text_of(const char* text, size_t size, const char* name);
// The JSON, which render_chat looks into. Throws Error(kUsage).
Json parse_messages(const char* messages, size_t size);
// Fills *out with a copy that mica_text_free frees. Throws std::bad_alloc.
void hand_out(std::string_view text, mica_text* out);

KvType parse_kv_type(const char* name);
const char* kv_type_name(KvType type);
LoadMode parse_load_mode(const char* name);
EngineOptions engine_options(const mica_engine_options& given);
// Throws Error(kUsage) for what makes no sense.
PlanRequest plan_request(const mica_model_options& given);

}  // namespace mica
