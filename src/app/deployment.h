// From the project in front of a verb to what the daemon is given: images built, secrets handed over,
// resolved for one environment. Shared by plan and apply.
#pragma once

#include <map>
#include <set>
#include <string>

#include "app/daemon_client.h"
#include "app/invocation.h"
#include "app/project.h"
#include "definition/resolved.h"

namespace ingot::app {

struct Deployment {
  Project project;
  definition::Resolved resolved;
};

// kInvalid naming every block that this version cannot do yet, with its line.
Result<void> RefuseUnsupported(const definition::Definition& definition, const std::string& environment);
// Hands secrets over to the daemon, or asks it for the newest version of those `from: store`; their versions
// by name. kNotFound: the store has none, and the message says how to set it.
Result<std::map<std::string, std::string>> SendSecrets(DaemonClient& client, const Project& project,
                                                       const std::string& environment,
                                                       const std::set<std::string>& names);
struct DeploymentOptions {
  bool allow_dirty = false;
  bool locked = false;
  std::string build_on;  // remote_build.h, BuildsThere
};
// Images that are built here for another host are there when it returns. The errors of each part.
Result<Deployment> PrepareDeployment(const Invocation& invocation, DaemonClient& client,
                                     const DeploymentOptions& options);

}  // namespace ingot::app
