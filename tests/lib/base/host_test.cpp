#include "lib/base/host.h"

#include <doctest/doctest.h>
#include <map>
#include <optional>
#include <stdlib.h>
#include <string>

#include "tests/support/error_of.h"
#include "tests/support/temp_folder.h"

using namespace mica;
using mica::testing::error_of;
using mica::testing::TempFolder;

namespace {

// Sets or removes the variables that matter here, and puts them back.
class Environment {
 public:
  using Variables = std::map<std::string, std::string>;

  explicit Environment(const Variables& wanted) {
    for (const char* name : {"MICA_THREADS", "OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"}) {
      const char* value = getenv(name);
      before_[name] = value ? std::optional<std::string>(value) : std::nullopt;
      unsetenv(name);
    }
    for (const auto& [name, value] : wanted) setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() {
    for (const auto& [name, value] : before_) {
      if (value) {
        setenv(name.c_str(), value->c_str(), 1);
      } else {
        unsetenv(name.c_str());
      }
    }
  }

 private:
  std::map<std::string, std::optional<std::string>> before_;
};

void put_topology(const TempFolder& root, int cpu, const std::string& siblings) {
  root.put("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list",
           siblings + "\n");
}

constexpr uint64_t kGiB = uint64_t{1} << 30;

// Sixteen processors of two sockets with two threads a core; 64 GiB, 48 of them available.
void put_machine(const TempFolder& root, const std::string& allowed) {
  root.put("proc/self/status",
           "Name:\tx\nCpus_allowed:\tffff\nCpus_allowed_list:\t" + allowed + "\n");
  root.put("sys/devices/system/cpu/online", "0-15\n");
  for (int cpu = 0; cpu < 16; ++cpu) {
    const int first = cpu / 8 * 8 + cpu % 4;
    put_topology(root, cpu, std::to_string(first) + "," + std::to_string(first + 4));
  }
  root.put("proc/meminfo",
           "MemTotal:       67108864 kB\nMemFree: 1 kB\nMemAvailable:   50331648 kB\n");
  root.put("proc/cpuinfo", "processor\t: 0\nmodel name\t: A Processor @ 3 GHz\nflags\t: x\n");
}

constexpr const char* kMountV2 =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

}  // namespace

TEST_CASE("cores are counted once each, inside the affinity mask") {
  const Environment environment(Environment::Variables{});
  const TempFolder root;
  put_machine(root, "0-15");
  HostFacts host = read_host_facts(root.path());
  CHECK(host.online_cpus == 16);
  CHECK(host.affinity_cpus == 16);
  CHECK(host.physical_cores == 8);
  CHECK(host.cpu_name == "A Processor @ 3 GHz");
  put_machine(root, "0,4,9-10");  // 0 and 4 are one core
  host = read_host_facts(root.path());
  CHECK(host.affinity_cpus == 4);
  CHECK(host.physical_cores == 3);
  CHECK(choose_threads(host, 0).threads == 3);
  CHECK(choose_threads(host, 0).reason == "3 physical cores in the affinity mask");
}

TEST_CASE("a machine that tells nothing has one processor and unknown memory") {
  const Environment environment(Environment::Variables{});
  const TempFolder root;
  const HostFacts host = read_host_facts(root.path());
  CHECK(host.online_cpus == 1);
  CHECK(host.affinity_cpus == 1);
  CHECK(host.physical_cores == 1);
  CHECK(host.cgroup_cpus == 0);
  CHECK(host.memory_total_bytes == 0);
  CHECK(host.memory_available_bytes == 0);
  CHECK(host.cgroup_memory_bytes == 0);
  CHECK(host.cpu_name == "unknown");
  CHECK(choose_threads(host, 0).threads == 1);
}

TEST_CASE("without topology every processor counts as a core") {
  const TempFolder root;
  root.put("proc/self/status", "Cpus_allowed_list:\t0-2,5\n");
  CHECK(read_host_facts(root.path()).physical_cores == 4);
}

TEST_CASE("files full of nonsense are ignored") {
  const TempFolder root;
  put_machine(root, "x,3-1,-4,99999999999,1-,2");
  root.put("proc/self/cgroup", "::\n0:\nnonsense\n0::no-slash\n\n1:cpu\n");
  root.put("proc/self/mountinfo", "1 2 3\n - \na b c d e - cgroup2\n1 2 3 4 5 - cgroup2 x y\n");
  root.put("proc/meminfo", "MemTotal: many\nMemAvailable:\n");
  const HostFacts host = read_host_facts(root.path());
  CHECK(host.affinity_cpus >= 1);
  CHECK(host.cgroup_cpus == 0);
  CHECK(host.memory_total_bytes == 0);
}

TEST_CASE("the least quota and memory limit of all version 2 ancestors counts") {
  const Environment environment(Environment::Variables{});
  const TempFolder root;
  put_machine(root, "0-15");
  root.put("proc/self/cgroup", "0::/user.slice/job/step\n");
  root.put("proc/self/mountinfo", kMountV2);
  const std::string top = "sys/fs/cgroup/";
  root.put(top + "user.slice/cpu.max", "max 100000\n");
  root.put(top + "user.slice/job/cpu.max", "250000 100000\n");
  root.put(top + "user.slice/job/step/cpu.max", "600000 100000\n");
  root.put(top + "user.slice/memory.max", std::to_string(8 * kGiB) + "\n");
  root.put(top + "user.slice/memory.current", std::to_string(7 * kGiB) + "\n");
  root.put(top + "user.slice/memory.stat", "anon 1\nfile 2\nactive_file " +
                                               std::to_string(2 * kGiB) + "\ninactive_file " +
                                               std::to_string(1 * kGiB) + "\n");
  root.put(top + "user.slice/job/memory.max", "max\n");
  root.put(top + "user.slice/job/step/memory.max", std::to_string(6 * kGiB) + "\n");
  root.put(top + "user.slice/job/step/memory.current", std::to_string(1 * kGiB) + "\n");
  const HostFacts host = read_host_facts(root.path());
  CHECK(host.cgroup_cpus == 2.5);
  CHECK(host.cgroup_memory_bytes == 6 * kGiB);
  CHECK(host.memory_total_bytes == 64 * kGiB);
  CHECK(host.memory_available_bytes == 4 * kGiB);  // 8 - (7 - 3), less than 6 - 1
  CHECK(choose_threads(host, 0).threads == 2);
  CHECK(choose_threads(host, 0).reason == "a cgroup quota of 2.5 processors");
}

TEST_CASE("a group over its limit leaves nothing, not a huge number") {
  const TempFolder root;
  put_machine(root, "0-1");
  root.put("proc/self/cgroup", "0::/\n");
  root.put("proc/self/mountinfo", kMountV2);
  root.put("sys/fs/cgroup/memory.max", "1000\n");
  root.put("sys/fs/cgroup/memory.current", "5000\n");
  root.put("sys/fs/cgroup/cpu.max", "50000 100000\n");
  HostFacts host = read_host_facts(root.path());
  CHECK(host.memory_available_bytes == 0);
  CHECK(host.cgroup_cpus == 0.5);
  const Environment environment(Environment::Variables{});
  CHECK(choose_threads(host, 0).threads == 1);
  root.put("sys/fs/cgroup/memory.stat", "inactive_file 99999\n");  // more than is used
  CHECK(read_host_facts(root.path()).memory_available_bytes == 1000);
}

TEST_CASE("version 1 hierarchies are read at their own mounts, container roots taken off") {
  const Environment environment(Environment::Variables{});
  const TempFolder root;
  put_machine(root, "0-15");
  root.put(
      "proc/self/cgroup",
      "12:memory:/docker/abc/inner\n5:cpu,cpuacct:/docker/abc\n3:cpuset:/docker/abc\n0::/unused\n");
  root.put(
      "proc/self/mountinfo",
      "40 30 0:30 /docker/abc /sys/fs/cgroup/cpu\\054cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
      "41 30 0:31 /docker/abc /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n"
      "42 30 0:32 /docker/abc /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n");
  root.put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n");
  root.put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  root.put("sys/fs/cgroup/memory/memory.limit_in_bytes", std::to_string(4 * kGiB) + "\n");
  root.put("sys/fs/cgroup/memory/memory.usage_in_bytes", std::to_string(3 * kGiB) + "\n");
  root.put("sys/fs/cgroup/memory/memory.stat", "inactive_file 5\ntotal_inactive_file " +
                                                   std::to_string(1 * kGiB) +
                                                   "\ntotal_active_file 0\n");
  root.put("sys/fs/cgroup/memory/inner/memory.limit_in_bytes", "9223372036854771712\n");
  root.put("sys/fs/cgroup/memory/inner/memory.usage_in_bytes", std::to_string(3 * kGiB) + "\n");
  HostFacts host = read_host_facts(root.path());
  CHECK(host.cgroup_cpus == 3.0);
  CHECK(host.cgroup_memory_bytes == 4 * kGiB);
  CHECK(host.memory_available_bytes == 2 * kGiB);
  root.put("sys/fs/cgroup/memory/inner/memory.limit_in_bytes", std::to_string(3 * kGiB) + "\n");
  host = read_host_facts(root.path());
  CHECK(host.cgroup_memory_bytes == 3 * kGiB);
  CHECK(host.memory_available_bytes == 0);
}

TEST_CASE("a version 1 group without a quota has none") {
  const TempFolder root;
  put_machine(root, "0-15");
  root.put("proc/self/cgroup", "5:cpu,cpuacct:/a\n");
  root.put("proc/self/mountinfo", "40 30 0:30 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n");
  root.put("cg/cpu/a/cpu.cfs_quota_us", "-1\n");
  root.put("cg/cpu/a/cpu.cfs_period_us", "100000\n");
  CHECK(read_host_facts(root.path()).cgroup_cpus == 0);
  root.put("cg/cpu/cpu.cfs_quota_us", "150000\n");
  root.put("cg/cpu/cpu.cfs_period_us", "100000\n");
  CHECK(read_host_facts(root.path()).cgroup_cpus == 1.5);
}

TEST_CASE("a group outside of what is mounted gives the limits of the mount") {
  const TempFolder root;
  put_machine(root, "0-15");
  root.put("proc/self/cgroup", "0::/../../other\n");
  root.put("proc/self/mountinfo", kMountV2);
  root.put("sys/fs/cgroup/cpu.max", "400000 100000\n");
  CHECK(read_host_facts(root.path()).cgroup_cpus == 4.0);
}

TEST_CASE("threads are chosen by the first rule that applies, and the reason says which") {
  HostFacts host;
  host.online_cpus = 64;
  host.affinity_cpus = 32;
  host.physical_cores = 16;
  const auto choose = [&](const Environment::Variables& variables, int requested = 0) {
    const Environment environment(variables);
    return choose_threads(host, requested);
  };
  CHECK(choose({}).threads == 16);
  CHECK(choose({{"OMP_NUM_THREADS", "4"}}).threads == 4);
  CHECK(choose({{"OMP_NUM_THREADS", "4"}}).reason == "OMP_NUM_THREADS=4");
  CHECK(choose({{"OMP_NUM_THREADS", "4,2"}}).threads == 4);
  CHECK(choose({{"OMP_NUM_THREADS", "100"}}).threads == 16);
  CHECK(choose({{"OMP_NUM_THREADS", "junk"}}).threads == 16);
  CHECK(choose({{"OMP_NUM_THREADS", "-2"}}).threads == 16);
  CHECK(choose({{"MICA_THREADS", "24"}, {"OMP_NUM_THREADS", "4"}}).threads == 24);
  CHECK(choose({{"MICA_THREADS", "24"}}).reason == "MICA_THREADS=24");
  CHECK(choose({{"MICA_THREADS", ""}}).threads == 16);
  CHECK(choose({{"MICA_THREADS", "24"}}, 3).threads == 3);
  host.slurm_cpus = 6;
  CHECK(choose({}).threads == 6);
  CHECK(choose({}).reason == "SLURM_CPUS_PER_TASK=6");
  host.affinity_cpus = 4;  // a Slurm step may have fewer than the variable says
  CHECK(choose({}).threads == 4);
  host.cgroup_cpus = 3.99;
  CHECK(choose({}).threads == 3);
  host.cgroup_cpus = 0.3;
  CHECK(choose({}).threads == 1);
}

TEST_CASE("threads that can run at once are those of the affinity mask or of the quota") {
  HostFacts host;
  host.affinity_cpus = 4;
  host.physical_cores = 2;  // no bound: two threads of a core run at once
  CHECK(usable_threads(host).threads == 4);
  CHECK(usable_threads(host).reason == "4 processors in the affinity mask");
  host.cgroup_cpus = 3.99;
  CHECK(usable_threads(host).threads == 3);
  CHECK(usable_threads(host).reason == "a cgroup quota of 3.99 processors");
  host.cgroup_cpus = 8;
  CHECK(usable_threads(host).threads == 4);
  host.cgroup_cpus = 0.3;
  CHECK(usable_threads(host).threads == 1);
}

TEST_CASE("a number of threads that makes no sense is refused with its source") {
  const HostFacts host;
  for (const int requested : {-1, 1025}) {
    const Error error = error_of([&] { choose_threads(host, requested); });
    CHECK(error.code() == ErrorCode::kUsage);
  }
  for (const char* text : {"0", "-1", "1025", "two", "4x", "3.5", "99999999999999999999", "+4"}) {
    const Environment environment(Environment::Variables{{"MICA_THREADS", text}});
    const Error error = error_of([&] { choose_threads(host, 0); });
    CHECK(error.code() == ErrorCode::kUsage);
    CHECK(error.message() == "MICA_THREADS: expected a number of threads from 1 to 1024, found \"" +
                                 std::string(text) + "\"");
  }
}

TEST_CASE("more threads than can run at once are refused with the reason") {
  HostFacts host{.online_cpus = 4, .affinity_cpus = 4, .physical_cores = 4};
  CHECK(choose_running_threads(host, 4).threads == 4);
  host.cgroup_cpus = 2.5;
  CHECK(choose_running_threads(host, 2).threads == 2);
  CHECK(error_of([&] { choose_running_threads(host, 3); }).message() ==
        "threads: expected 1 .. 2 (a cgroup quota of 2.5 processors), found 3");
  const Environment environment(Environment::Variables{{"MICA_THREADS", "4"}});
  CHECK(error_of([&] { choose_running_threads(host, 0); }).message() ==
        "MICA_THREADS: expected 1 .. 2 (a cgroup quota of 2.5 processors), found 4");
  CHECK(choose_running_threads(host, 1).threads == 1);
}

TEST_CASE("SLURM_CPUS_PER_TASK is a fact of the host") {
  const TempFolder root;
  {
    const Environment environment(Environment::Variables{{"SLURM_CPUS_PER_TASK", "7"}});
    CHECK(read_host_facts(root.path()).slurm_cpus == 7);
  }
  const Environment environment(Environment::Variables{{"SLURM_CPUS_PER_TASK", "nonsense"}});
  CHECK(read_host_facts(root.path()).slurm_cpus == 0);
}

TEST_CASE("this machine's facts hang together") {
  const HostFacts host = read_host_facts();
  CHECK(host.affinity_cpus >= 1);
  CHECK(host.affinity_cpus <= host.online_cpus);
  CHECK(host.physical_cores >= 1);
  CHECK(host.physical_cores <= host.affinity_cpus);
  CHECK(host.memory_total_bytes > 0);
  CHECK(host.memory_available_bytes <= host.memory_total_bytes);
}
