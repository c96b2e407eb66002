// HaproxyRouter: connections carried by HAProxy (2.6 or newer), one process per root in the router's network
// namespace and, when a topology names endpoints, a second one ("egress") in the host's.
//
// The processes outlive this object and its daemon. Every listening socket is opened here and inherited by
// them
// (`bind fd@N`), so a killed HAProxy is started again on sockets that never stopped listening, and a new
// daemon takes them back from the running process. Everything that decides where a connection goes is in one
// state (haproxy_state.h), which is written below `directory` before HAProxy is told: whoever starts next
// comes up right. docs/formats/router.md describes the files, the configuration and the reload protocol.
#pragma once

#include <memory>

#include "adapters/haproxy_edge.h"
#include "base/file.h"
#include "platform/router.h"

namespace ingot::adapters {

struct HaproxyOptions {
  fs::path directory;    // for state, configuration, map and sockets; made if missing
  std::string root_key;  // marks the processes as this root's
  int router_namespace =
      -1;            // descriptor of the network namespace in which 198.18.0.0/15 is local; not owned
  uint32_t uid = 0;  // whom HAProxy runs as; 0: the user "haproxy", or 65534 where there is none
  uint32_t gid = 0;
  uint32_t threads = 0;                   // 0: as many as CPUs
  Milliseconds hard_stop_after{20000};    // longest life of an old process after a reload
  Milliseconds keep_alive_timeout{5000};  // of idle client connections
  Milliseconds start_timeout{15000};      // for a new process to answer
  HaproxyEdge edge;
};

class HaproxyRouter final : public platform::Router {
 public:
  // Adopts what runs (its sockets, its processes) or, when the state names routes and nothing runs, starts
  // it. kNotFound: haproxy is not installed. kCorrupt: HAProxy runs but the state of it is unreadable.
  static Result<std::unique_ptr<HaproxyRouter>> Open(HaproxyOptions options);
  // Leaves HAProxy running.
  ~HaproxyRouter() override;

  // kInvalid: a name, host or address that cannot be in a configuration. kConflict: a listener is taken;
  // names the environment or program. kFailed: HAProxy refuses the configuration (its own words); the former
  // one goes on.
  Result<void> SetTopology(const platform::EnvironmentId& environment,
                           const platform::Topology& topology) override;
  Result<bool> TopologySettled() override;
  // kNotFound when the topology does not name it.
  Result<std::string> VirtualAddress(const platform::EnvironmentId& environment,
                                     const std::string& name) override;
  // kNotFound: the topology does not name the service. kConflict: three other fleets of it hold slots.
  // kNoSpace: more servers than slots; raise `replicas` in the topology first.
  Result<void> SetServers(const platform::FleetId& fleet,
                          const std::vector<platform::Server>& servers) override;
  // kNotFound also for a listener or endpoint that the topology does not name.
  Result<void> ApplyRoutes(const platform::EnvironmentId& environment, const platform::RouteTable& routes,
                           const std::map<platform::FleetId, std::vector<platform::Server>>& askers) override;
  // Since the server was set, or since Open for those that were set before.
  Result<std::map<platform::InstanceId, platform::ServerCounters>> Counters() override;
  // `answered` and `errors_5xx` of the serving process only: a reload begins at zero.
  Result<std::map<platform::FleetId, platform::FleetCounters>> CountersOf(
      const std::vector<platform::FleetId>& fleets, uint64_t rollout, uint32_t step) override;
  // True for an instance that has no slot. While a process from before a reload is left, an instance that has
  // a slot is not drained: that process may still send to it.
  Result<bool> Drain(const platform::InstanceId& instance) override;

  // The certificates of HaproxyOptions::edge from now on. As many as before are exchanged in the running
  // process: no connection notices. kFailed: HAProxy refuses one, and the former ones go on.
  Result<void> SetCertificates(const std::vector<std::string>& pems);

  // What the listeners of routes by host name answer an authority that asks whether a name is this host's:
  // token → key authorization (HaproxyEdge::challenges). In effect when this returns. kInvalid: not of the
  // base64url alphabet (and one "." in the latter).
  Result<void> SetChallenges(const std::map<std::string, std::string>& challenges);

  // Of each server elsewhere that the environment's topology names, once, in the order of its address. One
  // that could not be looked at is an error.
  Result<std::vector<platform::OutsideState>> ServersOf(const platform::EnvironmentId& environment);

  // Ends every HAProxy of this root at once and removes its state: connections are cut.
  Result<void> Destroy();

  // Process ids now: first the serving router process, then old ones, then egress. For status and tests.
  std::vector<int64_t> ProcessIds();

 private:
  class Impl;
  explicit HaproxyRouter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ingot::adapters
