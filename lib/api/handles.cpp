#include "lib/api/handles.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fmt/core.h>
#include <new>

namespace mica {
namespace {

constexpr struct {
  const char* name;
  KvType type;
} kKvTypes[] = {{"f16", KvType::kF16},  // the default first
                {"bf16", KvType::kBF16},
                {"int8", KvType::kInt8},
                {"f32", KvType::kF32}};

mica_status store(mica_error* error, mica_status status, const char* message) noexcept {
  if (!error) return status;
  error->status = status;
  try {
    error->message = message;
  } catch (const std::bad_alloc&) {
    error->message.clear();  // the status must do
  }
  return status;
}

}  // namespace

mica_status store_current_exception(mica_error* error) noexcept {
  try {
    throw;
  } catch (const Error& failure) {
    return store(error, static_cast<mica_status>(failure.code()), failure.what());
  } catch (const std::bad_alloc&) {
    return store(error, MICA_RUNTIME, "out of memory");
  } catch (const std::exception& failure) {
    return store(error, MICA_RUNTIME, failure.what());
  } catch (...) {
    return store(error, MICA_RUNTIME, "a callback threw something that is no std::exception");
  }
}

void fail_argument(const char* name) {
  throw Error(ErrorCode::kUsage,
              fmt::format("argument '{}': expected a pointer, found NULL", name));
}

void fail_struct_size(const char* name, size_t expected, size_t found) {
  throw Error(ErrorCode::kUsage,
              fmt::format("argument 'options': expected a struct_size of {}, as {}_init sets it, "
                          "found {}",
                          expected, name, found));
}

std::string_view text_or(const char* text, std::string_view fallback) {
  return text ? std::string_view(text) : fallback;
}

std::string_view text_of(const char* text, size_t size, const char* name) {
  if (!text && size > 0) fail_argument(name);
  return text ? std::string_view(text, size) : std::string_view();
}

Json parse_messages(const char* messages, size_t size) {
  const std::string_view text = text_of(messages, size, "messages");
  try {
    return Json::parse(text, "messages");
  } catch (const Error& error) {
    throw Error(ErrorCode::kUsage, error.message());  // the caller's, not a file's
  }
}

void hand_out(std::string_view text, mica_text* out) {
  auto* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (!copy) throw std::bad_alloc();
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  *out = {copy, text.size()};
}

KvType parse_kv_type(const char* name) {
  const std::string_view text = text_or(name, kKvTypes[0].name);
  std::string list;
  for (const auto& known : kKvTypes) {
    if (text == known.name) return known.type;
    list += (list.empty() ? "" : " or ") + std::string(known.name);
  }
  throw Error(ErrorCode::kUsage, fmt::format("kv: expected {}, found '{}'", list, text));
}

const char* kv_type_name(KvType type) {
  return std::find_if(std::begin(kKvTypes), std::end(kKvTypes) - 1,
                      [&](const auto& known) { return known.type == type; })
      ->name;
}

}  // namespace mica

const char* mica_version(void) {
  return MICA_VERSION;
}

mica_error* mica_error_create(void) {
  return new (std::nothrow) mica_error;
}
void mica_error_free(mica_error* error) {
  delete error;
}
mica_status mica_error_status(const mica_error* error) {
  return error ? error->status : MICA_OK;
}
const char* mica_error_message(const mica_error* error) {
  return error ? error->message.c_str() : "";
}

void mica_text_free(mica_text* text) {
  if (!text) return;
  std::free(text->data);
  *text = {nullptr, 0};
}

void mica_ids_free(mica_ids* ids) {
  if (!ids) return;
  std::free(ids->data);
  *ids = {nullptr, 0};
}
