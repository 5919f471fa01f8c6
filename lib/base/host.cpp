#include "lib/base/host.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fmt/format.h>
#include <limits>
#include <optional>
#include <sched.h>
#include <set>
#include <string_view>
#include <vector>

#include "lib/base/error.h"
#include "lib/base/mapped_file.h"

namespace mica {
namespace {

constexpr uint64_t kPseudoFileLimit = 16 << 20;
constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

// A file of /proc or /sys, or empty: every fact has a fallback.
std::string read_pseudo_file(const std::string& path) {
  try {
    return read_text_file(path, kPseudoFileLimit);
  } catch (const Error&) {
    return {};
  }
}

std::vector<std::string_view> split_text(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\n");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\n") - begin + 1);
}

// The number that `text` begins with, if any.
template <class T>
std::optional<T> leading_number(std::string_view text) {
  text = trim(text);
  T value;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

// The rest of the first line that begins with `key`.
std::string_view line_after(std::string_view text, std::string_view key) {
  for (const std::string_view line : split_text(text, '\n')) {
    if (line.starts_with(key)) return trim(line.substr(key.size()));
  }
  return {};
}

// "0-3,8" as {0, 1, 2, 3, 8}.
std::vector<int> parse_cpu_list(std::string_view text) {
  std::vector<int> cpus;
  for (const std::string_view range : split_text(trim(text), ',')) {
    const auto first = leading_number<int>(range);
    const size_t dash = range.find('-');
    const auto last = dash == range.npos ? first : leading_number<int>(range.substr(dash + 1));
    if (!first || !last || *first < 0 || *last - *first >= 1 << 16) continue;
    for (int cpu = *first; cpu <= *last; ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

// A kernel built for more processors than the set holds refuses it, so the set grows.
std::vector<int> affinity_of_this_thread() {
  for (size_t sets = 1; sets <= 1024; sets *= 4) {
    std::vector<cpu_set_t> mask(sets);
    const size_t bytes = sets * sizeof(cpu_set_t);
    if (sched_getaffinity(0, bytes, mask.data()) != 0) continue;
    std::vector<int> cpus;
    for (int cpu = 0; cpu < static_cast<int>(bytes * 8); ++cpu) {
      if (CPU_ISSET_S(cpu, bytes, mask.data())) cpus.push_back(cpu);
    }
    return cpus;
  }
  return {};
}

std::vector<int> read_affinity(const std::string& root) {
  if (root.empty()) return affinity_of_this_thread();
  return parse_cpu_list(
      line_after(read_pseudo_file(root + "/proc/self/status"), "Cpus_allowed_list:"));
}

// A core is a list of the processors that share it: numbers of cores begin again in every cluster
// of some AArch64 systems. Where the topology is hidden every processor counts as a core.
int count_physical_cores(const std::string& root, const std::vector<int>& cpus) {
  std::set<std::string> cores;
  int unknown = 0;
  for (const int cpu : cpus) {
    const std::string siblings = read_pseudo_file(
        fmt::format("{}/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", root, cpu));
    if (siblings.empty()) {
      ++unknown;
    } else {
      cores.insert(siblings);
    }
  }
  return static_cast<int>(cores.size()) + unknown;
}

// mountinfo writes blanks in paths as \040 and the like.
std::string unescape_octal(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    int value = 0;
    const char* digits = text.data() + i + 1;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(digits, digits + 3, value, 8).ptr == digits + 3) {
      out += static_cast<char>(value);
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool lists(std::string_view names, std::string_view name) {
  const auto parts = split_text(names, ',');
  return std::find(parts.begin(), parts.end(), name) != parts.end();
}

// This process' group: in version 2 when `controller` is empty, else in the version 1 hierarchy
// that has the controller.
std::optional<std::string> own_cgroup(const std::string& root, std::string_view controller) {
  const std::string groups = read_pseudo_file(root + "/proc/self/cgroup");
  for (const std::string_view line : split_text(groups, '\n')) {  // ID:controllers:path
    const size_t list = line.find(':');
    const size_t path = line.find(':', list + 1);
    if (list == line.npos || path == line.npos) continue;
    const std::string_view controllers = line.substr(list + 1, path - list - 1);
    if (controller.empty() ? line.starts_with("0::") : lists(controllers, controller)) {
      return std::string(line.substr(path + 1));
    }
  }
  return std::nullopt;
}

struct CgroupMount {
  std::string group;   // the group that is mounted: "/", or a container's own
  std::string folder;  // where
};

std::optional<CgroupMount> find_cgroup_mount(const std::string& root, std::string_view controller) {
  const std::string mounts = read_pseudo_file(root + "/proc/self/mountinfo");
  for (const std::string_view line : split_text(mounts, '\n')) {
    // ID parent device group folder options [tags...] - type source super-options
    const size_t dash = line.find(" - ");
    if (dash == line.npos) continue;
    const auto left = split_text(line.substr(0, dash), ' ');
    const auto right = split_text(line.substr(dash + 3), ' ');
    if (left.size() < 5 || right.size() < 3) continue;
    if (controller.empty() ? right[0] == "cgroup2"
                           : right[0] == "cgroup" && lists(right[2], controller)) {
      return CgroupMount{unescape_octal(left[3]), root + unescape_octal(left[4])};
    }
  }
  return std::nullopt;
}

// Folders of this process' group and of all its visible ancestors; `controller` as for
// own_cgroup().
std::vector<std::string> cgroup_folders(const std::string& root, std::string_view controller) {
  const std::optional<std::string> group = own_cgroup(root, controller);
  const std::optional<CgroupMount> mount = find_cgroup_mount(root, controller);
  if (!group || !mount) return {};
  // The group's path below what is mounted; a group outside of it is not visible at all.
  std::string_view below = *group;
  if (mount->group != "/") {
    const bool inside =
        below.starts_with(mount->group) && below.substr(mount->group.size()).starts_with('/');
    below.remove_prefix(inside ? mount->group.size() : below.size());
  }
  if (below.find("/..") != below.npos) below = {};
  std::vector<std::string> folders;
  for (; below.size() > 1; below = below.substr(0, below.rfind('/'))) {
    folders.push_back(fmt::format("{}{}", mount->folder, below));
  }
  folders.push_back(mount->folder);
  return folders;
}

uint64_t read_size(const std::string& path) {
  return leading_number<uint64_t>(read_pseudo_file(path)).value_or(kUnlimited);
}

double read_cgroup_cpus(const std::string& root) {
  double least = 0;
  const auto consider = [&](std::optional<double> quota, std::optional<double> period) {
    if (!quota || !period || *quota <= 0 || *period <= 0) return;
    least = least == 0 ? *quota / *period : std::min(least, *quota / *period);
  };
  for (const std::string& folder : cgroup_folders(root, "")) {
    const std::string text =
        read_pseudo_file(folder + "/cpu.max");  // "150000 100000", "max 100000"
    const auto words = split_text(text, ' ');
    if (words.size() == 2)
      consider(leading_number<double>(words[0]), leading_number<double>(words[1]));
  }
  for (const std::string& folder : cgroup_folders(root, "cpu")) {
    consider(leading_number<double>(read_pseudo_file(folder + "/cpu.cfs_quota_us")),
             leading_number<double>(read_pseudo_file(folder + "/cpu.cfs_period_us")));
  }
  return least;
}

// Names of one cgroup version's files.
struct MemoryFiles {
  const char* controller;
  const char* limit;
  const char* usage;
  const char* active_file;
  const char* inactive_file;
};

void apply_cgroup_memory(const std::string& root, const MemoryFiles& names, HostFacts& facts) {
  for (const std::string& folder : cgroup_folders(root, names.controller)) {
    const uint64_t limit = read_size(folder + names.limit);
    // Version 1 writes "no limit" as a number near 2^63.
    if (limit >= uint64_t{1} << 62) continue;
    if (facts.cgroup_memory_bytes == 0 || limit < facts.cgroup_memory_bytes) {
      facts.cgroup_memory_bytes = limit;
    }
    const uint64_t usage = read_size(folder + names.usage);
    if (usage == kUnlimited) continue;
    const std::string statistics = read_pseudo_file(folder + "/memory.stat");
    const auto pages = [&](const char* key) {
      return leading_number<uint64_t>(line_after(statistics, key)).value_or(0);
    };
    const uint64_t reclaimable = pages(names.active_file) + pages(names.inactive_file);
    const uint64_t needed = usage - std::min(usage, reclaimable);
    facts.memory_available_bytes =
        std::min(facts.memory_available_bytes, limit - std::min(limit, needed));
  }
}

void read_memory(const std::string& root, HostFacts& facts) {
  const std::string meminfo = read_pseudo_file(root + "/proc/meminfo");
  const auto bytes = [&](const char* key) {
    return leading_number<uint64_t>(line_after(meminfo, key)).value_or(0) * 1024;
  };
  facts.memory_total_bytes = bytes("MemTotal:");
  facts.memory_available_bytes = bytes("MemAvailable:");
  if (facts.memory_available_bytes == 0) facts.memory_available_bytes = kUnlimited;  // not told
  apply_cgroup_memory(
      root, {"", "/memory.max", "/memory.current", "active_file ", "inactive_file "}, facts);
  apply_cgroup_memory(root,
                      {"memory", "/memory.limit_in_bytes", "/memory.usage_in_bytes",
                       "total_active_file ", "total_inactive_file "},
                      facts);
  if (facts.memory_available_bytes == kUnlimited) facts.memory_available_bytes = 0;
}

std::string read_cpu_name(const std::string& root) {
  const std::string cpuinfo = read_pseudo_file(root + "/proc/cpuinfo");
  std::string_view name = line_after(cpuinfo, "model name");
  if (name.starts_with(':')) name = trim(name.substr(1));
  return name.empty() ? "unknown" : std::string(name);
}

// A number of threads from the environment; 0: not set or not a positive number.
int threads_of(const char* variable) {
  const char* text = std::getenv(variable);
  const int value = text ? leading_number<int>(text).value_or(0) : 0;
  return std::max(value, 0);
}

int require_threads(std::string_view what, std::optional<int> threads, std::string_view found) {
  if (threads && *threads >= 1 && *threads <= kMaxThreads) return *threads;
  throw Error(ErrorCode::kUsage,
              fmt::format("{}: expected a number of threads from 1 to {}, found {}", what,
                          kMaxThreads, found));
}

}  // namespace

HostFacts read_host_facts(const std::string& root) {
  HostFacts facts;
  const std::vector<int> affinity = read_affinity(root);
  const std::string online = read_pseudo_file(root + "/sys/devices/system/cpu/online");
  facts.affinity_cpus = std::max<int>(1, static_cast<int>(affinity.size()));
  facts.online_cpus = static_cast<int>(parse_cpu_list(online).size());
  if (facts.online_cpus == 0) facts.online_cpus = facts.affinity_cpus;
  facts.physical_cores = std::max(1, count_physical_cores(root, affinity));
  facts.cgroup_cpus = read_cgroup_cpus(root);
  facts.slurm_cpus = threads_of("SLURM_CPUS_PER_TASK");
  read_memory(root, facts);
  facts.cpu_name = read_cpu_name(root);
  return facts;
}

ThreadChoice usable_threads(const HostFacts& host) {
  ThreadChoice usable{host.affinity_cpus,
                      fmt::format("{} processors in the affinity mask", host.affinity_cpus)};
  const double quota = std::max(std::floor(host.cgroup_cpus), 1.0);
  if (host.cgroup_cpus > 0 && quota < usable.threads) {
    usable = {static_cast<int>(quota),
              fmt::format("a cgroup quota of {:.4g} processors", host.cgroup_cpus)};
  }
  return usable;
}

ThreadChoice choose_threads(const HostFacts& host, int requested) {
  if (requested != 0) {
    return {require_threads("threads", requested, fmt::to_string(requested)), "asked for"};
  }
  if (const char* text = std::getenv("MICA_THREADS"); text && *text) {
    const std::string_view word = trim(text);
    const bool digits = word.find_first_not_of("0123456789") == word.npos;
    const auto number = digits ? leading_number<int>(word) : std::nullopt;
    return {require_threads("MICA_THREADS", number, fmt::format("\"{}\"", text)),
            fmt::format("MICA_THREADS={}", word)};
  }
  ThreadChoice choice{host.physical_cores,
                      fmt::format("{} physical core{} in the affinity mask", host.physical_cores,
                                  host.physical_cores == 1 ? "" : "s")};
  const auto cap = [&](int threads, std::string reason) {
    threads = std::max(threads, 1);
    if (threads < choice.threads) choice = {threads, std::move(reason)};
  };
  const ThreadChoice usable = usable_threads(host);
  cap(usable.threads, usable.reason);
  if (host.slurm_cpus > 0) {
    cap(host.slurm_cpus, fmt::format("SLURM_CPUS_PER_TASK={}", host.slurm_cpus));
  }
  if (const int omp = threads_of("OMP_NUM_THREADS"); omp > 0) {
    cap(omp, fmt::format("OMP_NUM_THREADS={}", omp));
  }
  cap(kMaxThreads, fmt::format("at most {} threads", kMaxThreads));
  return choice;
}

ThreadChoice choose_running_threads(const HostFacts& host, int requested) {
  const ThreadChoice choice = choose_threads(host, requested), usable = usable_threads(host);
  if (choice.threads <= usable.threads) return choice;
  // Only what was asked for passes the caps of choose_threads().
  throw Error(ErrorCode::kUsage, fmt::format("{}: expected 1 .. {} ({}), found {}",
                                             requested != 0 ? "threads" : "MICA_THREADS",
                                             usable.threads, usable.reason, choice.threads));
}

}  // namespace mica
