// What shall be, derived from the state alone.
#pragma once

#include <map>

#include "platform/fleet.h"
#include "rollout/environment_state.h"

namespace ingot::rollout {

struct Desired {
  platform::Topology topology;
  platform::RouteTable routes;
};

// Topology: the union of what all live revisions need. Routes: from outside to the leading revision; inside,
// every live fleet reaches the fleets of its own revision, a fleet of several revisions those of the leading
// one (I5).
Desired DesiredOf(const EnvironmentState& state);

// The revision that traffic from outside shall reach: the active one, from `shifting` on the rollout's.
std::optional<uint64_t> Leading(const EnvironmentState& state);
// The revision whose neighbours a fleet reaches, and from which its spec is taken; unset when no live
// revision has it.
std::optional<uint64_t> OwnerOf(const EnvironmentState& state, const platform::FleetId& fleet);
// How many instances the fleet shall have now.
uint32_t CountOf(const EnvironmentState& state, const platform::FleetId& fleet);
// How many spares it shall have beside them, once all of the count are ready.
uint32_t SparesOf(const EnvironmentState& state, const platform::FleetId& fleet);
// The same as CountOf, but for what a rollout takes away meanwhile.
uint32_t UnlimitedCountOf(const EnvironmentState& state, const platform::FleetId& fleet);

}  // namespace ingot::rollout
