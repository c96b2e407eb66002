// Artifacts of a run, from the daemon to a directory of ours.
#pragma once

#include "app/daemon_client.h"
#include "base/file.h"

namespace ingot::app {

// Copies them below `directory`, which is made, or must be empty: so nothing in it can lead a file elsewhere.
// Answers with {"files", "size_bytes", "left_out"}. `target` is the API's path of the run's artifacts.
// kExists when the directory is not empty; kFailed when the daemon could not keep them.
Result<Json> CopyArtifacts(DaemonClient& client, const std::string& target, const fs::path& directory);

}  // namespace ingot::app
