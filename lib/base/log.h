// Where messages for people go. The library never prints: it tells the sink it was given.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace mica {

enum class LogLevel { kDebug, kInfo, kWarning };
using LogSink = std::function<void(LogLevel, std::string_view)>;

// Told about long work from time to time, from one thread: `done` of `total` units (bytes unless
// said otherwise). Returning false asks for the work to stop with Error(kInterrupted).
using Progress = std::function<bool(uint64_t done, uint64_t total)>;

}  // namespace mica
