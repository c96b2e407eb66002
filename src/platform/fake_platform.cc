#include "platform/fake_platform.h"

#include <algorithm>
#include <utility>

namespace ingot::platform {

namespace {

template <typename List, typename Match>
bool Has(const List& list, Match match) {
  return std::any_of(list.begin(), list.end(), match);
}

// What the routes name and the topology does not have; empty when it has everything.
std::string Missing(const Topology& topology, const RouteTable& routes) {
  const auto service = [&](const std::string& name) {
    return Has(topology.services, [&](const Topology::Service& s) { return s.name == name; });
  };
  for (const auto& route : routes.outside) {
    if (!route.listen.empty() &&
        !Has(topology.listeners, [&](const Topology::Listener& l) { return l.listen == route.listen; }))
      return "listener " + route.listen;
    if (route.listen.empty() && !Has(topology.hosts, [&](const Topology::Host& h) {
          return h.host == route.host && h.path == route.path;
        }))
      return "host " + route.host + route.path;
    if (!service(route.fleet.service())) return "service " + route.fleet.service();
    if (route.server && !Has(topology.servers, [&](const Topology::Server& s) {
          return s == Topology::Server{route.listen, route.host,         route.path,
                                       route.tls,    route.server->host, route.server->port};
        }))
      return "server " + route.server->host + ":" + std::to_string(route.server->port);
  }
  for (const auto& route : routes.inside)
    if (!service(route.service)) return "service " + route.service;
  for (const auto& route : routes.endpoints)
    if (!Has(topology.endpoints, [&](const Topology::Endpoint& e) { return e.name == route.name; }))
      return "endpoint " + route.name;
  return "";
}

}  // namespace

Result<void> FakePlatform::Before(const std::string& function) {
  ++calls_[function];
  return before ? before(function) : Result<void>();
}

Result<void> FakePlatform::After(const std::string& function) {
  return after ? after(function) : Result<void>();
}

Result<void> FakePlatform::SetTopology(const EnvironmentId& environment, const Topology& topology) {
  TRY(Before("SetTopology"));
  for (const auto& [other, theirs] : topologies_) {
    if (other == environment) continue;
    for (const auto& listener : topology.listeners)
      if (Has(theirs.listeners, [&](const Topology::Listener& l) { return l.listen == listener.listen; }))
        return Error(Code::kConflict, "listener " + listener.listen + " belongs to " + other.Render());
    for (const auto& host : topology.hosts)
      if (Has(theirs.hosts,
              [&](const Topology::Host& h) { return h.host == host.host && h.path == host.path; }))
        return Error(Code::kConflict, "host " + host.host + host.path + " belongs to " + other.Render());
  }
  if (topologies_[environment] != topology) settles_[environment] = clock_.Steady() + settle_takes;
  topologies_[environment] = topology;
  return After("SetTopology");
}

Result<bool> FakePlatform::TopologySettled(const EnvironmentId& environment) {
  TRY(Before("TopologySettled"));
  const auto at = settles_.find(environment);
  return at == settles_.end() || clock_.Steady() >= at->second;
}

Result<void> FakePlatform::Start(const FleetSpec& fleet, const InstanceId& instance) {
  TRY(Before("Start"));
  if (given_up_.contains(instance)) complaints_.push_back("started again: " + instance.Render());
  if (fleet.id != instance.fleet()) complaints_.push_back("started with another spec: " + instance.Render());
  if (!entries_.contains(instance)) {
    Entry& entry = entries_[instance];
    entry.spec = fleet;
    entry.script = script ? script(fleet, instance) : Script{};
    entry.asked = clock_.Steady();
    entry.status.id = instance;
    entry.status.volumes = VolumesOf(fleet);
    entry.status.held = fleet.held;
    entry.status.state = InstanceState::kStarting;
    entry.status.started = clock_.Now();
    ever_started_.insert(instance);
  }
  TRY(After("Start"));
  entries_.at(instance).accepted = true;
  return {};
}

Result<void> FakePlatform::Serve(const InstanceId& instance) {
  TRY(Before("Serve"));
  if (const auto found = entries_.find(instance); found != entries_.end()) found->second.status.held = false;
  return After("Serve");
}

Result<void> FakePlatform::Stop(const InstanceId& instance) {
  TRY(Before("Stop"));
  const auto found = entries_.find(instance);
  if (found != entries_.end() && !found->second.stop_asked) {
    found->second.stop_asked = clock_.Steady();
    found->second.pinned = false;
  }
  return After("Stop");
}

Result<Observation> FakePlatform::Observe() {
  TRY(Before("Observe"));
  Advance();
  Observation out;
  for (const auto& [id, entry] : entries_)
    (entry.spec.job ? out.runs : out.instances).push_back(entry.status);
  return out;
}

Result<void> FakePlatform::ApplyRoutes(const EnvironmentId& environment, const RouteTable& routes) {
  TRY(Before("ApplyRoutes"));
  if (const std::string missing = Missing(topologies_[environment], routes); !missing.empty()) {
    complaints_.push_back("routed without it in the topology: " + missing);
    return Error(Code::kNotFound, "the topology does not name " + missing);
  }
  routes_[environment] = routes;
  return After("ApplyRoutes");
}

Result<std::map<FleetId, FleetCounters>> FakePlatform::Counters(const EnvironmentId& environment) {
  TRY(Before("Counters"));
  std::map<FleetId, FleetCounters> out;
  for (const auto& [fleet, counters] : counters_)
    if (fleet.environment() == environment) out.emplace(fleet, counters);
  return out;
}

Result<std::map<InstanceId, InstanceUsage>> FakePlatform::Usage(const std::set<InstanceId>& instances) {
  TRY(Before("Usage"));
  std::map<InstanceId, InstanceUsage> out;
  for (const auto& [id, used] : usage)
    if (instances.contains(id)) out.emplace(id, used);
  return out;
}

void FakePlatform::Advance(Entry& entry, SteadyTime now, WallTime wall) {
  if (entry.stop_asked) {
    entry.status.state = InstanceState::kStopping;
    return;
  }
  if (entry.pinned) return;
  const auto past = [&](const std::optional<Milliseconds>& after) {
    return after && now >= entry.asked + *after;
  };
  InstanceStatus& status = entry.status;
  status.copying = entry.script.copies_for && !past(entry.script.copies_for);
  if (status.copying) return;
  if (entry.script.copies_for) entry.asked += *std::exchange(entry.script.copies_for, std::nullopt);
  if (past(entry.script.exits_after)) {
    status.state = InstanceState::kExited;
    status.exit_code = entry.script.exit_code;
  } else if (past(entry.script.fails_after)) {
    status.state = InstanceState::kFailed;
    status.reason = "could not be started, as scripted";
  } else if (past(entry.script.unhealthy_after)) {
    status.state = InstanceState::kUnhealthy;
    status.reason = "live probe failed, as scripted";
  } else if (past(entry.script.ready_after)) {
    status.state = InstanceState::kReady;
    status.ready_after = *entry.script.ready_after;
  } else if (entry.spec.ready.deadline.count() > 0 && past(entry.spec.ready.deadline)) {
    status.state = InstanceState::kFailed;
    status.reason = "not ready within its deadline";
  } else if (past(entry.script.running_after)) {
    status.state = InstanceState::kRunning;
    status.started = wall;
  }
}

void FakePlatform::Advance() {
  const SteadyTime now = clock_.Steady();
  for (auto it = entries_.begin(); it != entries_.end();) {
    Entry& entry = it->second;
    if (entry.stop_asked && now >= *entry.stop_asked + entry.script.stop_takes) {
      given_up_.insert(it->first);
      it = entries_.erase(it);
      continue;
    }
    Advance(entry, now, clock_.Now());
    ++it;
  }
}

void FakePlatform::Exit(const InstanceId& instance, int exit_code) {
  SetState(instance, InstanceState::kExited, "");
  const auto found = entries_.find(instance);
  if (found != entries_.end()) found->second.status.exit_code = exit_code;
}

void FakePlatform::SetState(const InstanceId& instance, InstanceState state, std::string reason) {
  const auto found = entries_.find(instance);
  if (found == entries_.end()) return;
  found->second.pinned = true;
  found->second.status.state = state;
  found->second.status.reason = std::move(reason);
}

void FakePlatform::Vanish(const InstanceId& instance) {
  const auto found = entries_.find(instance);
  if (found == entries_.end()) return;
  if (found->second.accepted) given_up_.insert(instance);
  entries_.erase(found);
}

RouteTable FakePlatform::Routes(const EnvironmentId& environment) const {
  const auto found = routes_.find(environment);
  return found == routes_.end() ? RouteTable{} : found->second;
}

Topology FakePlatform::TopologyOf(const EnvironmentId& environment) const {
  const auto found = topologies_.find(environment);
  return found == topologies_.end() ? Topology{} : found->second;
}

const std::map<InstanceId, InstanceStatus>& FakePlatform::instances() {
  Advance();
  statuses_.clear();
  for (const auto& [id, entry] : entries_) statuses_.emplace(id, entry.status);
  return statuses_;
}

int FakePlatform::calls(const std::string& function) const {
  const auto found = calls_.find(function);
  return found == calls_.end() ? 0 : found->second;
}

}  // namespace ingot::platform
