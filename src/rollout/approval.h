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
#include "rollout/command.h"
#include "rollout/environment_state.h"

namespace ingot::rollout {

struct Gate {
  std::vector<std::string> missing;  // roles that have not approved yet, sorted; never empty
  std::optional<WallTime> expires;   // unset: something else still keeps it where it is
};

// Of the active revision; null when there is none.
const definition::ResolvedRules* RulesInForce(const EnvironmentState& state);

// Of the rollout in progress, in the place where it is; unset: it waits for nobody. `expires` counts from
// when nothing else keeps it there, and anew from a resume.
std::optional<Gate> GateOf(const EnvironmentState& state);

// "somebody of ops", "somebody of ops and somebody of security"
std::string RenderRoles(const std::vector<std::string>& roles);

// The event by which those who may approve hear of it; `gate` of the rollout in progress.
audit::Draft AwaitedEvent(const EnvironmentState& state, const Gate& gate);

// Who may approve as this role: null when neither the rules in force nor the rollout's target say so.
const definition::ResolvedRole* RoleOf(const EnvironmentState& state, const std::string& name);

// Notes that somebody approves, for every role of his that is waited for. kConflict: nobody's word is waited
// for, or it is meant for another rollout or step; kPermission: he is of none of the roles.
Result<void> TakeApproval(EnvironmentState& state, const Approve& approve, std::vector<audit::Draft>& events);

}  // namespace ingot::rollout
