// What somebody who is not root may ask of the daemon: what `access` of the environment's active revision
// lets him (docs/guide/releases.md). Who may be heard at all is a matter of the socket's group (host.yaml).
#pragma once

#include <string>

#include "adapters/http_server.h"
#include "definition/resolved.h"

namespace ingot::app {

definition::User UserOf(const adapters::SocketPeer& peer);

// Null rules: nothing is deployed there. `what` is the part of the path after the environment. kPermission
// names the right that is missing. An approval is judged by the rollout that waits for it.
Result<void> Permit(const adapters::HttpRequest& request, const std::string& environment,
                    const std::string& what, const definition::ResolvedRules* rules);

// What the daemon does as root itself, and in no instance: commands that are notified, that are checks or
// count for scaling, and migrations of a file of the host. kPermission when `next` has one that the active
// revision, null when nothing is deployed, does not have: whoever may deploy is not root by it.
Result<void> PermitHostWork(const definition::Resolved& next, const definition::Resolved* active);
Result<void> PermitHostWork(const std::vector<definition::ResolvedMigration>& next,
                            const definition::Resolved* active);

}  // namespace ingot::app
