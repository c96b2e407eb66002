// A router in memory, for testing what drives one. Keeps the contract of router.h (router_contract.h checks
// it).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/sync.h"
#include "platform/router.h"

namespace ingot::platform {

class FakeRouter final : public Router {
 public:
  Result<void> SetTopology(const EnvironmentId& environment, const Topology& topology) override;
  Result<bool> TopologySettled() override;
  Result<std::string> VirtualAddress(const EnvironmentId& environment, const std::string& name) override;
  Result<void> SetServers(const FleetId& fleet, const std::vector<Server>& servers) override;
  Result<void> ApplyRoutes(const EnvironmentId& environment, const RouteTable& routes,
                           const std::map<FleetId, std::vector<Server>>& askers) override;
  Result<std::map<InstanceId, ServerCounters>> Counters() override;
  Result<std::map<FleetId, FleetCounters>> CountersOf(const std::vector<FleetId>& fleets, uint64_t rollout,
                                                      uint32_t step) override;
  Result<bool> Drain(const InstanceId& instance) override;

  // --- for tests ---

  // A request from outside: which instance gets it (round robin over those not draining); it is over at once.
  // nullopt: nothing serves.
  std::optional<InstanceId> Request(const std::string& listen);
  // A request of the instance with this address to a service under its name.
  std::optional<InstanceId> RequestFrom(const std::string& address, const std::string& service);
  bool MayReachEndpoint(const std::string& address, const std::string& endpoint);
  void SetInFlight(const InstanceId& instance, uint64_t requests);
  void SetErrors(const InstanceId& instance, uint64_t errors_5xx);
  void SetSettled(bool settled);
  // The next calls of this function ("SetServers") fail with `error`, until cleared with an empty optional.
  void Fail(const std::string& function, std::optional<Error> error);
  RouteTable Routes(const EnvironmentId& environment);
  std::vector<Server> Servers(const FleetId& fleet);
  // How many times ApplyRoutes succeeded.
  int switches();

 private:
  struct Entry {
    Server server;
    bool draining = false;
    ServerCounters counters;
  };
  struct Environment {
    Topology topology;
    RouteTable routes;
    std::map<FleetId, std::vector<Server>> askers;
    std::map<std::string, std::string> addresses;
  };
  struct State {
    std::map<EnvironmentId, Environment> environments;
    std::map<FleetId, std::vector<Entry>> fleets;
    std::map<std::string, Error> failures;
    std::map<FleetId, size_t> next;
    std::map<FleetId, uint64_t> dealt;  // requests of split routes, by the fleet that the rest goes to
    bool settled = true;
    int switches = 0;
    uint32_t last_address = 0;
  };

  static std::optional<Error> Failure(State& state, const std::string& function);
  static std::optional<InstanceId> Pick(State& state, const FleetId& fleet,
                                        const std::optional<Share>& split);

  Sync<State> state_;
};

}  // namespace ingot::platform
