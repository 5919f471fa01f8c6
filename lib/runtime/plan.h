// The planner: what of a model goes where, to the byte, before anything is loaded.
//
// Pure: facts in, a placement out, the same for the same facts. Of all placements within the
// budgets it takes the one with
//   1. the most layers on devices, the last ones, so that head and hop stay there (their keys and
//      values lie with them),
//   2. the longest context, where it may be shorter than wished,
//   3. the first type of keys and values in the order of preference,
//   4. the largest chunk of prompts,
//   5. the longest streamed step, and the embedding on the device.
// Read from below that is the order in which things are conceded. What the user fixes is never
// conceded. More memory of devices never gives fewer layers to them.
//
// Streaming of prompts is planned where steps of kLeastStreamed tokens gain by it. Its slots take
// the room of a few layers, which it gets while decode loses at most kStreamingLoss by that: so
// with most layers on the host, not when nearly all fit. Memory that cannot hold the slots besides
// one layer holds this one only: otherwise a little more memory would take layers away again.
#pragma once

#include <string>
#include <vector>

#include "lib/runtime/plan_bytes.h"
#include "lib/runtime/plan_rates.h"

namespace mica {

constexpr int64_t kLeastStreamed = 1024, kMostStreamed = 8192;
constexpr int64_t kLeastChunk = 64, kMostChunk = 512;
constexpr int64_t kLeastContext = 1024;  // that a context may be shortened to
constexpr double kStreamingLoss = 0.1;

struct PlanDevice {
  std::string name;           // "cuda:0"
  uint64_t budget_bytes = 0;  // that may be used
  PlanRates rates;
  WorkspaceBytes workspace;
};

struct PlanHost {
  uint64_t budget_bytes = UINT64_MAX;  // available, by the system and its cgroup
  PlanRates rates;
  WorkspaceBytes workspace;
};

struct PlanRequest {
  uint64_t gpu_memory = 0;    // of each device at most; 0: its budget
  int64_t gpu_layers = -1;    // exactly so many on devices, all if there are fewer; -1: chosen
  bool needs_device = false;  // at least one layer on a device
  uint64_t host_memory = 0;   // at most; 0: its budget
  int64_t context = 0;        // positions; 0: default_context()
  bool may_shorten = false;   // whether the context may be shorter
  std::vector<KvType> kv = {KvType::kF16};  // in order of preference
  int64_t chunk = 0;                        // 0: chosen
  bool copies_weights = false;              // the file is read to memory, not mapped
};

// The host, or a device.
struct PlanPlace {
  std::string name;
  int device = kHostDevice;
  uint64_t budget_bytes = 0;
  PlanBytes bytes;
  uint64_t mapped_bytes = 0;   // of the file that the host computes with: page cache, which can go
  uint64_t deficit_bytes = 0;  // missing here
};

struct Plan {
  bool fits = false;
  uint64_t deficit_bytes = 0;            // of all places: with just so much more in each it fits
  Placement placement;                   // the smallest one asked for if it does not fit
  std::vector<PlanPlace> places;         // the host, and all devices
  std::vector<std::string> concessions;  // sentences
  std::vector<std::string> would_fit;    // "--ctx 4096", where it does not
  int64_t prompt_tokens = 0;             // of the prefill that was predicted
  double prefill_tokens_per_second = 0;
  double decode_tokens_per_second = 0;
};

// Throws Error(kUsage) for pins that contradict the model or each other, Error(kUnsupported) for
// keys and values that the model cannot have.
Plan make_plan(const PlanModel& model, const std::vector<PlanDevice>& devices, const PlanHost& host,
               const PlanRequest& request);

// "cuda:0: 1.2 GiB missing of 3.4 GiB; it would fit with --ctx 4096 or ..."
std::string deficit_sentence(const Plan& plan);

}  // namespace mica
