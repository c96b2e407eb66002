// Shadows: whether a new fleet answers copies of requests as the old one answers the requests. Pure.
//
// While the step goes on it is looked at all the time, so a failure takes evidence that chance does not
// explain (analysis.h). When its time is over the numbers decide as they stand. Too few answers that were
// compared are inconclusive, however good they are.
#pragma once

#include <string>

#include "platform/fleet.h"
#include "rollout/analysis.h"

namespace ingot::rollout {

// `over`: the step's time is. `text` has the numbers, whatever the outcome.
Finding JudgeShadow(const definition::ResolvedShadow& shadow, const platform::ShadowCounters& counted,
                    bool over);

// docs/formats/rollout.md, "rollout status": a member of `shadows`, without its service.
JsonObject ToJson(const platform::ShadowCounters& counted);

}  // namespace ingot::rollout
