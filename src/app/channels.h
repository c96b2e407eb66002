// Channels as the verbs see them: what a promotion needs to know, and what an environment may deploy.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "definition/resolved.h"
#include "store/store.h"

namespace ingot::app {

// kRefused with what is missing, when the environment deploys only what was promoted and something was not:
// an image that was built here must be what its channel holds, one from elsewhere must have been rolled out
// in `promote_from`.
Result<void> CheckChannels(store::Store& store, const definition::Resolved& resolved);

Json ToJson(const store::Promotion& promotion);

}  // namespace ingot::app
