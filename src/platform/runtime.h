// A runtime runs one process tree in isolation from a sealed root. platform/ knows nothing of crun.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "platform/fleet.h"

namespace ingot::platform {

// A range of host user and group ids that stands for 0 … count-1 inside.
struct IdRange {
  uint32_t first = 0;
  uint32_t count = 65536;
  bool operator==(const IdRange&) const = default;
};

// What runs: the image's config with the service's declarations on top, everything resolved.
struct Process {
  std::vector<std::string> args;
  std::map<std::string, std::string> environment;
  std::string workdir = "/";
  std::string user;  // "uid[:gid]" or names, looked up in the root's own /etc/passwd and /etc/group
  std::vector<std::string> capabilities;
};

// A root file system: sealed layers (paths of .erofs files, lowest first) over the object pool.
struct RootFs {
  std::vector<fs::path> layers;
  fs::path objects;
};

// A directory of the host in an instance, owners shifted as those of its root are: what is written in it as
// user n belongs to user n on the host, whatever range the instance has. An empty one is given to the user of
// the process.
struct VolumeBind {
  fs::path source;
  std::string path;
  bool read_only = false;
};

struct InstanceSpec {
  InstanceId id;
  std::string hostname;  // empty: the short name of `id`
  RootFs root;
  Process process;
  std::optional<IdRange> ids;  // unset: the host's ids (never for a serving instance)
  Limits limits;
  std::vector<Scratch> scratch;
  std::vector<VolumeBind> volumes;
  std::map<std::string, std::string> secrets;  // file name under /run/secrets → bytes
  std::map<std::string, std::string> hosts;    // name → address, for /etc/hosts
  fs::path network_namespace;                  // empty: a private namespace with loopback only
  std::string stop_signal = "SIGTERM";
};

enum class ProcessState { kCreated, kRunning, kExited };

struct RuntimeStatus {
  InstanceId id;
  ProcessState state = ProcessState::kCreated;
  int64_t pid = 0;               // of its first process, on the host
  std::optional<int> exit_code;  // kExited: unset when nobody saw it end
  bool out_of_memory = false;
  WallTime started{};
};

struct CopiedOut {
  uint64_t files = 0;
  uint64_t bytes = 0;
  std::vector<std::string> left_out;  // "/out/link: a symbolic link"; at most 100 are named
  uint64_t left_out_count = 0;
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  // Mounts the root, makes scratch, secrets and cgroup. Idempotent.
  virtual Result<void> Prepare(const InstanceSpec& spec) = 0;
  // Starts its process; returns when it runs. kFailed with the program's own words when it cannot be
  // executed.
  virtual Result<void> Start(const InstanceId& id) = 0;
  // Sends a signal by name ("SIGTERM") or number to its first process. kNotFound when it does not run.
  virtual Result<void> Signal(const InstanceId& id, const std::string& signal) = 0;
  // Kills whatever is left of it (SIGKILL to the whole cgroup) and releases everything but its log.
  // Idempotent.
  virtual Result<void> Remove(const InstanceId& id) = 0;
  // Ends it and copies what is in its kept scratch (Scratch::kept, as in its spec) to `target` + path, which
  // is made anew: plain files and directories only, no more bytes than the scratch holds.
  virtual Result<CopiedOut> CopyOut(const InstanceId& id, const std::vector<Scratch>& scratch,
                                    const fs::path& target) = 0;
  // Every instance prepared and not removed, also those started by an earlier process of ours. An Error is
  // "could not look".
  virtual Result<std::vector<RuntimeStatus>> Observe() = 0;
  // Time of processors (µs) and memory (bytes) of all its processes; `requests` stays unset. kNotFound.
  virtual Result<InstanceUsage> Usage(const InstanceId& id) = 0;
  // Runs a command inside a running instance (a `run:` probe); its exit code.
  virtual Result<int> Exec(const InstanceId& id, const std::vector<std::string>& args,
                           Milliseconds timeout) = 0;
};

// One throw-away run: a build step or an image test. Everything it leaves is removed but `upper`.
struct SandboxSpec {
  std::string name;  // unique among those running; a DNS label
  RootFs root;
  Process process;
  std::optional<fs::path>
      upper;  // directory that receives what it writes (build steps); unset: read-only root
  std::vector<Scratch> scratch;
  std::vector<std::pair<fs::path, std::string>> binds;  // host path → path inside, read-only
  bool host_network = false;  // build steps: the host's network and its /etc/resolv.conf; else loopback only
  Limits limits;
  Milliseconds timeout{600'000};
  // Descriptors of the caller, not owned: what is read from `input` is its standard input, what it writes
  // goes to the other two, and signals that `signals` (a signalfd, -1: none) has are sent to it. Unset: no
  // input.
  struct Streams {
    int input = 0;
    int output = 1;
    int error = 2;
    int signals = -1;
  };
  std::optional<Streams> streams;  // Run only, instead of `output`
  std::function<void(std::string_view)>
      output;  // stdout and stderr as they come; may be empty. Called on one thread.
};

class Sandbox {
 public:
  virtual ~Sandbox() = default;
  // Runs it to its end; the exit code (128 + signal when killed). kTimeout after `timeout`, kUnavailable when
  // the runtime is not installed.
  virtual Result<int> Run(const SandboxSpec& spec) = 0;
  // Starts it, calls `while_running` with a file descriptor of its network namespace (to probe it), then
  // kills it. The outcome of `while_running`; kFailed with its last output when it ended before, which
  // `has_ended` tells at once.
  using WhileRunning =
      std::function<Result<void>(int network_namespace, const std::function<bool()>& has_ended)>;
  virtual Result<void> With(const SandboxSpec& spec, const WhileRunning& while_running) = 0;
};

}  // namespace ingot::platform
