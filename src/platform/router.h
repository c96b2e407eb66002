// A router carries connections: from host-owned listeners to fleets, and from instances to what they use.
//
// Topology changes may reload it; servers and routes change at run time without one. Every call is
// idempotent.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "platform/fleet.h"

namespace ingot::platform {

struct Server {
  InstanceId instance;
  std::string address;  // IPv4 in the router's network namespace
  bool operator==(const Server&) const = default;
};

// A server elsewhere, as its carrier sees it now.
struct OutsideState {
  std::string host;
  uint16_t port = 0;
  bool up = false;
  std::string why;  // it is down: for people
  bool operator==(const OutsideState&) const = default;
};

struct ServerCounters {
  uint64_t requests = 0;  // since the server was set
  uint64_t errors_5xx = 0;
  uint64_t in_flight = 0;  // requests or connections now, with those queued
};

class Router {
 public:
  virtual ~Router() = default;

  // As Platform::SetTopology. A new service or listener makes a seamless reload; growing `replicas` within
  // the capacity that is there does not.
  virtual Result<void> SetTopology(const EnvironmentId& environment, const Topology& topology) = 0;
  virtual Result<bool> TopologySettled() = 0;

  // The virtual IPv4 address under which instances of the environment reach a service or endpoint, once the
  // topology names it. Stable for as long as the topology names it, also across restarts.
  virtual Result<std::string> VirtualAddress(const EnvironmentId& environment, const std::string& name) = 0;

  // Makes `servers` the whole set of a fleet: new ones are added, missing ones get no new connection. The
  // fleet gets a set of slots of its own (three per service: kConflict when all are taken by other fleets).
  // An empty set gives the slots back, unless a route names the fleet: then its clients are told that nothing
  // serves.
  virtual Result<void> SetServers(const FleetId& fleet, const std::vector<Server>& servers) = 0;

  // The whole route table of an environment, in one atomic write. `askers` gives each asking fleet's
  // instances. A fleet in it that has no servers yet gets its slots now (it serves nothing until SetServers);
  // slots of fleets that it no longer names and that have no server are given back.
  virtual Result<void> ApplyRoutes(const EnvironmentId& environment, const RouteTable& routes,
                                   const std::map<FleetId, std::vector<Server>>& askers) = 0;

  // Counters of each server that has a slot, summed over the processes that serve.
  virtual Result<std::map<InstanceId, ServerCounters>> Counters() = 0;

  // What was counted of each of these fleets; latencies under this rollout and step of a route table.
  virtual Result<std::map<FleetId, FleetCounters>> CountersOf(const std::vector<FleetId>& fleets,
                                                              uint64_t rollout, uint32_t step) = 0;

  // No new connection for this instance; kept in its slot until it has none in flight. True when it has none.
  virtual Result<bool> Drain(const InstanceId& instance) = 0;
};

}  // namespace ingot::platform
