// A change of an environment as its client sees it: submitted, followed event by event, and its outcome.
#pragma once

#include <functional>
#include <string>

#include "app/daemon_client.h"
#include "app/invocation.h"
#include "base/json.h"

namespace ingot::app {

// Sends POST `target` (a path below an environment, with its query but without `stream`) and shows what
// happens until traffic has moved or will not. Returns the exit code: 0, or 5 when the rollout was reverted.
// With --json the last document is {"accepted": …, "rollout": …, "elapsed_ms": N}.
// `then`: done when the change has been made, before the last document is printed, to which it adds; its code
// is the outcome.
int FollowChange(Invocation& invocation, DaemonClient& client, const std::string& target,
                 const std::string& body, const std::function<int(JsonObject& last)>& then = {});

}  // namespace ingot::app
