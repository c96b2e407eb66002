// The OCI runtime configuration (config.json) of one process: pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "adapters/root_user.h"
#include "base/json.h"
#include "platform/runtime.h"

namespace ingot::adapters {

struct CrunConfig {
  fs::path root;  // where it is mounted
  bool read_only = true;
  std::string hostname;
  platform::Process process;
  RootUser user;
  std::optional<platform::IdRange> ids;
  platform::Limits limits;
  bool limit_swap = false;  // the host's cgroups can
  std::vector<platform::Scratch> scratch;
  struct Bind {
    fs::path source;
    std::string target;
    bool recursive = false;
    bool no_exec = false;
    bool writable = false;
  };
  std::vector<Bind> binds;
  std::optional<Bind> sys;     // /sys from here; unset: a new sysfs
  bool host_network = false;   // no network namespace of its own
  fs::path network_namespace;  // joined; empty with host_network false: a new one
  std::string cgroup;          // "/ingot-1a2b3c4d/name"
  std::string seccomp_filter;  // the compiled profile, base64; empty: crun compiles it
  bool cgroup_mount = false;   // show its own cgroup at /sys/fs/cgroup (cgroup v2 hosts)
};

// Directories that have to exist in the root for the mounts of this configuration.
std::vector<std::string> MountPoints(const CrunConfig& config);
Json RenderCrunConfig(const CrunConfig& config);

// The files that every instance has of its own, instead of its image's.
std::vector<std::string> InstanceFiles();

// Docker's default set, for build steps.
const std::vector<std::string>& BuildCapabilities();

// kInvalid for a name that is not a Linux capability ("NET_BIND_SERVICE", "CAP_NET_BIND_SERVICE").
Result<std::string> ParseCapability(std::string_view text);

}  // namespace ingot::adapters
