// A platform runs fleets. rollout/ drives every platform through this interface and knows neither crun nor
// Kubernetes.
//
// Every call is idempotent under the names it is given, so that it can be repeated after a crash. Start and
// Stop only ask: the work goes on in the platform's own threads, and Observe says how far it is. A platform
// assumes no shared kernel and no shared disk.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <vector>

#include "platform/fleet.h"

namespace ingot::platform {

struct Capabilities {
  bool atomic_switch = false;  // ApplyRoutes changes all routes in one step (I3)
};

struct Observation {
  std::vector<InstanceStatus> instances;  // every instance the platform knows, of every environment
  std::vector<InstanceStatus> runs;       // the same of jobs (FleetSpec::job)
};

class Platform {
 public:
  virtual ~Platform() = default;

  virtual Capabilities capabilities() const = 0;

  // Declares what an environment's router needs: the union of what its live revisions need. Replaces the
  // former topology of that environment; an empty one removes it. Returns at once; a change may take effect
  // later. kConflict: a listener belongs to another environment or program (the message names it).
  virtual Result<void> SetTopology(const EnvironmentId& environment, const Topology& topology) = 0;
  // True when the last SetTopology is wholly in effect: no old router process with other routes is left.
  virtual Result<bool> TopologySettled(const EnvironmentId& environment) = 0;

  // Asks for an instance. One that exists already (also a dead one) stays as it is. When it returned success,
  // Observe lists the instance until Stop.
  virtual Result<void> Start(const FleetSpec& fleet, const InstanceId& instance) = 0;
  // Ends `FleetSpec::held` of an instance: from when Observe says so, it is as one that was started without.
  // One that is not held or does not exist is success.
  virtual Result<void> Serve(const InstanceId& instance) = 0;
  // Asks for its end: no new connection → in flight done or `drain` over → stop signal → grace → SIGKILL →
  // everything released. An instance that does not exist is success. Afterwards Observe no longer lists it.
  virtual Result<void> Stop(const InstanceId& instance) = 0;

  // The present state of every instance, from the platform's own watch of it. An Error is "could not look".
  virtual Result<Observation> Observe() = 0;

  // Makes `routes` the whole route table of the environment, in one atomic write where capabilities say so.
  // When it returns success every later connection or request follows it. Only instances that are kReady
  // carry traffic: the platform adds an instance to a routed fleet once it is ready, and takes it out when it
  // is not.
  virtual Result<void> ApplyRoutes(const EnvironmentId& environment, const RouteTable& routes) = 0;

  // What was counted of the fleets on both sides of each split of the table in effect, under its rollout and
  // step. An Error is "could not look".
  virtual Result<std::map<FleetId, FleetCounters>> Counters(const EnvironmentId& environment) = 0;

  // What these instances take; one that is not there is left out. Any thread. An Error is "could not look".
  virtual Result<std::map<InstanceId, InstanceUsage>> Usage(const std::set<InstanceId>& instances) = 0;
};

}  // namespace ingot::platform
