// Channels as the verbs see them: what a promotion needs to know, and what an environment may deploy.
#pragma once

#include <map>
#include <string>

#include "app/project.h"
#include "base/json.h"
#include "base/result.h"
#include "oci/digest.h"
#include "store/store.h"

namespace ingot::app {

// The images of a project by their names in the definition, for an environment with `promote_from`: kRefused
// with the promotions that are missing, when its channel does not hold them all. Others may deploy anything.
Result<void> CheckChannels(store::Store& store, const definition::Definition& definition,
                           const std::string& environment, const std::map<std::string, oci::Digest>& images);

Json ToJson(const store::Promotion& promotion);

}  // namespace ingot::app
