#include "platform/fake_router.h"

#include <algorithm>

namespace ingot::platform {

namespace {

constexpr size_t kSets = 3;

const Topology::Service* FindService(const Topology& topology, const std::string& name) {
  for (const auto& service : topology.services)
    if (service.name == name) return &service;
  return nullptr;
}

bool Names(const RouteTable& routes, const FleetId& fleet) {
  const auto leads = [&](const auto& route) {
    return route.fleet == fleet || (route.split && route.split->fleet == fleet);
  };
  return std::any_of(routes.outside.begin(), routes.outside.end(), leads) ||
         std::any_of(routes.inside.begin(), routes.inside.end(), leads);
}

// How many sets of the fleet's service are taken.
template <typename Fleets>
long SetsOf(const Fleets& fleets, const FleetId& fleet) {
  return std::count_if(fleets.begin(), fleets.end(), [&](const auto& entry) {
    return entry.first.environment() == fleet.environment() && entry.first.service() == fleet.service();
  });
}

}  // namespace

std::optional<Error> FakeRouter::Failure(State& state, const std::string& function) {
  const auto found = state.failures.find(function);
  return found == state.failures.end() ? std::nullopt : std::optional<Error>(found->second);
}

Result<void> FakeRouter::SetTopology(const EnvironmentId& environment, const Topology& topology) {
  auto state = state_.lock();
  if (auto error = Failure(*state, "SetTopology")) return *error;
  for (const auto& listener : topology.listeners) {
    if (FindService(topology, listener.service) == nullptr)
      return Error(Code::kInvalid, "listener " + listener.listen + " leads to service " + listener.service +
                                       ", which is not there");
    for (const auto& [other, kept] : state->environments)
      for (const auto& theirs : kept.topology.listeners)
        if (other != environment && theirs.listen == listener.listen)
          return Error(Code::kConflict, "the listener " + listener.listen + " belongs to " + other.Render());
  }
  if (topology == Topology{}) {
    state->environments.erase(environment);
    std::erase_if(state->fleets, [&](const auto& entry) { return entry.first.environment() == environment; });
    return {};
  }
  Environment& kept = state->environments[environment];
  kept.topology = topology;
  std::map<std::string, std::string> addresses;
  auto keep = [&](const std::string& name) {
    const auto had = kept.addresses.find(name);
    if (had != kept.addresses.end()) {
      addresses[name] = had->second;
      return;
    }
    const uint32_t next = ++state->last_address;
    addresses[name] = "198.18." + std::to_string(next / 256) + "." + std::to_string(next % 256);
  };
  for (const auto& service : topology.services) keep(service.name);
  for (const auto& endpoint : topology.endpoints) keep(endpoint.name);
  kept.addresses = std::move(addresses);
  return {};
}

Result<bool> FakeRouter::TopologySettled() {
  auto state = state_.lock();
  if (auto error = Failure(*state, "TopologySettled")) return *error;
  return state->settled;
}

Result<std::string> FakeRouter::VirtualAddress(const EnvironmentId& environment, const std::string& name) {
  auto state = state_.lock();
  const auto& addresses = state->environments[environment].addresses;
  const auto found = addresses.find(name);
  if (found == addresses.end())
    return Error(Code::kNotFound,
                 "the router knows no service or endpoint " + name + " of " + environment.Render());
  return found->second;
}

Result<void> FakeRouter::SetServers(const FleetId& fleet, const std::vector<Server>& servers) {
  auto state = state_.lock();
  if (auto error = Failure(*state, "SetServers")) return *error;
  const auto environment = state->environments.find(fleet.environment());
  if (environment == state->environments.end() ||
      FindService(environment->second.topology, fleet.service()) == nullptr) {
    if (servers.empty()) return {};
    return Error(Code::kNotFound,
                 "the router has no service " + fleet.service() + " of " + fleet.environment().Render());
  }
  for (const auto& server : servers)
    if (server.instance.fleet() != fleet)
      return Error(Code::kInvalid, server.instance.Render() + " is not an instance of " + fleet.Render());
  if (servers.empty()) {
    const auto kept = state->fleets.find(fleet);
    if (kept == state->fleets.end()) return {};
    kept->second.clear();
    if (!Names(environment->second.routes, fleet)) state->fleets.erase(kept);
    return {};
  }
  if (!state->fleets.contains(fleet)) {
    if (SetsOf(state->fleets, fleet) >= static_cast<long>(kSets))
      return Error(Code::kConflict, "all three server sets of " + fleet.service() + " are in use");
  }
  std::vector<Entry> entries;
  auto& kept = state->fleets[fleet];
  for (const auto& server : servers) {
    const auto had = std::find_if(kept.begin(), kept.end(), [&](const Entry& entry) {
      return entry.server.instance == server.instance;
    });
    entries.push_back(had == kept.end() ? Entry{server, false, {}} : *had);
    entries.back().server = server;
  }
  kept = std::move(entries);
  return {};
}

Result<void> FakeRouter::ApplyRoutes(const EnvironmentId& environment, const RouteTable& routes,
                                     const std::map<FleetId, std::vector<Server>>& askers) {
  auto state = state_.lock();
  if (auto error = Failure(*state, "ApplyRoutes")) return *error;
  const auto found = state->environments.find(environment);
  const Topology none;
  const Topology& topology = found == state->environments.end() ? none : found->second.topology;
  auto fleets = state->fleets;
  std::erase_if(fleets, [&](const auto& entry) {
    return entry.first.environment() == environment && entry.second.empty() && !Names(routes, entry.first);
  });
  auto known = [&](const FleetId& fleet) -> Result<void> {
    if (fleet.environment() != environment)
      return Error(Code::kInvalid, fleet.Render() + " is not a fleet of " + environment.Render());
    if (fleets.contains(fleet)) return {};
    if (FindService(topology, fleet.service()) == nullptr)
      return Error(Code::kNotFound, "the router has no service " + fleet.service());
    if (SetsOf(fleets, fleet) >= static_cast<long>(kSets))
      return Error(Code::kConflict, "all three server sets of " + fleet.service() + " are in use");
    fleets[fleet] = {};
    return {};
  };
  for (const auto& route : routes.outside) {
    TRY(known(route.fleet));
    if (route.split) TRY(known(route.split->fleet));
    if (!route.listen.empty() &&
        std::none_of(topology.listeners.begin(), topology.listeners.end(),
                     [&](const auto& listener) { return listener.listen == route.listen; }))
      return Error(Code::kNotFound, "the router has no listener " + route.listen);
    if (route.listen.empty() &&
        std::none_of(topology.hosts.begin(), topology.hosts.end(),
                     [&](const auto& named) { return named.host == route.host && named.path == route.path; }))
      return Error(Code::kNotFound, "the router has no route by host name " + route.host + route.path);
  }
  for (const auto& route : routes.inside) {
    TRY(known(route.fleet));
    if (route.split) TRY(known(route.split->fleet));
  }
  for (const auto& route : routes.endpoints)
    if (std::none_of(topology.endpoints.begin(), topology.endpoints.end(),
                     [&](const auto& endpoint) { return endpoint.name == route.name; }))
      return Error(Code::kNotFound, "the router has no endpoint " + route.name);
  ++state->switches;
  state->fleets = std::move(fleets);
  if (found == state->environments.end()) return {};
  found->second.routes = routes;
  found->second.askers = askers;
  return {};
}

Result<std::map<InstanceId, ServerCounters>> FakeRouter::Counters() {
  auto state = state_.lock();
  if (auto error = Failure(*state, "Counters")) return *error;
  std::map<InstanceId, ServerCounters> out;
  for (const auto& [fleet, entries] : state->fleets)
    for (const Entry& entry : entries) out[entry.server.instance] = entry.counters;
  return out;
}

Result<std::map<FleetId, FleetCounters>> FakeRouter::CountersOf(const std::vector<FleetId>& fleets, uint64_t,
                                                                uint32_t) {
  auto state = state_.lock();
  if (auto error = Failure(*state, "CountersOf")) return *error;
  std::map<FleetId, FleetCounters> out;
  for (const FleetId& fleet : fleets) {
    FleetCounters& sum = out[fleet];
    for (const Entry& entry : state->fleets[fleet]) {
      sum.answered += entry.counters.requests;
      sum.errors_5xx += entry.counters.errors_5xx;
    }
  }
  return out;
}

Result<bool> FakeRouter::Drain(const InstanceId& instance) {
  auto state = state_.lock();
  if (auto error = Failure(*state, "Drain")) return *error;
  const auto fleet = state->fleets.find(instance.fleet());
  if (fleet == state->fleets.end()) return true;
  for (Entry& entry : fleet->second) {
    if (entry.server.instance != instance) continue;
    entry.draining = true;
    return entry.counters.in_flight == 0;
  }
  return true;
}

std::optional<InstanceId> FakeRouter::Pick(State& state, const FleetId& routed,
                                           const std::optional<Share>& split) {
  FleetId fleet = routed;
  if (split) {
    // Evenly, so that a test can count.
    const uint64_t n = state.dealt[routed]++;
    if ((n + 1) * split->per_mille / 1000 > n * split->per_mille / 1000) fleet = split->fleet;
  }
  auto& entries = state.fleets[fleet];
  for (size_t i = 0; i < entries.size(); ++i) {
    Entry& entry = entries[state.next[fleet]++ % entries.size()];
    if (entry.draining) continue;
    ++entry.counters.requests;
    return entry.server.instance;
  }
  return std::nullopt;
}

std::optional<InstanceId> FakeRouter::Request(const std::string& listen) {
  auto state = state_.lock();
  for (auto& [id, environment] : state->environments)
    for (const auto& route : environment.routes.outside)
      if (route.listen == listen) return Pick(*state, route.fleet, route.split);
  return std::nullopt;
}

std::optional<InstanceId> FakeRouter::RequestFrom(const std::string& address, const std::string& service) {
  auto state = state_.lock();
  for (auto& [id, environment] : state->environments)
    for (const auto& route : environment.routes.inside)
      for (const Server& asker : environment.askers[route.asker])
        if (route.service == service && asker.address == address)
          return Pick(*state, route.fleet, route.split);
  return std::nullopt;
}

bool FakeRouter::MayReachEndpoint(const std::string& address, const std::string& endpoint) {
  auto state = state_.lock();
  for (auto& [id, environment] : state->environments)
    for (const auto& route : environment.routes.endpoints)
      for (const Server& asker : environment.askers[route.asker])
        if (route.name == endpoint && asker.address == address) return true;
  return false;
}

void FakeRouter::SetInFlight(const InstanceId& instance, uint64_t requests) {
  auto state = state_.lock();
  for (Entry& entry : state->fleets[instance.fleet()])
    if (entry.server.instance == instance) entry.counters.in_flight = requests;
}

void FakeRouter::SetErrors(const InstanceId& instance, uint64_t errors_5xx) {
  auto state = state_.lock();
  for (Entry& entry : state->fleets[instance.fleet()])
    if (entry.server.instance == instance) entry.counters.errors_5xx = errors_5xx;
}

void FakeRouter::SetSettled(bool settled) {
  state_.lock()->settled = settled;
}

void FakeRouter::Fail(const std::string& function, std::optional<Error> error) {
  auto state = state_.lock();
  state->failures.erase(function);
  if (error) state->failures.emplace(function, *error);
}

RouteTable FakeRouter::Routes(const EnvironmentId& environment) {
  auto state = state_.lock();
  const auto found = state->environments.find(environment);
  return found == state->environments.end() ? RouteTable{} : found->second.routes;
}

std::vector<Server> FakeRouter::Servers(const FleetId& fleet) {
  auto state = state_.lock();
  std::vector<Server> out;
  const auto found = state->fleets.find(fleet);
  if (found != state->fleets.end())
    for (const Entry& entry : found->second) out.push_back(entry.server);
  return out;
}

int FakeRouter::switches() {
  return state_.lock()->switches;
}

}  // namespace ingot::platform
