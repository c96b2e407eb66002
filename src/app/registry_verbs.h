// The verbs below `ingot registry`, each in a file of its own.
#pragma once

#include "app/invocation.h"

namespace ingot::app {

void AddRegistryUser(CLI::App& registry, Invocation& invocation);

}  // namespace ingot::app
