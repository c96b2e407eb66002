// From the project in front of a verb to what the daemon is given: images built, secrets handed over,
// resolved for one environment. Shared by plan and apply.
#pragma once

#include "app/daemon_client.h"
#include "app/invocation.h"
#include "app/project.h"
#include "definition/resolved.h"

namespace ingot::app {

struct Deployment {
  Project project;
  definition::Resolved resolved;
};

// kUnsupported names every block that this version cannot do yet, with its line. Otherwise the errors of each
// part.
Result<Deployment> PrepareDeployment(const Invocation& invocation, DaemonClient& client, bool allow_dirty,
                                     bool locked);

}  // namespace ingot::app
