// Capacity: whether what is asked for has room on this host beside all that has been promised memory. On the
// daemon's control thread, which alone knows the latter.
#pragma once

#include <cstdint>
#include <string>

#include "jobs/controller.h"
#include "rollout/controller.h"

namespace ingot::app {

// What the host has, and what is taken besides the fleets that a plan of `resolved` counts itself: instances
// and runs, by their limits. `edge`, `claims` and `sizes_not_kept` are the caller's.
plan::HostCapacity CapacityBeside(const rollout::Controller& controller, const jobs::Controller& jobs,
                                  const definition::Resolved& resolved);

// kRefused when the count exceeds what serves now and does not fit. What the controller refuses anyway
// (nothing is deployed, no such service, a count out of bounds) is left to it.
Result<void> CheckRoom(const rollout::Controller& controller, const jobs::Controller& jobs,
                       const platform::EnvironmentId& environment, const rollout::Scale& scale);

// As much of a count that is asked for as fits, and never less than the service has.
uint32_t CountWithRoom(const rollout::Controller& controller, const jobs::Controller& jobs,
                       const platform::EnvironmentId& environment, const std::string& service,
                       uint32_t wanted);

}  // namespace ingot::app
