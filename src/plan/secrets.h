// Which secrets a revision needs.
#pragma once

#include <vector>

#include "definition/resolved.h"
#include "platform/fleet.h"

namespace ingot::plan {

// Every version that anything of it names: services, jobs, migrations, checks, queues, webhooks. Sorted by
// name and version, each once.
std::vector<platform::SecretRef> SecretsOf(const definition::Resolved& resolved);

}  // namespace ingot::plan
