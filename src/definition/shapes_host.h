// The table of host.yaml's keys.
#pragma once

#include "definition/host.h"
#include "definition/shape.h"

namespace ingot::definition {

// The whole; made when it is first asked for, and never changed.
const Shape<Host>& HostShape();
// Its block `router`.
Shape<HostRouter> HostRouterShape();

}  // namespace ingot::definition
