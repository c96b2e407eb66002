// What the API shows of an environment.
#pragma once

#include "base/json.h"
#include "rollout/machine.h"

namespace ingot::rollout {

// docs/formats/rollout.md, "rollout status"; without `last`.
Json RolloutStatusOf(const EnvironmentState& state, const View& view);
// Its `checks`: those of the present step.
JsonArray ChecksOf(const EnvironmentState& state, const View& view);
// Its `shadows`: what is copied in the present step, by service.
JsonArray ShadowsOf(const EnvironmentState& state, const View& view);
// docs/formats/rollout.md, "status".
// `time_of_day`: for what goes by schedules.
Json StatusOf(const EnvironmentState& state, const Desired& desired, const View& view, WallTime time_of_day);
// docs/formats/rollout.md, "history": a revision without its definition.
Json Summary(const plan::Revision& revision);

}  // namespace ingot::rollout
