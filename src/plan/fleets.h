// From a resolved definition to what a platform understands: fleets, routes, topology. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "definition/resolved.h"
#include "platform/fleet.h"

namespace ingot::plan {

struct Fleet {
  platform::FleetSpec spec;
  uint32_t replicas = 1;  // as declared
  definition::Kind kind = definition::Kind::kService;
  bool operator==(const Fleet&) const = default;
};

platform::EnvironmentId EnvironmentOf(const definition::Resolved& resolved);

// One fleet per service, in the order of the services. Its id has the first 12 digits of
// definition::FleetDigest.
std::vector<Fleet> Fleets(const definition::Resolved& resolved);

// The route table of a revision that is alone: its outside routes, and for every fleet what it may reach.
platform::RouteTable Routes(const definition::Resolved& resolved);

// What the router needs for all of these revisions together; the first wins where two declare a listener or
// an endpoint differently. `replicas` raises the declared count of a service (a scale); at least 1.
platform::Topology TopologyOf(const std::vector<const definition::Resolved*>& live,
                              const std::map<std::string, uint32_t>& replicas = {});

}  // namespace ingot::plan
