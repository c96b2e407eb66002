// Starting other programs, with a deadline, without a shell.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/result.h"

namespace ingot {

struct Command {
  std::vector<std::string> argv{};                          // argv[0] is looked up on PATH
  std::optional<std::map<std::string, std::string>> env{};  // whole environment; unset: the caller's
  fs::path cwd{};                                           // empty: the caller's
  std::vector<std::pair<int, int>> fds{};  // (ours, theirs): duplicated onto `theirs` in the child
  int mount_namespace = -1;                // descriptors entered with setns(2) before exec; not owned
  int network_namespace = -1;
  std::optional<std::pair<uid_t, gid_t>>
      user{};                          // drops to it, with no supplementary group and no capability
  bool new_session = false;            // setsid(2): survives the death of the caller's session
  bool new_mount_namespace = false;    // unshare(CLONE_NEWNS) with private propagation
  bool mount_proc = false;             // with new_mount_namespace: mounts /proc of its own pid namespace
  std::vector<std::string> unmount{};  // paths detached in the child after that (missing is fine)
  bool die_with_parent = false;        // PR_SET_PDEATHSIG SIGKILL
  // Of Run: once it is true, the child ends as on a timeout, with kCancelled. Not owned.
  const std::atomic<bool>* cancelled = nullptr;
};

struct CommandResult {
  int exit_code = -1;  // -1 when killed by a signal
  int signal = 0;      // 0 when it exited
  std::string out;     // at most 16 MiB of each stream is kept: the head
  std::string err;
  bool ok() const { return exit_code == 0; }
  // "exit code 2" or "killed by signal 9".
  std::string Describe() const;
};

// A child that was started. Destroying it neither kills nor reaps; call Wait or release the pid to somebody
// who does.
struct Child {
  pid_t pid = -1;
  Fd pidfd;  // readable when it has ended
};

// Starts `command` (vfork: no copy of the caller's memory). kNotFound when the program does not exist: the
// message says which Debian package has it, when known.
Result<Child> Spawn(const Command& command);

// Waits for the child's end and reaps it. kTimeout when it has not ended by then (it is still running).
Result<CommandResult> Wait(Child& child, Milliseconds timeout);

// Runs to completion, feeding `input` and collecting stdout and stderr. On timeout the child's process group
// is killed with SIGKILL and kTimeout returned, and within 100 ms of `cancelled` kCancelled. A non-zero exit
// is not an Error: look at the result.
Result<CommandResult> Run(Command command, Milliseconds timeout, std::string_view input = {});

// As Run, and a non-zero exit is kFailed with the last lines of its stderr.
Result<std::string> RunChecked(Command command, Milliseconds timeout, std::string_view input = {});

// The absolute path of a program on PATH (or the standard system folders), or kNotFound naming its Debian
// package.
Result<fs::path> FindProgram(std::string_view name);

}  // namespace ingot
