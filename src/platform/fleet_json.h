// FleetSpec and InstanceStatus as JSON: how a platform remembers what it runs, and how the API shows it.
#pragma once

#include "base/json.h"
#include "platform/fleet.h"

namespace ingot::platform {

// Inverses. FleetFromJson: kInvalid names the member that is missing or of the wrong type.
Json ToJson(const FleetSpec& fleet);
Result<FleetSpec> FleetFromJson(const Json& json);

Json ToJson(const InstanceStatus& status);

}  // namespace ingot::platform
