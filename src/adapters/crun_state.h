// What is known of processes without asking crun: its state files, and /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/result.h"

namespace ingot::adapters {

struct CrunState {
  pid_t pid = 0;             // the first process of the container, on the host
  uint64_t start_ticks = 0;  // tells it from a later process with the same number
  bool waiting = false;      // created, its program not yet started (exec.fifo is there)
};

// From the state directory of one container; nothing when crun has none. kCorrupt when it cannot be
// understood.
Result<std::optional<CrunState>> ReadCrunState(const fs::path& state_directory);

// Field 22 of /proc/PID/stat; nothing when there is no such process or only its zombie is left.
std::optional<uint64_t> StartTicks(pid_t pid);
// A descriptor of the container's process, if that very process still runs.
std::optional<Fd> OpenProcess(const CrunState& state);

// Lets a created container go on: what `crun start` does, without the process. kConflict when it does not
// wait.
Result<void> ReleaseExecFifo(const fs::path& state_directory);

}  // namespace ingot::adapters
