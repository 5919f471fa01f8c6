// Facts about this host: processors that may be used, memory that may be used, and why.
#pragma once

#include <cstdint>
#include <string>

namespace mica {

constexpr int kMaxThreads = 1024;

struct ThreadChoice {
  int threads = 1;
  std::string reason;  // "2 physical cores in the affinity mask", for `mica doctor`
};

struct HostFacts {
  int online_cpus = 0;
  int affinity_cpus = 0;
  int physical_cores = 0;  // inside the affinity mask
  double cgroup_cpus = 0;  // least quota / period over all ancestors; 0: no limit
  int slurm_cpus = 0;      // SLURM_CPUS_PER_TASK; 0: not set
  uint64_t memory_total_bytes = 0;
  // The least of MemAvailable and what every cgroup leaves; 0: unknown.
  uint64_t memory_available_bytes = 0;
  uint64_t cgroup_memory_bytes = 0;  // least memory.max over all ancestors; 0: no limit
  std::string cpu_name;
};

// `root` stands in front of /proc and /sys (tests give a folder of their own).
HostFacts read_host_facts(const std::string& root = "");

// How many threads can run at the same time: min(affinity, quota), at least one.
ThreadChoice usable_threads(const HostFacts& host);

// The threads of a program: `requested` (0: not given) > MICA_THREADS > min(affinity, quota, Slurm,
// OMP_NUM_THREADS), then physical cores. Throws Error(kUsage) for numbers that make no sense
// (below 0, above kMaxThreads, MICA_THREADS that is no number).
ThreadChoice choose_threads(const HostFacts& host, int requested);

// choose_threads() for threads that are to run now: refuses more than usable_threads() as well,
// since they would wait for each other.
ThreadChoice choose_running_threads(const HostFacts& host, int requested);

}  // namespace mica
