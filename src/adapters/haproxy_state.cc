#include "adapters/haproxy_state.h"

#include <arpa/inet.h>

#include <algorithm>
#include <bit>
#include <set>

#include "adapters/haproxy_outside.h"
#include "adapters/listeners.h"

namespace ingot::adapters {

namespace {

using platform::EnvironmentId;
using platform::FleetId;
using platform::InstanceId;
using platform::Protocol;
using platform::Topology;

// The most that may be declared, 1,000 and 100 spares, and one that takes the place of an aged one; with
// room.
constexpr uint32_t kMaxReplicas = 1200;
constexpr uint32_t kFirstAddress = (198u << 24) | (18u << 16) | 1;
constexpr uint32_t kLastAddress = (198u << 24) | (19u << 16) | 0xfffe;

Error Invalid(const std::string& message) {
  return Error(Code::kInvalid, message);
}

// Everything that reaches the configuration passes one of these: nothing in it can end a word or a line.
Result<void> CheckEnvironment(const EnvironmentId& environment) {
  return EnvironmentId::Parse(environment.Render())
             ? Result<void>()
             : Invalid("\"" + environment.Render().substr(0, 200) + "\" is not project/environment");
}

Result<void> CheckName(const EnvironmentId& environment, const std::string& name) {
  auto parsed = FleetId::Parse(environment.Render() + "/" + name + "@000000000000");
  if (!parsed || parsed->service() != name)
    return Invalid("\"" + name.substr(0, 200) + "\" is not a name of a service or endpoint");
  return {};
}

Result<void> CheckHost(const std::string& host) {
  const bool plain = std::all_of(host.begin(), host.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
  if (host.empty() || host.size() > 253 || !plain || host.front() == '-' || host.front() == '.')
    return Invalid("\"" + host.substr(0, 300) + "\" is not a host name or IPv4 address");
  return {};
}

Result<void> CheckAddress(const std::string& address) {
  struct in_addr parsed {};
  if (::inet_pton(AF_INET, address.c_str(), &parsed) != 1)
    return Invalid("\"" + address.substr(0, 100) + "\" is not an IPv4 address");
  return {};
}

Result<void> CheckHosts(const Topology& topology) {
  std::set<std::string> keys;
  for (const auto& host : topology.hosts) {
    TRY(CheckHost(host.host.starts_with("*.") ? host.host.substr(2) : host.host));
    const bool plain = std::all_of(host.path.begin(), host.path.end(), [](unsigned char c) {
      return c > ' ' && c < 0x7f && c != '"' && c != '\\';
    });
    if (!plain || !host.path.starts_with('/') || host.path.size() > 1024)
      return Invalid("\"" + host.path.substr(0, 300) + "\" is not a path");
    if (!keys.insert(HostKey(false, host.host, host.path)).second)
      return Invalid("the route of " + host.host + host.path + " is there twice");
    const bool known = std::any_of(topology.services.begin(), topology.services.end(),
                                   [&](const auto& service) { return service.name == host.service; });
    if (!known)
      return Invalid("the route of " + host.host + " leads to service " + host.service.substr(0, 100) +
                     ", which is not there");
  }
  return {};
}

// One that overlaps with another one takes its place in the next release (a definition has only one of them).
// Until it has routes of its own, connections to the narrower address go where those to the wider one go
// (RenderMap), so both have to speak the same.
Result<void> CheckBeside(const Topology::Listener& one, const Topology::Listener& other) {
  if (!TRY(ListenAddress::Parse(one.listen)).Overlaps(TRY(ListenAddress::Parse(other.listen)))) return {};
  const std::string both = "the listeners " + one.listen + " and " + other.listen;
  if (one.listen == other.listen) return Invalid(both + " are the same");
  if (one.protocol != other.protocol || one.tls != other.tls)
    return Invalid(both +
                   " cannot both be open, since they differ in protocol or tls; change the address in "
                   "one release, and what it speaks in another one");
  return {};
}

Result<void> CheckTopology(const EnvironmentId& environment, const Topology& topology) {
  TRY(CheckEnvironment(environment));
  std::set<std::string> names;
  for (const auto& service : topology.services) {
    TRY(CheckName(environment, service.name));
    if (!names.insert(service.name).second) return Invalid("the name " + service.name + " is there twice");
    if (service.replicas > kMaxReplicas)
      return Invalid("service " + service.name + " has more than " + std::to_string(kMaxReplicas) +
                     " replicas");
    const Topology::Preview& preview = service.preview;
    for (const std::string& token :
         {service.sticky.cookie, service.sticky.header, preview.cookie, preview.header, preview.value})
      if (!std::all_of(token.begin(), token.end(),
                       [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_'; }))
        return Invalid("\"" + token.substr(0, 200) +
                       "\" is not a name of a cookie or header, nor a value for one");
    for (const std::string& method : service.shadow.methods)
      if (method.empty() ||
          !std::all_of(method.begin(), method.end(), [](char c) { return c >= 'A' && c <= 'Z'; }))
        return Invalid("\"" + method.substr(0, 200) + "\" is not a method");
    std::set<uint16_t> ports;
    for (const auto& port : service.ports)
      if (port.number == 0 || !ports.insert(port.number).second)
        return Invalid("service " + service.name + " has port " + std::to_string(port.number) +
                       (port.number == 0 ? "" : " twice"));
  }
  for (const auto& endpoint : topology.endpoints) {
    TRY(CheckName(environment, endpoint.name));
    if (!names.insert(endpoint.name).second) return Invalid("the name " + endpoint.name + " is there twice");
    TRY(CheckHost(endpoint.host));
    if (endpoint.port == 0) return Invalid("endpoint " + endpoint.name + " has no port");
  }
  for (size_t i = 0; i < topology.listeners.size(); ++i) {
    const auto& listener = topology.listeners[i];
    const ListenAddress address = TRY(ListenAddress::Parse(listener.listen));
    for (size_t k = 0; k < i; ++k) TRY(CheckBeside(topology.listeners[k], listener));
    const bool known = std::any_of(topology.services.begin(), topology.services.end(),
                                   [&](const auto& service) { return service.name == listener.service; });
    if (!known)
      return Invalid("listener " + listener.listen + " leads to service " + listener.service.substr(0, 100) +
                     ", which is not there");
  }
  TRY(CheckServers(topology));
  return CheckHosts(topology);
}

Result<void> CheckOtherListeners(const RouterState& state, const EnvironmentId& environment,
                                 const Topology& topology) {
  for (const auto& [other, kept] : state.environments) {
    if (other == environment) continue;
    for (const auto& theirs : kept.topology.listeners)
      for (const auto& ours : topology.listeners)
        if (TRY(ListenAddress::Parse(theirs.listen)).Overlaps(TRY(ListenAddress::Parse(ours.listen))))
          return Error(Code::kConflict, "the listener " + ours.listen + " belongs to " + other.Render() +
                                            "; choose another port or remove it there");
    for (const auto& theirs : kept.topology.hosts)
      for (const auto& ours : topology.hosts)
        if (HostKey(false, theirs.host, theirs.path) == HostKey(false, ours.host, ours.path))
          return Error(Code::kConflict, "the host name and path " + ours.host + ours.path + " belong to " +
                                            other.Render() + "; choose another or remove it there");
  }
  return {};
}

// Which of the host's own listeners are wanted: those somebody's routes by host name need.
std::vector<std::string> SharedListeners(const RouterState& state) {
  bool any = false;
  bool tls = false;
  for (const auto& [id, environment] : state.environments)
    for (const auto& host : environment.topology.hosts) {
      any = true;
      tls = tls || host.tls;
    }
  std::vector<std::string> out;
  if (any) out = state.http;
  if (tls) out.insert(out.end(), state.https.begin(), state.https.end());
  return out;
}

// The route that an entry of the map is of; also one that is sent on to HTTPS.
bool EntryOfHosts(const std::string& key, const Topology& topology) {
  return std::any_of(topology.hosts.begin(), topology.hosts.end(), [&](const auto& host) {
    return key == HostKey(false, host.host, host.path) || key == HostKey(true, host.host, host.path);
  });
}
bool IsHostKey(const std::string& key) {
  return key.starts_with("http|") || key.starts_with("https|");
}

Result<std::string> FreeAddress(RouterState& state) {
  std::set<std::string> taken;
  for (const auto& [environment, kept] : state.environments)
    for (const auto& [name, address] : kept.addresses) taken.insert(address);
  for (uint32_t i = kFirstAddress; i <= kLastAddress; ++i) {
    const bool wrap = state.last_address < kFirstAddress || state.last_address >= kLastAddress;
    const uint32_t candidate = wrap ? kFirstAddress : state.last_address + 1;
    state.last_address = candidate;
    struct in_addr in {};
    in.s_addr = htonl(candidate);
    char text[INET_ADDRSTRLEN];
    ::inet_ntop(AF_INET, &in, text, sizeof text);
    if (!taken.contains(text)) return std::string(text);
  }
  return Error(Code::kNoSpace, "no virtual address of 198.18.0.0/15 is free");
}

// Room for every replica and two more, so that a dead one is replaced before its slot is free again.
size_t CapacityFor(uint32_t replicas) {
  return std::bit_ceil(std::max<size_t>(replicas + 2, 8));
}

bool Routed(const RouterEnvironment& environment, const EnvironmentId& id, const Topology::Service& service,
            size_t set) {
  for (const auto& port : service.ports) {
    const std::string name = BackendName(id, service.name, port.number, set);
    for (const auto& [key, value] : environment.entries) {
      const size_t colon = value.find(':');
      const size_t second = colon == std::string::npos ? colon : value.find(':', colon + 1);
      if (value.substr(0, colon) == name ||
          (second != std::string::npos && value.substr(colon + 1, second - colon - 1) == name))
        return true;
    }
  }
  return false;
}

const Topology::Service* FindService(const Topology& topology, const std::string& name) {
  for (const auto& service : topology.services)
    if (service.name == name) return &service;
  return nullptr;
}

// The set that the fleet has, or one it may take; those of fleets in `reserved` are not to be had.
RouterSet* SetFor(RouterEnvironment& environment, const FleetId& fleet, const Topology::Service& service,
                  const std::set<FleetId>& reserved = {}) {
  auto& sets = environment.services[service.name].sets;
  for (RouterSet& set : sets)
    if (set.fleet == fleet) return &set;
  RouterSet* best = nullptr;
  uint64_t best_freed = 0;
  for (size_t i = 0; i < sets.size(); ++i) {
    // A set that a route leads to is never handed to another fleet: its route would follow.
    if (!sets[i].Empty() || Routed(environment, fleet.environment(), service, i)) continue;
    if (sets[i].fleet && reserved.contains(*sets[i].fleet)) continue;
    uint64_t freed = 0;
    for (const RouterSlot& slot : sets[i].slots) freed = std::max(freed, slot.freed);
    if (best == nullptr || freed < best_freed) {
      best = &sets[i];
      best_freed = freed;
    }
  }
  return best;
}

}  // namespace

bool RouterSet::Empty() const {
  return std::none_of(slots.begin(), slots.end(),
                      [](const RouterSlot& slot) { return slot.instance.has_value(); });
}

std::string OutsideKey(const std::string& listen) {
  return "out|" + listen;
}

std::string InsideKey(const EnvironmentId& environment, const std::string& name, uint16_t port) {
  return environment.Render() + "/" + name + ":" + std::to_string(port);
}

std::string EgressKey(const EnvironmentId& environment, const std::string& endpoint) {
  return "egress|" + environment.Render() + "/" + endpoint;
}

std::string BackendName(const EnvironmentId& environment, const std::string& service, uint16_t port,
                        size_t set) {
  return environment.project() + "." + environment.environment() + "." + service + "." +
         std::to_string(port) + "." + std::to_string(set + 1);
}

std::vector<std::string> BackendsOf(const RouterState& state, const FleetId& fleet) {
  std::vector<std::string> out;
  const auto environment = state.environments.find(fleet.environment());
  if (environment == state.environments.end()) return out;
  const auto slots = environment->second.services.find(fleet.service());
  const Topology::Service* service = FindService(environment->second.topology, fleet.service());
  if (slots == environment->second.services.end() || service == nullptr) return out;
  for (size_t set = 0; set < kSetsPerService; ++set) {
    if (slots->second.sets[set].fleet != fleet) continue;
    for (const auto& port : service->ports)
      out.push_back(BackendName(fleet.environment(), fleet.service(), port.number, set));
  }
  return out;
}

std::string SplitTag(uint64_t rollout, uint32_t step) {
  return std::to_string(rollout) + ":" + std::to_string(step);
}

std::string EgressBackendName(const EnvironmentId& environment, const std::string& endpoint) {
  return environment.project() + "." + environment.environment() + "." + endpoint + ".egress";
}

Result<RouterState> WithTopology(RouterState state, const EnvironmentId& environment,
                                 const Topology& topology) {
  TRY(CheckTopology(environment, topology));
  TRY(CheckOtherListeners(state, environment, topology));
  if (topology == Topology{}) {
    state.environments.erase(environment);
  } else {
    RouterEnvironment& kept = state.environments[environment];
    kept.topology = topology;
    std::set<std::string> names;
    for (const auto& service : topology.services) names.insert(service.name);
    std::erase_if(kept.services, [&](const auto& entry) { return !names.contains(entry.first); });
    for (const auto& endpoint : topology.endpoints) names.insert(endpoint.name);
    std::erase_if(kept.addresses, [&](const auto& entry) { return !names.contains(entry.first); });
    for (const std::string& name : names)
      if (!kept.addresses.contains(name)) kept.addresses[name] = TRY(FreeAddress(state));
    for (const auto& service : topology.services)
      for (RouterSet& set : kept.services[service.name].sets)
        set.slots.resize(std::max(set.slots.size(), CapacityFor(service.replicas)));
    // Routes to what is gone go with it.
    std::set<std::string> backends;
    std::set<std::string> listens;
    for (const auto& service : topology.services)
      for (const auto& port : service.ports)
        for (size_t set = 0; set < kSetsPerService; ++set)
          backends.insert(BackendName(environment, service.name, port.number, set));
    for (const auto& endpoint : topology.endpoints)
      backends.insert(EgressBackendName(environment, endpoint.name));
    for (const auto& listener : topology.listeners) listens.insert(OutsideKey(listener.listen));
    std::erase_if(kept.entries, [&](const auto& entry) {
      if (IsHostKey(entry.first) && !EntryOfHosts(entry.first, topology)) return true;
      if (entry.second == kRedirect) return false;
      const std::string active = entry.second.substr(0, entry.second.find(':'));
      return !backends.contains(active) ||
             (entry.first.starts_with("out|") && !listens.contains(entry.first));
    });
    ForgetServers(state, environment, kept);
  }
  TRY(CheckOwnListeners(state));
  TRY(NumberSockets(state));
  return state;
}

std::string HostKey(bool tls, const std::string& host, const std::string& path) {
  return (tls ? "https|" : "http|") + host + path + (path.ends_with('/') ? "" : "/");
}

Result<void> CheckOwnListeners(const RouterState& state) {
  for (const std::string& shared : SharedListeners(state)) {
    const ListenAddress address = TRY(ListenAddress::Parse(shared));
    for (const auto& [id, environment] : state.environments)
      for (const auto& listener : environment.topology.listeners)
        if (TRY(ListenAddress::Parse(listener.listen)).Overlaps(address))
          return Error(Code::kConflict, "the listener " + listener.listen + " of " + id.Render() +
                                            " is this host's own for routes by host name (" + shared +
                                            "); choose another port, or change router in host.yaml");
  }
  return {};
}

Result<void> NumberSockets(RouterState& state) {
  const auto wanted = WantedSockets(state);
  std::erase_if(state.numbers, [&](const auto& entry) { return !wanted.contains(entry.first); });
  std::set<uint32_t> used;
  for (const auto& [key, number] : state.numbers) used.insert(number);
  uint32_t next = kFirstNumber;
  for (const auto& [key, socket] : wanted) {
    if (state.numbers.contains(key)) continue;
    while (used.contains(next)) ++next;
    if (next > kLastNumber)
      return Error(Code::kNoSpace, "the router of this host holds at most " +
                                       std::to_string(kLastNumber - kFirstNumber + 1) +
                                       " ports of services, endpoints and listeners");
    used.insert(next);
    state.numbers[key] = next;
  }
  return {};
}

Result<void> AssignServers(RouterState& state, const FleetId& fleet,
                           const std::vector<platform::Server>& servers, std::vector<InstanceId>* added) {
  const auto found = state.environments.find(fleet.environment());
  const Topology::Service* service =
      found == state.environments.end() ? nullptr : FindService(found->second.topology, fleet.service());
  if (service == nullptr) {
    if (servers.empty()) return {};
    return Error(Code::kNotFound, "the router has no service " + fleet.environment().Render() + "/" +
                                      fleet.service() + "; its topology has to name it first");
  }
  std::set<InstanceId> wanted;
  for (const auto& server : servers) {
    TRY(CheckAddress(server.address));
    if (server.instance.fleet() != fleet)
      return Invalid(server.instance.Render() + " is not an instance of " + fleet.Render());
    if (!wanted.insert(server.instance).second)
      return Invalid(server.instance.Render() + " is in the set twice");
  }
  RouterSet* set = SetFor(found->second, fleet, *service);
  if (set == nullptr) {
    if (servers.empty()) return {};
    return Error(Code::kConflict, "all three server sets of " + fleet.environment().Render() + "/" +
                                      fleet.service() +
                                      " are in use; an older fleet has to be retired first");
  }
  if (set->fleet != fleet && servers.empty()) return {};
  if (servers.size() > set->slots.size())
    return Error(Code::kNoSpace, fleet.Render() + " has room for " + std::to_string(set->slots.size()) +
                                     " instances in the router, not " + std::to_string(servers.size()));
  set->fleet = fleet;
  for (RouterSlot& slot : set->slots) {
    if (!slot.instance || wanted.contains(*slot.instance)) continue;
    slot = RouterSlot{};
    slot.freed = ++state.sequence;
  }
  for (const auto& server : servers) {
    auto has = std::find_if(set->slots.begin(), set->slots.end(),
                            [&](const RouterSlot& slot) { return slot.instance == server.instance; });
    if (has == set->slots.end()) {
      for (auto slot = set->slots.begin(); slot != set->slots.end(); ++slot)
        if (!slot->instance && (has == set->slots.end() || slot->freed < has->freed)) has = slot;
      has->instance = server.instance;
      has->draining = false;
      if (added != nullptr) added->push_back(server.instance);
    }
    has->address = server.address;
  }
  return {};
}

Result<void> ReserveSets(RouterState& state, const EnvironmentId& environment,
                         const platform::RouteTable& routes) {
  const auto found = state.environments.find(environment);
  if (found == state.environments.end()) return {};
  std::set<FleetId> named;
  const auto name = [&](const auto& route) {
    named.insert(route.fleet);
    if (route.split) named.insert(route.split->fleet);
  };
  for (const auto& route : routes.outside) name(route);
  for (const auto& route : routes.inside) name(route);
  for (const FleetId& fleet : named) {
    const Topology::Service* service = FindService(found->second.topology, fleet.service());
    if (service == nullptr || fleet.environment() != environment)
      continue;  // RouteEntries says what is wrong
    RouterSet* set = SetFor(found->second, fleet, *service, named);
    if (set == nullptr)
      return Error(Code::kConflict, "all three server sets of " + environment.Render() + "/" +
                                        fleet.service() +
                                        " are in use; an older fleet has to be retired first");
    set->fleet = fleet;
  }
  return {};
}

Result<std::vector<std::pair<std::string, std::string>>> RouteEntries(
    const RouterState& state, const EnvironmentId& environment, const platform::RouteTable& routes,
    const std::map<FleetId, std::vector<platform::Server>>& askers) {
  const auto found = state.environments.find(environment);
  const Topology empty;
  const Topology& topology = found == state.environments.end() ? empty : found->second.topology;
  std::map<std::string, std::string> entries;
  auto set_of = [&](const FleetId& fleet) -> Result<size_t> {
    if (fleet.environment() != environment)
      return Invalid(fleet.Render() + " is not a fleet of " + environment.Render());
    if (found != state.environments.end()) {
      const auto service = found->second.services.find(fleet.service());
      if (service != found->second.services.end())
        for (size_t i = 0; i < kSetsPerService; ++i)
          if (service->second.sets[i].fleet == fleet) return i;
    }
    return Error(Code::kNotFound,
                 "the router has no service " + fleet.Render() + "; its topology has to name it first");
  };
  // "<backend>::0", or "<backend>:<other backend>:<per mille>:<rollout>:<step>", with ":<per mille>" that are
  // copied, if any are.
  auto value_of = [&](const auto& route, const std::string& service, uint16_t port) -> Result<std::string> {
    const std::string out = BackendName(environment, service, port, TRY(set_of(route.fleet))) + ":";
    if (!route.split) return out + ":0";
    if (route.split->fleet.service() != service || route.split->per_mille > 1000 ||
        route.split->shadow > 1000)
      return Invalid("a split of " + route.fleet.Render() +
                     " is not a share for a fleet of the same service");
    return out + BackendName(environment, service, port, TRY(set_of(route.split->fleet))) + ":" +
           std::to_string(route.split->per_mille) + ":" + SplitTag(routes.rollout, routes.step) +
           (route.split->shadow > 0 ? ":" + std::to_string(route.split->shadow) : "");
  };
  for (const auto& route : routes.outside) {
    TRY(set_of(route.fleet));
    if (route.listen.empty()) {
      const Topology::Service* service = FindService(topology, route.fleet.service());
      const bool known = std::any_of(topology.hosts.begin(), topology.hosts.end(), [&](const auto& host) {
        return host.host == route.host && host.path == route.path;
      });
      const bool http = std::any_of(service->ports.begin(), service->ports.end(), [&](const auto& port) {
        return port.number == route.port && port.protocol == Protocol::kHttp;
      });
      if (!known || !http)
        return Error(Code::kNotFound,
                     known ? "service " + service->name + " has no HTTP port " + std::to_string(route.port)
                           : "the router has no route by host name " + route.host.substr(0, 260) + " for " +
                                 environment.Render());
      entries[HostKey(route.tls, route.host, route.path)] = TRY(
          WithServer(state, environment, route, TRY(value_of(route, service->name, route.port)), entries));
      if (route.tls) entries[HostKey(false, route.host, route.path)] = kRedirect;
      continue;
    }
    const auto listener = std::find_if(topology.listeners.begin(), topology.listeners.end(),
                                       [&](const auto& known) { return known.listen == route.listen; });
    if (listener == topology.listeners.end())
      return Error(Code::kNotFound, "the router has no listener " + route.listen.substr(0, 100) + " for " +
                                        environment.Render());
    const Topology::Service* service = FindService(topology, route.fleet.service());
    const auto port = std::find_if(service->ports.begin(), service->ports.end(),
                                   [&](const auto& known) { return known.number == route.port; });
    if (port == service->ports.end())
      return Error(Code::kNotFound,
                   "service " + service->name + " has no port " + std::to_string(route.port));
    if (route.server && listener->protocol != Protocol::kHttp)
      return Invalid("a share for a server elsewhere is of HTTP requests; listener " + route.listen +
                     " carries TCP");
    if (port->protocol != listener->protocol)
      return Invalid("listener " + route.listen + " and port " + std::to_string(route.port) + " of " +
                     service->name + " differ in protocol (http, tcp)");
    entries[OutsideKey(route.listen)] =
        TRY(WithServer(state, environment, route, TRY(value_of(route, service->name, route.port)), entries));
  }
  auto allow = [&](const FleetId& asker, const std::string& name, uint16_t port,
                   const std::string& value) -> Result<void> {
    const auto instances = askers.find(asker);
    if (instances == askers.end()) return {};
    for (const auto& server : instances->second) {
      TRY(CheckAddress(server.address));
      entries[server.address + "|" + InsideKey(environment, name, port)] = value;
    }
    return {};
  };
  for (const auto& route : routes.inside) {
    TRY(set_of(route.fleet));
    if (route.fleet.service() != route.service)
      return Invalid(route.fleet.Render() + " is not a fleet of service " + route.service.substr(0, 100));
    const Topology::Service* service = FindService(topology, route.service);
    for (const auto& port : service->ports) {
      const std::string value = TRY(value_of(route, service->name, port.number));
      TRY(allow(route.asker, service->name, port.number, value));
    }
  }
  for (const auto& route : routes.endpoints) {
    const auto endpoint = std::find_if(topology.endpoints.begin(), topology.endpoints.end(),
                                       [&](const auto& known) { return known.name == route.name; });
    if (endpoint == topology.endpoints.end())
      return Error(Code::kNotFound, "the router has no endpoint " + route.name.substr(0, 100) + " for " +
                                        environment.Render());
    TRY(allow(route.asker, endpoint->name, endpoint->port,
              EgressBackendName(environment, endpoint->name) + "::0"));
  }
  return std::vector<std::pair<std::string, std::string>>(entries.begin(), entries.end());
}

SlotPlace FindSlot(RouterState& state, const InstanceId& instance) {
  const auto environment = state.environments.find(instance.fleet().environment());
  if (environment == state.environments.end()) return {};
  const auto service = environment->second.services.find(instance.fleet().service());
  if (service == environment->second.services.end()) return {};
  for (size_t set = 0; set < kSetsPerService; ++set) {
    auto& slots = service->second.sets[set].slots;
    for (size_t i = 0; i < slots.size(); ++i)
      if (slots[i].instance == instance)
        return {&slots[i], FindService(environment->second.topology, service->first), set, i};
  }
  return {};
}

std::map<std::string, RouterSocket> WantedSockets(const RouterState& state) {
  std::map<std::string, RouterSocket> wanted;
  auto add = [&](const std::string& key, RouterSocket::Kind kind, const std::string& address) {
    const auto number = state.numbers.find(key);
    wanted[key] = {kind, address, number == state.numbers.end() ? 0 : number->second};
  };
  for (const auto& [id, environment] : state.environments) {
    for (const auto& listener : environment.topology.listeners)
      add(OutsideKey(listener.listen), RouterSocket::Kind::kOutside, listener.listen);
    for (const auto& service : environment.topology.services)
      for (const auto& port : service.ports)
        add(InsideKey(id, service.name, port.number), RouterSocket::Kind::kInside,
            environment.addresses.at(service.name) + ":" + std::to_string(port.number));
    for (const auto& endpoint : environment.topology.endpoints) {
      add(InsideKey(id, endpoint.name, endpoint.port), RouterSocket::Kind::kInside,
          environment.addresses.at(endpoint.name) + ":" + std::to_string(endpoint.port));
      add(EgressKey(id, endpoint.name), RouterSocket::Kind::kEgress, "");
    }
    for (const auto& server : environment.topology.servers) {
      add(ServerKey(id, server), RouterSocket::Kind::kEgress, "");
      add(ReturnKey(id, server), RouterSocket::Kind::kReturn, "");
    }
  }
  for (const std::string& listen : SharedListeners(state))
    add(OutsideKey(listen), RouterSocket::Kind::kOutside, listen);
  return wanted;
}

}  // namespace ingot::adapters
