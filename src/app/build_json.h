// What a build says, as JSON lines: from the process that builds through the daemon to who asked on another
// host.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "build/builder.h"
#include "build/progress.h"

namespace ingot::app {

// Inverses; kInvalid names the member.
Json ToJson(const build::BuildEvent& event);
Result<build::BuildEvent> BuildEventFromJson(const Json& json);
Json ToJson(const build::BuiltImage& image);
Result<build::BuiltImage> BuiltImageFromJson(const Json& json);

}  // namespace ingot::app
