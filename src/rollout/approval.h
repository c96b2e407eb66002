// Approval: where a rollout waits for somebody's word, and whose. Pure.
//
// A release waits before anything is done for the role of its environment (`environments.X.approval`), and in
// a step of a canary for those of its `approve`. What counts is the rules that are in force, those of the
// active revision; what the release itself adds counts as well, so that no release takes its own gate away.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "audit/event.h"
#include "definition/rules.h"
#include "rollout/environment_state.h"

namespace ingot::rollout {

struct Gate {
  std::vector<std::string> missing;  // roles that have not approved yet, sorted; never empty
  WallTime expires{};
};

// Of the active revision; null when there is none.
const definition::ResolvedRules* RulesInForce(const EnvironmentState& state);

// Of the rollout in progress, in the place where it is; unset: it waits for nobody. In a step `expires`
// counts from when the step could be left, once its weights are in effect.
std::optional<Gate> GateOf(const EnvironmentState& state);

// "somebody of ops", "somebody of ops and somebody of security"
std::string RenderRoles(const std::vector<std::string>& roles);

// The event by which those who may approve hear of it; `gate` of the rollout in progress.
audit::Draft AwaitedEvent(const EnvironmentState& state, const Gate& gate);

// Null when neither the rules in force nor the rollout's target have it.
const definition::ResolvedRole* RoleOf(const EnvironmentState& state, const std::string& name);

// Notes that `user` approves, for every role of his that is waited for. kConflict: nobody's word is waited
// for; kPermission: he is of none of the roles.
Result<void> TakeApproval(EnvironmentState& state, const definition::User& user, const std::string& note,
                          std::vector<audit::Draft>& events);

}  // namespace ingot::rollout
