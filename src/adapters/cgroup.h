// Control groups of instances, on cgroup v2 hosts, v1 hosts and hybrid ones. Only this file knows their
// layout.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/result.h"

namespace ingot::adapters {

enum class CgroupMode {
  kV2,
  kHybrid,  // v1 controllers, and a second v2 tree at /sys/fs/cgroup/unified
  kV1,
};

struct CgroupHost {
  struct Hierarchy {
    fs::path mount;
    std::vector<std::string> controllers;  // "memory", "pids", …; v2: all that its root offers
  };
  CgroupMode mode = CgroupMode::kV2;
  std::vector<Hierarchy> hierarchies;  // where instances are put; never the second tree of a hybrid host

  // The directory of `group` ("/ingot-1a2b3c4d/name") that has the controller; empty when no hierarchy does.
  fs::path Directory(const std::string& controller, const std::string& group) const;
};

// kUnsupported when no cgroup file system is mounted.
Result<CgroupHost> LookAtCgroups();

// SIGKILL to every process in the group and below, until none is left. kTimeout when some do not end. A group
// that does not exist is success.
Result<void> KillCgroup(const CgroupHost& host, const std::string& group, Milliseconds timeout);
// Removes the group and those below in every hierarchy, waiting for its last process to be gone. Missing is
// success.
Result<void> RemoveCgroup(const CgroupHost& host, const std::string& group, Milliseconds timeout);
// True when a process in the group was killed for lack of memory.
Result<bool> HadOutOfMemory(const CgroupHost& host, const std::string& group);
// What its processes have used of the processors so far (µs), and take of the memory now (bytes), without
// what the kernel would take back first. Unset: the host does not count it.
struct CgroupUsage {
  std::optional<uint64_t> cpu_us;
  std::optional<uint64_t> memory_bytes;
};
// kNotFound when there is no such group.
Result<CgroupUsage> UsageOf(const CgroupHost& host, const std::string& group);
// The names of groups directly below `group`, in any hierarchy, sorted.
Result<std::vector<std::string>> ChildrenOf(const CgroupHost& host, const std::string& group);

}  // namespace ingot::adapters
