// The inside of HaproxyRouter: haproxy.cc has its start, state and topology, haproxy_runtime.cc what changes
// and is observed while HAProxy runs.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "adapters/haproxy.h"
#include "adapters/haproxy_config.h"
#include "adapters/haproxy_mirror.h"
#include "adapters/haproxy_process.h"
#include "adapters/haproxy_sockets.h"
#include "adapters/haproxy_state.h"
#include "base/sync.h"

namespace ingot::adapters {

// What an instance has counted, by process: counters begin at zero in each.
struct RouterMeter {
  struct Last {
    uint64_t total = 0;
    uint64_t errors = 0;
  };
  std::map<uint64_t, Last> last;
  uint64_t requests = 0;
  uint64_t errors = 0;
};

class HaproxyRouter::Impl {
 public:
  explicit Impl(HaproxyOptions options) : options_(std::move(options)) {}

  Result<void> Open();
  Result<void> SetTopology(const platform::EnvironmentId& environment, const platform::Topology& topology);
  Result<bool> TopologySettled();
  Result<std::string> VirtualAddress(const platform::EnvironmentId& environment, const std::string& name);
  Result<void> SetServers(const platform::FleetId& fleet, const std::vector<platform::Server>& servers);
  Result<void> ApplyRoutes(const platform::EnvironmentId& environment, const platform::RouteTable& routes,
                           const std::map<platform::FleetId, std::vector<platform::Server>>& askers);
  Result<std::map<platform::InstanceId, platform::ServerCounters>> Counters();
  Result<std::map<platform::FleetId, platform::FleetCounters>> CountersOf(
      const std::vector<platform::FleetId>& fleets, uint64_t rollout, uint32_t step);
  Result<bool> Drain(const platform::InstanceId& instance);
  Result<void> SetCertificates(const std::vector<std::string>& pems);
  Result<void> SetChallenges(const std::map<std::string, std::string>& challenges);
  // haproxy_outside.cc
  Result<std::vector<platform::OutsideState>> ServersOf(const platform::EnvironmentId& environment);
  Result<void> Destroy();
  std::vector<int64_t> ProcessIds();

 private:
  struct Inner {
    RouterState state;
    Sockets sockets;
    std::map<platform::InstanceId, RouterMeter> meters;
    std::unique_ptr<HaproxyMirror> mirror;  // while a topology names a shadow
    std::string mirror_error;               // why there is none
    bool dirty = false;                     // HAProxy may differ from the state: the last change of it failed
  };

  Result<void> ReadState(Inner& inner);
  Result<void> WriteState(const RouterState& state, Durability durability);
  // haproxy_certificates.cc
  Result<void> WriteCertificates(const std::vector<std::string>& pems);
  Result<void> PushCertificates(const std::vector<std::string>& pems);
  // HAProxy takes what WriteCertificates has written: in place when they are as many as before and not too
  // large for that, else by a new process.
  Result<void> TakeCertificates(Inner& inner, bool as_many);
  Result<void> WriteMaintenance();
  // haproxy_sockets.cc
  Result<std::shared_ptr<const Fd>> OpenSocket(const RouterSocket& socket, const Sockets& open);
  // What the processes of an earlier daemon hold of what is wanted, and its listeners that are not any more.
  Sockets TakeSockets(const RouterState& state);
  // Everything that the state wants.
  Result<void> OpenSockets(const RouterState& state, SocketChange& change);
  HaproxyPlan PlanOf(const RouterState& state, const Sockets& sockets, bool egress) const;
  Result<void> RunPlans(const RouterState& state, const Sockets& sockets, bool force);
  // Makes the files, then HAProxy, follow inner.state: the servers of one service, the map, or both;
  // everything when an earlier change failed.
  Result<void> Follow(Inner& inner, const RouterService* only, bool map);
  // haproxy_copies.cc: the mirror knows what inner.state says is to be copied, and where to.
  void TellMirror(Inner& inner);
  // Adds what it has counted.
  Result<void> CountCopies(Inner& inner, uint64_t rollout, uint32_t step,
                           std::map<platform::FleetId, platform::FleetCounters>& out);
  Result<void> PushServers(const RouterState& state, const RouterService* only);
  Result<void> PushMap(const RouterState& state);
  Result<void> StartMeters(Inner& inner, RouterState& state, const std::vector<platform::InstanceId>& added);
  std::vector<std::string> Backends(const SlotPlace& place, const platform::FleetId& fleet) const;

  HaproxyOptions options_;
  HaproxyLimits limits_;
  Fd directory_;
  std::unique_ptr<HaproxyProcess> router_;
  std::unique_ptr<HaproxyProcess> egress_;
  Sync<Inner> inner_;
};

}  // namespace ingot::adapters
