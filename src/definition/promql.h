// What can be told of a Prometheus query without a Prometheus: that it is not torn.
#pragma once

#include <string_view>

#include "base/result.h"

namespace ingot::definition {

// kInvalid when it is empty, or a bracket or a string in it has no end: then no Prometheus takes it. That it
// names metrics that exist only a Prometheus knows.
Result<void> CheckPromql(std::string_view query);

}  // namespace ingot::definition
