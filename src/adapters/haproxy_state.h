// Everything that decides where a connection goes, as data: topologies, virtual addresses, who has which
// slot, and the route map. Changes are pure functions of it; haproxy_config.h renders it and haproxy.cc
// applies it.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "platform/router.h"

namespace ingot::adapters {

// A place for one server in a backend: "s<index + 1>".
struct RouterSlot {
  std::optional<platform::InstanceId> instance;  // unset: free
  std::string address;
  bool draining = false;
  uint64_t freed = 0;  // when it was given back, in RouterState::sequence: the longest free is taken first
  bool operator==(const RouterSlot&) const = default;
};

// The slots of one fleet, the same in the backend of each of the service's ports.
struct RouterSet {
  std::optional<platform::FleetId> fleet;
  std::vector<RouterSlot> slots;
  bool Empty() const;
  bool operator==(const RouterSet&) const = default;
};

constexpr size_t kSetsPerService = 3;

struct RouterService {
  std::array<RouterSet, kSetsPerService> sets;
  bool operator==(const RouterService&) const = default;
};

struct RouterEnvironment {
  platform::Topology topology;
  std::map<std::string, std::string> addresses;  // service or endpoint → virtual address
  std::map<std::string, RouterService> services;
  std::vector<std::pair<std::string, std::string>> entries;  // of the route map: key → value
  bool operator==(const RouterEnvironment&) const = default;
};

// The numbers of sockets in HAProxy: what Subprocess can hand over in one go, less the fixed descriptors.
constexpr uint32_t kFirstNumber = 20;
constexpr uint32_t kLastNumber = 480;

// A socket that HAProxy inherits.
struct RouterSocket {
  enum class Kind { kOutside, kInside, kEgress, kReturn };
  Kind kind = Kind::kOutside;
  std::string address;  // "0.0.0.0:8000"; egress, return: "" (a Unix socket)
  uint32_t number = 0;  // of the descriptor in HAProxy, the same for as long as the socket is wanted
  bool IsUnix() const { return kind == Kind::kEgress || kind == Kind::kReturn; }
};

struct RouterState {
  std::map<platform::EnvironmentId, RouterEnvironment> environments;
  std::map<std::string, uint32_t> numbers;  // socket key → descriptor number in HAProxy
  // The host's own listeners, open while somebody has a route by host name. Not part of the file: of the
  // options of who opens the router.
  std::vector<std::string> http;
  std::vector<std::string> https;
  // Token → key authorization, while an authority may ask. Not part of the file either.
  std::map<std::string, std::string> challenges;
  uint64_t sequence = 0;
  uint32_t last_address = 0;  // of the addresses given out: the next is after it, so that none is reused soon
  bool operator==(const RouterState&) const = default;
};

// The names under which the parts appear in the configuration, the map and `numbers`.
std::string OutsideKey(const std::string& listen);
std::string InsideKey(const platform::EnvironmentId& environment, const std::string& name, uint16_t port);
std::string EgressKey(const platform::EnvironmentId& environment, const std::string& endpoint);
std::string BackendName(const platform::EnvironmentId& environment, const std::string& service, uint16_t port,
                        size_t set);
// The names of the backends of the set that the fleet has; none when it has no set.
std::vector<std::string> BackendsOf(const RouterState& state, const platform::FleetId& fleet);
// The end of a map value with a split: "3:2".
std::string SplitTag(uint64_t rollout, uint32_t step);
std::string EgressBackendName(const platform::EnvironmentId& environment, const std::string& endpoint);
// Of a server elsewhere: where the egress process takes its requests, and where it brings those back that the
// server does not take.
std::string ServerKey(const platform::EnvironmentId& environment, const platform::Topology::Server& server);
std::string ReturnKey(const platform::EnvironmentId& environment, const platform::Topology::Server& server);
// By the number that ServerKey has in `numbers`: its backend in the router, and the map's key of what comes
// back.
std::string ServerBackendName(uint32_t number);
std::string ReturnMapKey(uint32_t number);

// `state` with `topology` for the environment; an empty topology removes it. Slots, addresses and routes of
// what stays are kept. kInvalid, kConflict, kNoSpace as Router::SetTopology.
Result<RouterState> WithTopology(RouterState state, const platform::EnvironmentId& environment,
                                 const platform::Topology& topology);

// Gives a descriptor number to every socket that is wanted and has none. kNoSpace.
Result<void> NumberSockets(RouterState& state);
// kConflict: the host's own listeners and one of an environment.
Result<void> CheckOwnListeners(const RouterState& state);
// "http|shop.example/api/": the map's key of a route by host name.
std::string HostKey(bool tls, const std::string& host, const std::string& path);
// Values of the map that are no backend: a client is sent on to HTTPS; declared, and nothing serves.
constexpr const char* kRedirect = "redirect";
constexpr const char* kNone = "none";

// Gives the fleet these servers; see Router::SetServers. `added` receives the instances that got a new slot.
Result<void> AssignServers(RouterState& state, const platform::FleetId& fleet,
                           const std::vector<platform::Server>& servers,
                           std::vector<platform::InstanceId>* added = nullptr);

// Gives every fleet that the table names a set of slots, if need be an empty one; see Router::ApplyRoutes.
Result<void> ReserveSets(RouterState& state, const platform::EnvironmentId& environment,
                         const platform::RouteTable& routes);

// The environment's part of the map; see Router::ApplyRoutes.
Result<std::vector<std::pair<std::string, std::string>>> RouteEntries(
    const RouterState& state, const platform::EnvironmentId& environment, const platform::RouteTable& routes,
    const std::map<platform::FleetId, std::vector<platform::Server>>& askers);

// The slot of an instance: its set and index. nullptr set when it has none.
struct SlotPlace {
  RouterSlot* slot = nullptr;
  const platform::Topology::Service* service = nullptr;
  size_t set = 0;
  size_t index = 0;
};
SlotPlace FindSlot(RouterState& state, const platform::InstanceId& instance);

// What has to be open, by key (as in `numbers`).
std::map<std::string, RouterSocket> WantedSockets(const RouterState& state);

// Inverses (docs/formats/router.md). StateFromJson: kInvalid names the member.
Json ToJson(const RouterState& state);
Result<RouterState> RouterStateFromJson(const Json& json);

}  // namespace ingot::adapters
