#include "lib/backend/module_status.h"

#include <algorithm>
#include <new>
#include <utility>

#include "lib/base/error.h"

namespace mica {

void copy_text(std::string_view text, std::span<char> to) noexcept {
  size_t bytes = std::min(text.size(), to.size() - 1);
  if (bytes < text.size()) {
    // Where the first byte left out continues a character, that goes too.
    while (bytes > 0 && (static_cast<uint8_t>(text[bytes]) & 0xc0) == 0x80) --bytes;
  }
  std::fill(std::copy_n(text.begin(), bytes, to.begin()), to.end(), '\0');
}

void set_status(ModuleStatus& status, int32_t code, std::string_view text) noexcept {
  status.code = code;
  copy_text(text, status.text);
}

void set_status_of_exception(ModuleStatus& status) noexcept {
  constexpr auto kRuntime = static_cast<int32_t>(ErrorCode::kRuntime);
  try {
    throw;
  } catch (const Error& error) {
    set_status(status, static_cast<int32_t>(error.code()), error.message());
  } catch (const std::bad_alloc&) {
    set_status(status, ModuleStatus::kOutOfMemory, "out of memory");
  } catch (const std::exception& error) {
    set_status(status, kRuntime, error.what());
  } catch (...) {
    set_status(status, kRuntime, "a device's module threw what is no exception of C++");
  }
}

void throw_status(ModuleStatus& status) {
  const int32_t code = std::exchange(status.code, 0);
  if (code == 0) return;
  if (code == ModuleStatus::kOutOfMemory) throw std::bad_alloc();
  throw Error(static_cast<ErrorCode>(code), status.text);
}

}  // namespace mica
