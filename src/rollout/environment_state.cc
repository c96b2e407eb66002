#include "rollout/environment_state.h"

#include <algorithm>
#include <array>

namespace ingot::rollout {

namespace {

constexpr std::array<std::string_view, 14> kPhases = {
    "planned",  "preparing", "migrating", "starting", "verifying", "stepping",  "rolling",
    "stopping", "replacing", "shifting",  "baking",   "completed", "reverting", "reverted"};
constexpr std::array<std::string_view, 4> kRoles = {"active", "candidate", "warm", "retiring"};

}  // namespace

size_t FleetState::Serving() const {
  return static_cast<size_t>(std::count_if(instances.begin(), instances.end(),
                                           [](const DesiredInstance& instance) { return !instance.spare; }));
}

std::string_view PhaseName(Phase phase) {
  return kPhases[static_cast<size_t>(phase)];
}

Result<Phase> ParsePhase(std::string_view name) {
  for (size_t i = 0; i < kPhases.size(); ++i)
    if (kPhases[i] == name) return static_cast<Phase>(i);
  return Error(Code::kInvalid, "phase: \"" + std::string(name) + "\" is not a phase of a rollout");
}

std::string_view RoleName(Role role) {
  return kRoles[static_cast<size_t>(role)];
}

Result<Role> ParseRole(std::string_view name) {
  for (size_t i = 0; i < kRoles.size(); ++i)
    if (kRoles[i] == name) return static_cast<Role>(i);
  return Error(Code::kInvalid, "role: \"" + std::string(name) + "\" is not a role of a revision");
}

}  // namespace ingot::rollout
