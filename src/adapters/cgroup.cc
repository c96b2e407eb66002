#include "adapters/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <set>
#include <sstream>
#include <thread>

namespace ingot::adapters {

namespace {

constexpr const char* kRoot = "/sys/fs/cgroup";

std::vector<std::string> Words(const std::string& text, char separator) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, separator);)
    if (!word.empty()) out.push_back(word);
  return out;
}

bool IsController(const std::string& option) {
  static const std::set<std::string> known = {"cpu",      "cpuacct", "cpuset",     "memory",  "devices",
                                              "freezer",  "blkio",   "pids",       "hugetlb", "net_cls",
                                              "net_prio", "rdma",    "perf_event", "misc"};
  return known.contains(option) || option.starts_with("name=");
}

void CollectProcesses(const fs::path& directory, std::set<pid_t>& out) {
  if (auto text = ReadFile(directory / "cgroup.procs"))
    for (const std::string& line : Words(*text, '\n')) {
      pid_t pid = 0;
      std::from_chars(line.data(), line.data() + line.size(), pid);
      if (pid > 0) out.insert(pid);
    }
}

// The sub-directories of a cgroup; none when it is gone.
std::vector<std::string> SubGroups(const fs::path& directory) {
  std::vector<std::string> out;
  DIR* dir = ::opendir(directory.c_str());
  if (dir == nullptr) return out;
  while (const dirent* entry = ::readdir(dir))
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') out.emplace_back(entry->d_name);
  ::closedir(dir);
  return out;
}

void CollectTree(const fs::path& directory, std::set<pid_t>& out) {
  CollectProcesses(directory, out);
  for (const std::string& name : SubGroups(directory)) CollectTree(directory / name, out);
}

// 0 or an errno. Children first.
int RemoveTreeOnce(const fs::path& directory) {
  if (::rmdir(directory.c_str()) == 0 || errno == ENOENT) return 0;
  const int failed = errno;
  bool any = false;
  for (const std::string& name : SubGroups(directory)) {
    any = true;
    if (const int error = RemoveTreeOnce(directory / name); error != 0) return error;
  }
  if (!any) return failed;
  return ::rmdir(directory.c_str()) == 0 || errno == ENOENT ? 0 : errno;
}

// The number at the beginning of the line that starts with `name`.
std::optional<uint64_t> NumberAfter(const std::string& text, std::string_view name) {
  for (const std::string& line : Words(text, '\n')) {
    uint64_t value = 0;
    if (line.starts_with(name) &&
        std::from_chars(line.data() + name.size(), line.data() + line.size(), value).ec == std::errc())
      return value;
  }
  return std::nullopt;
}

bool Exists(const fs::path& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

}  // namespace

fs::path CgroupHost::Directory(const std::string& controller, const std::string& group) const {
  for (const Hierarchy& hierarchy : hierarchies)
    if (std::find(hierarchy.controllers.begin(), hierarchy.controllers.end(), controller) !=
        hierarchy.controllers.end())
      return hierarchy.mount.string() + group;
  return {};
}

Result<CgroupHost> LookAtCgroups() {
  CgroupHost host;
  struct statfs st {};
  if (::statfs(kRoot, &st) < 0) return ErrnoError(errno, std::string("look at ") + kRoot);
  if (st.f_type == CGROUP2_SUPER_MAGIC) {
    const std::string controllers = TRY(ReadFile(fs::path(kRoot) / "cgroup.controllers"));
    std::string line = controllers.substr(0, controllers.find('\n'));
    host.hierarchies.push_back({kRoot, Words(line, ' ')});
    return host;
  }
  host.mode = CgroupMode::kV1;
  for (const std::string& line : Words(TRY(ReadFile("/proc/self/mountinfo")), '\n')) {
    const size_t dash = line.find(" - ");
    const std::vector<std::string> before = Words(line.substr(0, dash), ' ');
    const std::vector<std::string> after = Words(dash == std::string::npos ? "" : line.substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3 || !before[4].starts_with(std::string(kRoot) + "/")) continue;
    if (after[0] == "cgroup2") host.mode = CgroupMode::kHybrid;
    if (after[0] != "cgroup") continue;
    CgroupHost::Hierarchy hierarchy{before[4], {}};
    for (const std::string& option : Words(after[2], ','))
      if (IsController(option)) hierarchy.controllers.push_back(option);
    // The order of mounting repeats when a hierarchy is mounted twice.
    const bool seen = std::any_of(host.hierarchies.begin(), host.hierarchies.end(), [&](const auto& other) {
      return other.controllers == hierarchy.controllers;
    });
    if (!seen && !hierarchy.controllers.empty()) host.hierarchies.push_back(std::move(hierarchy));
  }
  if (host.hierarchies.empty())
    return Error(Code::kUnsupported,
                 "no cgroup controllers are mounted below /sys/fs/cgroup; on Debian systemd mounts them");
  return host;
}

Result<void> KillCgroup(const CgroupHost& host, const std::string& group, Milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  auto pause = std::chrono::microseconds(200);
  while (true) {
    std::set<pid_t> pids;
    for (const auto& hierarchy : host.hierarchies) {
      const fs::path directory = hierarchy.mount.string() + group;
      if (host.mode == CgroupMode::kV2 && Exists(directory / "cgroup.kill")) {
        if (auto fd = OpenFile(directory / "cgroup.kill", O_WRONLY); fd)
          static_cast<void>(WriteAll(fd->get(), "1").has_value());
      }
      CollectTree(directory, pids);
    }
    if (pids.empty()) return {};
    for (const pid_t pid : pids) ::kill(pid, SIGKILL);
    if (std::chrono::steady_clock::now() > deadline)
      return Error(Code::kTimeout, std::to_string(pids.size()) + " processes of cgroup " + group +
                                       " do not end after SIGKILL, process " + std::to_string(*pids.begin()) +
                                       " first; they wait for the kernel");
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::microseconds(10'000));
  }
}

Result<void> RemoveCgroup(const CgroupHost& host, const std::string& group, Milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (const auto& hierarchy : host.hierarchies) {
    const fs::path directory = hierarchy.mount.string() + group;
    auto pause = std::chrono::microseconds(200);
    while (const int error = RemoveTreeOnce(directory)) {
      if (error != EBUSY || std::chrono::steady_clock::now() > deadline)
        return ErrnoError(error, "remove the cgroup " + directory.string());
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 2, std::chrono::microseconds(10'000));
    }
  }
  return {};
}

Result<bool> HadOutOfMemory(const CgroupHost& host, const std::string& group) {
  const fs::path directory = host.Directory("memory", group);
  if (directory.empty()) return false;
  const char* file = host.mode == CgroupMode::kV2 ? "memory.events" : "memory.oom_control";
  auto text = ReadFile(directory / file);
  if (!text) {
    if (text.error().code() == Code::kNotFound) return false;
    return std::move(text).error();
  }
  for (const std::string& line : Words(*text, '\n'))
    if (line.starts_with("oom_kill ")) return line != "oom_kill 0";
  return false;
}

Result<CgroupUsage> UsageOf(const CgroupHost& host, const std::string& group) {
  const bool v2 = host.mode == CgroupMode::kV2;
  CgroupUsage usage;
  // cgroup-v2.rst, "CPU" and "Memory"; cgroup-v1/cpuacct.rst and memory.rst.
  if (const fs::path cpu = host.Directory(v2 ? "cpu" : "cpuacct", group); !cpu.empty()) {
    if (v2) {
      usage.cpu_us = NumberAfter(TRY(ReadFile(cpu / "cpu.stat")), "usage_usec ");
    } else if (auto ns = NumberAfter(TRY(ReadFile(cpu / "cpuacct.usage")), "")) {
      usage.cpu_us = *ns / 1000;
    }
  }
  if (const fs::path memory = host.Directory("memory", group); !memory.empty()) {
    const auto all =
        NumberAfter(TRY(ReadFile(memory / (v2 ? "memory.current" : "memory.usage_in_bytes"))), "");
    const auto idle =
        NumberAfter(TRY(ReadFile(memory / "memory.stat")), v2 ? "inactive_file " : "total_inactive_file ");
    if (all && idle) usage.memory_bytes = *all - std::min(*all, *idle);
  }
  return usage;
}

Result<std::vector<std::string>> ChildrenOf(const CgroupHost& host, const std::string& group) {
  std::set<std::string> names;
  for (const auto& hierarchy : host.hierarchies)
    for (std::string& name : SubGroups(hierarchy.mount.string() + group)) names.insert(std::move(name));
  return std::vector<std::string>(names.begin(), names.end());
}

}  // namespace ingot::adapters
