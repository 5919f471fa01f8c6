// How a failure crosses the border of a module (device_module.h): exception to status to exception.
#pragma once

#include <string_view>

#include "lib/backend/device_module.h"

namespace mica {

// Texts that are too long are cut behind a whole character.
void set_status(ModuleStatus& status, int32_t code, std::string_view text) noexcept;
// Of the exception being handled: an Error's own code, bad_alloc as kOutOfMemory, others as
// kRuntime.
void set_status_of_exception(ModuleStatus& status) noexcept;
// Likewise for texts without a status: the whole of `to` is written.
void copy_text(std::string_view text, std::span<char> to) noexcept;

// Throws what the status says, and clears it; returns when it says nothing.
void throw_status(ModuleStatus& status);

}  // namespace mica
