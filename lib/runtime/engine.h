// What all models of a program share: the threads, the backend with its ISA, the log sink. Chosen
// once, passed down; there are no mutable globals.
//
// An engine outlives what is made with it by shared ownership: a LoadedModel shares its Engine, a
// Session its LoadedModel. Steps of all sessions of one engine are serialised by lock(); everything
// const may be used from several threads.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "lib/backend/backend.h"
#include "lib/backend/device_module.h"
#include "lib/base/log.h"
#include "lib/base/thread_pool.h"

namespace mica {

struct EngineOptions {
  int threads = 0;           // 0: choose_threads (lib/base/host.h)
  std::string isa = "auto";  // a name of cpu_isas(), "generic" always; "reference": the plain one
  Activations activations = Activations::kInt8;
  // Devices besides the processors: "auto", all there are; "cpu", none; "cuda", those of this kind.
  std::string device = "auto";
  LogSink log;  // called from any thread that uses the engine
};

// All names of EngineOptions::isa but "auto", and whether this machine can run them.
std::vector<IsaInfo> engine_isas();
// What an engine would use. Throws as Engine does.
std::string choose_engine_isa(std::string_view requested);

// What the module of one kind of devices finds on this machine, without opening it.
struct DeviceKind {
  std::string kind;  // "cuda"
  std::vector<DeviceFacts> devices;
  std::string why_none;  // a sentence, where there are none
};
std::vector<DeviceKind> examine_devices();

// A device besides the host's processors.
struct EngineDevice {
  std::string name;  // "cuda:0"
  DeviceFacts facts;
  std::unique_ptr<Backend> backend;
};

class Engine {
 public:
  // Throws Error(kUnsupported) for an ISA the machine lacks, Error(kUsage) for one not known.
  explicit Engine(const EngineOptions& options);
  // With these devices in place of those that options.device finds.
  Engine(const EngineOptions& options, std::vector<EngineDevice> devices);

  const LogSink& log_sink() const { return log_; }
  void log(LogLevel level, std::string_view text) const {
    if (log_) log_(level, text);
  }

  // Held while the backend or the pool works.
  std::unique_lock<std::mutex> lock() const { return std::unique_lock(mutex_); }
  Backend& backend() const { return *backend_; }
  ThreadPool& pool() const { return *pool_; }
  const std::string& isa() const { return isa_; }  // of the kernels in use
  // Opened when first asked for, which takes a moment. Throws Error(kUnsupported) when the kind
  // that was asked for by name has none here.
  std::span<const EngineDevice> devices() const;
  Backend& device(int index) const { return *devices()[index].backend; }

 private:
  void open_devices() const;

  LogSink log_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<Backend> backend_;  // borrows the pool
  std::string isa_;
  std::string device_;
  Activations activations_;
  mutable std::once_flag devices_opened_;
  mutable std::vector<EngineDevice> devices_;
  mutable std::mutex mutex_;
};

}  // namespace mica
