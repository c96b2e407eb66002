// What somebody who is not root may ask of the daemon: what `access` of the environment's active revision
// lets him (docs/guide/releases.md). Who may be heard at all is a matter of the socket's group (host.yaml).
#pragma once

#include <string>

#include "adapters/http_server.h"
#include "definition/rules.h"

namespace ingot::app {

definition::User UserOf(const adapters::SocketPeer& peer);

// Null rules: nothing is deployed there. `what` is the part of the path after the environment. kPermission
// names the right that is missing. An approval is judged by the rollout that waits for it.
Result<void> Permit(const adapters::HttpRequest& request, const std::string& environment,
                    const std::string& what, const definition::ResolvedRules* rules);

}  // namespace ingot::app
