// Stateful services: their instances are members 0, 1, …, and each member has volumes of its own.
//
// Of the desired instances of such a service, in whatever fleet, no two are the same member, and an instance
// is started only when nothing is seen that has one of its volumes. So a volume is never with two instances,
// also when a member passes from one fleet to the next.
#pragma once

#include "rollout/transition.h"

namespace ingot::rollout {

// Whether the fleet's instances are members.
bool IsStateful(const EnvironmentState& state, const platform::FleetId& fleet);

// How many members the fleet's service has when no rollout takes some of them away.
uint32_t MembersOf(const EnvironmentState& state, const platform::FleetId& fleet);

// A new instance that shall exist; of a stateful fleet the least member that no instance of the service is.
// False when there is no such member: nothing is added.
bool AddInstance(Transition& t, const platform::FleetId& fleet);

// Gives up the highest members until there are `count`, and those that the service has no longer.
void DropMembers(Transition& t, const platform::FleetId& id, FleetState& fleet, uint32_t count);

// What the platform is told of one instance: which member it is, and what is to be copied before it starts.
platform::FleetSpec SpecOf(const Transition& t, const plan::Fleet& fleet, const DesiredInstance& instance);

// Whether something else may have a volume that an instance of `spec` is to have.
bool VolumesTaken(const Transition& t, const platform::FleetSpec& spec, const platform::InstanceId& instance);

// A step on the way back of a rollout: a new instance gives its volumes back, then the old member is there
// again, then the next. True when all are.
bool PutBack(Transition& t, const RollingService& service);

}  // namespace ingot::rollout
