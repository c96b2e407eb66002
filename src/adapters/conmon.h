// conmon: the process beside each instance that keeps its log and its exit code.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/result.h"

namespace ingot::adapters {

struct ConmonStart {
  std::string name;    // the container's id
  fs::path bundle;     // its directory, with config.json
  fs::path crun_root;  // crun's state directory
  fs::path exit_dir;   // <exit_dir>/<name> gets the exit code
  fs::path log;        // Kubernetes log format
  int mount_namespace = -1;
  // A lock (flock(2)) that conmon and all it starts inherit: while one of them is left, or a child of ours on
  // its way to become conmon, it is not free. The container's own process does not have it.
  int lock = -1;
};

// Starts conmon in a session of its own, which has crun create the container; it waits for its start. Returns
// the pid of its first process. kFailed with crun's own words.
Result<pid_t> CreateByConmon(const ConmonStart& start);

// The conmon of a bundle, if it runs.
std::optional<Fd> OpenConmon(const fs::path& bundle, const std::string& name);
// As OpenConmon for one that had no time to write down its pid: looks at every process. Finds none that has
// not yet executed conmon.
std::optional<Fd> FindConmon(const fs::path& bundle);

// The exit code that conmon wrote; nothing when there is none.
Result<std::optional<int>> ReadExitCode(const fs::path& exit_dir, const std::string& name);

// Makes `log` into log.1, the older ones into .2 … `keep` (0: removes it), and has conmon, if it runs, go on
// in a new file. conmon writes on into the renamed file until then, so no line is lost.
Result<void> RotateLog(const fs::path& log, const fs::path& bundle, int keep);

// The last `bytes` of a log's messages, without the times and stream names in front of each line.
std::string TailOfLog(const fs::path& log, size_t bytes);

}  // namespace ingot::adapters
