#include "rollout/approval.h"

#include <algorithm>

#include "plan/plan.h"
#include "rollout/transition.h"

namespace ingot::rollout {

const definition::ResolvedRules* RulesInForce(const EnvironmentState& state) {
  return state.active ? &state.rules : nullptr;
}

namespace {

// The roles that are waited for where the rollout is, and for how long.
std::map<std::string, Milliseconds> Needed(const EnvironmentState& state) {
  const Rollout& rollout = *state.rollout;
  if (rollout.kind != RolloutKind::kApply) return {};
  if (rollout.phase == Phase::kPlanned)
    return plan::ApprovalOf(RulesInForce(state), state.RevisionOf(rollout.to).resolved.rules);
  if (rollout.phase != Phase::kStepping) return {};
  const auto steps = StepsOf(state);
  if (rollout.step == 0 || rollout.step > steps.size()) return {};
  return steps[rollout.step - 1].approve;
}

}  // namespace

std::optional<Gate> GateOf(const EnvironmentState& state) {
  if (!state.rollout) return std::nullopt;
  Gate gate;
  std::optional<Milliseconds> within;
  for (const auto& [role, limit] : Needed(state)) {
    if (state.rollout->approved.contains(role)) continue;
    gate.missing.push_back(role);
    within = within ? std::min(*within, limit) : limit;
  }
  if (gate.missing.empty()) return std::nullopt;
  if (state.rollout->awaited) gate.expires = *state.rollout->awaited + *within;
  return gate;
}

std::string RenderRoles(const std::vector<std::string>& roles) {
  std::string out;
  for (size_t i = 0; i < roles.size(); ++i)
    out += (i == 0 ? "" : i + 1 == roles.size() ? " and " : ", ") + ("somebody of " + roles[i]);
  return out;
}

audit::Draft AwaitedEvent(const EnvironmentState& state, const Gate& gate) {
  JsonObject detail = Describe(*state.rollout);
  JsonArray roles;
  for (const std::string& role : gate.missing) roles.emplace_back(role);
  detail["roles"] = std::move(roles);
  detail["expires"] = gate.expires ? Json(RenderTime(*gate.expires)) : Json(nullptr);
  detail["summary"] = "waits for " + RenderRoles(gate.missing) + " to say `ingot rollout approve`";
  return MakeEvent(state, "rollout.approval_awaited", "ingot", std::move(detail));
}

const definition::ResolvedRole* RoleOf(const EnvironmentState& state, const std::string& name) {
  const auto find = [&](const definition::ResolvedRules& rules) -> const definition::ResolvedRole* {
    const auto found = rules.roles.find(name);
    return found == rules.roles.end() || !found->second.May("approve") ? nullptr : &found->second;
  };
  if (const auto* rules = RulesInForce(state))
    if (const auto* role = find(*rules)) return role;
  return state.rollout ? find(state.RevisionOf(state.rollout->to).resolved.rules) : nullptr;
}

Result<void> TakeApproval(EnvironmentState& state, const Approve& approve,
                          std::vector<audit::Draft>& events) {
  Rollout& rollout = *state.rollout;
  const definition::User& user = approve.user;
  if (approve.rollout.value_or(rollout.id) != rollout.id ||
      approve.step.value_or(rollout.step) != rollout.step)
    return Error(Code::kConflict, "what is waited for now is rollout " + std::to_string(rollout.id) +
                                      ", step " + std::to_string(rollout.step) +
                                      ", and not what this approval is for; `ingot rollout status` shows it");
  const std::optional<Gate> gate = GateOf(state);
  if (!gate)
    return Error(Code::kConflict, "rollout " + std::to_string(rollout.id) + " is " +
                                      std::string(PhaseName(rollout.phase)) +
                                      " and waits for nobody's approval; `ingot rollout status` shows it");
  JsonArray granted;
  std::string members;
  for (const std::string& name : gate->missing) {
    const definition::ResolvedRole* role = RoleOf(state, name);
    const bool may = role != nullptr && IsMemberOf(user, *role);
    if (may || user.root) {
      rollout.approved[name] = user.name;
      granted.emplace_back(name);
      continue;
    }
    if (role == nullptr) continue;
    for (const std::string& member : role->members) members += (members.empty() ? "" : ", ") + member;
  }
  if (granted.empty())
    return Error(Code::kPermission,
                 user.name + " is not among those who may approve it: " + RenderRoles(gate->missing) + " (" +
                     (members.empty() ? "nobody but root" : members) + ")");
  JsonObject detail = Describe(rollout);
  detail["roles"] = std::move(granted);
  if (!approve.note.empty()) detail["note"] = approve.note;
  events.push_back(MakeEvent(state, "rollout.approved", user.name, std::move(detail)));
  return {};
}

}  // namespace ingot::rollout
