// environments.X.verify: commands of the project that a new revision has to pass when it serves. They are
// files of the project, so its client runs them; the daemon knows only that nobody has said yet how they
// ended.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/daemon_client.h"
#include "app/invocation.h"
#include "app/project.h"

namespace ingot::app {

// What the environment's definition asks for; empty: nothing.
const std::vector<definition::Verify>& VerifyOf(const Project& project, const std::string& environment);

// Before anything is changed. kInvalid: the program of a command is not there, or may not be run (with the
// command's place in the definition).
Result<void> CheckVerifyCommands(const Project& project, const std::string& environment);

struct Verification {
  bool passed = true;
  std::string reason;  // what has failed, with the last lines that it said
  JsonArray runs;      // {command, passed, elapsed_ms, output}
};

// Runs the commands one after the other, up to the first that fails. One that cannot be run, or has not ended
// in its time, has failed. `rollout`: 0 when it is not known.
Verification RunVerifyCommands(const Invocation& invocation, const Project& project, uint64_t revision,
                               uint64_t rollout);

// Runs them for the revision that serves, and tells the daemon: it is verified, or traffic goes back to where
// it was before. `report`: what is added to with --json. The exit code: 0, 5 when traffic has gone back, 1
// when that was not possible.
int VerifyRevision(Invocation& invocation, const Project& project, uint64_t revision, uint64_t rollout,
                   JsonObject& report);

// The same for what serves now, if it is not verified yet; 0 when there is nothing to do.
int VerifyActive(Invocation& invocation, const Project& project, JsonObject& report);

}  // namespace ingot::app
