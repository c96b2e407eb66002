// An environment's overrides on top of a service.
#pragma once

#include <map>
#include <string>

#include "definition/definition.h"

namespace ingot::definition {

// What `over` says replaces what `base` says: a scalar or a list whole, `environment` and the blocks health,
// resources, rollout and scale key by key. What a probe asks (http, tcp or run, and port) goes together.
Service Overlay(const Service& base, const Service& over);

// Every service of the definition as it is in `environment`, which it must have.
std::map<std::string, Service> OverlaidServices(const Definition& definition, const std::string& environment);

}  // namespace ingot::definition
