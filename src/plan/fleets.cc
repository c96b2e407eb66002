#include "plan/fleets.h"

#include <algorithm>
#include <set>

#include "definition/outside_address.h"

namespace ingot::plan {

namespace {

platform::Protocol Convert(definition::Protocol protocol) {
  return protocol == definition::Protocol::kHttp ? platform::Protocol::kHttp : platform::Protocol::kTcp;
}

std::vector<platform::Port> Convert(const std::vector<definition::ResolvedPort>& ports) {
  std::vector<platform::Port> out;
  out.reserve(ports.size());
  for (const auto& port : ports) out.push_back({port.name, port.number, Convert(port.protocol)});
  return out;
}

platform::Probe Convert(const definition::ResolvedProbe& probe) {
  platform::Probe out;
  switch (probe.kind) {
    case definition::ResolvedProbe::Kind::kNone:
      out.kind = platform::Probe::Kind::kNone;
      break;
    case definition::ResolvedProbe::Kind::kHttp:
      out.kind = platform::Probe::Kind::kHttp;
      break;
    case definition::ResolvedProbe::Kind::kTcp:
      out.kind = platform::Probe::Kind::kTcp;
      break;
    case definition::ResolvedProbe::Kind::kRun:
      out.kind = platform::Probe::Kind::kRun;
      break;
  }
  out.port = probe.port;
  out.path = probe.path;
  out.command = probe.command;
  out.interval = probe.interval;
  out.timeout = probe.timeout;
  out.passes = probe.passes;
  out.fails = probe.fails;
  out.deadline = probe.deadline;
  return out;
}

platform::FleetSpec SpecOf(platform::FleetId id, const definition::ResolvedService& service) {
  platform::FleetSpec spec;
  spec.id = std::move(id);
  spec.image = service.image;
  spec.args = service.command;
  spec.environment = service.environment;
  spec.user = service.user;
  spec.workdir = service.workdir;
  spec.ports = Convert(service.ports);
  for (const auto& use : service.uses)
    spec.uses.push_back({use.name, use.endpoint, use.host, Convert(use.ports)});
  spec.ready = Convert(service.ready);
  spec.live = Convert(service.live);
  spec.limits = {service.limits.millicpus, service.limits.memory_bytes, service.limits.pids};
  for (const auto& scratch : service.scratch)
    spec.scratch.push_back({scratch.path, scratch.size_bytes, scratch.exec});
  for (const auto& volume : service.volumes)
    spec.volumes.push_back({volume.name, volume.path, volume.read_only, volume.size_bytes});
  for (const auto& [name, version] : service.secrets) spec.secrets.push_back({name, version});
  spec.capabilities = service.capabilities;
  spec.stop_signal = service.stop_signal;
  spec.grace = service.grace;
  spec.drain = service.drain;
  return spec;
}

}  // namespace

platform::EnvironmentId EnvironmentOf(const definition::Resolved& resolved) {
  return {resolved.project, resolved.environment};
}

std::vector<Fleet> Fleets(const definition::Resolved& resolved) {
  std::vector<Fleet> out;
  out.reserve(resolved.services.size());
  for (const auto& service : resolved.services) {
    platform::FleetId id(EnvironmentOf(resolved), service.name,
                         std::string(definition::FleetDigest(service).Short()));
    out.push_back({SpecOf(std::move(id), service), service.replicas, service.kind, service.rollout,
                   definition::Follows(service.scale) ? service.scale : std::nullopt, service.max_age,
                   service.scale ? service.scale->spares : 0});
  }
  return out;
}

std::vector<Job> Jobs(const definition::Resolved& resolved) {
  std::vector<Job> out;
  for (const auto& job : resolved.jobs) {
    platform::FleetId id(EnvironmentOf(resolved), job.instance.name,
                         std::string(definition::FleetDigest(job).Short()));
    Job made{SpecOf(std::move(id), job.instance),
             job.schedule,
             job.concurrency,
             job.timeout,
             job.retries,
             job.on_release,
             job.migrates};
    made.spec.job = true;
    for (platform::Scratch& scratch : made.spec.scratch)
      scratch.kept = std::binary_search(job.artifacts.begin(), job.artifacts.end(), scratch.path);
    out.push_back(std::move(made));
  }
  return out;
}

platform::RouteTable::Outside OutsideOf(const definition::ResolvedRoute& route,
                                        const platform::FleetId& fleet) {
  platform::RouteTable::Outside out{route.listen, fleet,      route.port, Convert(route.protocol),
                                    {},           route.host, route.path, route.tls};
  if (route.outside)
    out.server = platform::ServerShare{route.outside->host, route.outside->port, route.outside->percent * 10};
  return out;
}

platform::RouteTable Routes(const definition::Resolved& resolved) {
  platform::RouteTable table;
  std::map<std::string, platform::FleetId> ids;
  const std::vector<Fleet> fleets = Fleets(resolved);
  for (const Fleet& fleet : fleets) ids.emplace(fleet.spec.id.service(), fleet.spec.id);
  // Names that dangle were refused when the definition was read; here they lead nowhere.
  for (const auto& route : resolved.routes) {
    const auto target = ids.find(route.service);
    if (target != ids.end()) table.outside.push_back(OutsideOf(route, target->second));
  }
  for (const Fleet& fleet : fleets) {
    for (const auto& use : fleet.spec.uses) {
      const auto target = ids.find(use.name);
      if (use.endpoint)
        table.endpoints.push_back({fleet.spec.id, use.name});
      else if (target != ids.end())
        table.inside.push_back({fleet.spec.id, use.name, target->second});
    }
  }
  return table;
}

std::string Render(const platform::ServerShare& server) {
  return std::to_string(server.per_mille / 10) + " % to " +
         definition::OutsideAddress{server.host, server.port}.Render() + " (outside)";
}

Json ToJson(const platform::ServerShare& server) {
  return JsonObject{{"address", definition::OutsideAddress{server.host, server.port}.Render()},
                    {"percent", server.per_mille / 10}};
}

std::string PreviewListen(const definition::Preview& preview) {
  return ":" + std::to_string(preview.port);
}

uint16_t PreviewTarget(const std::vector<platform::Port>& ports) {
  for (const platform::Port& port : ports)
    if (ports.size() == 1 || port.name == "http") return port.number;
  return 0;
}

namespace {

// The canary's one shadow step says what the router has to be able to copy.
platform::Topology::Shadow ShadowOf(const definition::ResolvedRollout& rollout) {
  for (const definition::ResolvedStep& step : rollout.steps)
    if (step.shadow) return {step.shadow->methods, step.shadow->bodies, step.shadow->timeout};
  return {};
}

}  // namespace

platform::Topology TopologyOf(const std::vector<const definition::Resolved*>& live,
                              const std::map<std::string, uint32_t>& replicas) {
  std::map<std::string, platform::Topology::Service> services;
  std::map<std::string, platform::Topology::Endpoint> endpoints;
  std::map<std::string, platform::Topology::Listener> listeners;
  std::map<std::pair<std::string, std::string>, platform::Topology::Host> hosts;
  std::set<platform::Topology::Server> servers;
  for (const definition::Resolved* resolved : live) {
    for (const auto& service : resolved->services) {
      const auto [found, is_new] = services.try_emplace(service.name);
      auto& entry = found->second;
      entry.name = service.name;
      for (const auto& port : service.ports) {
        const bool known = std::any_of(entry.ports.begin(), entry.ports.end(),
                                       [&](const platform::Port& p) { return p.number == port.number; });
        if (!known) entry.ports.push_back({port.name, port.number, Convert(port.protocol)});
      }
      entry.replicas = std::max({entry.replicas, service.replicas, 1u});
      if (entry.sticky == platform::Topology::Sticky{})
        entry.sticky = {service.rollout.sticky.cookie, service.rollout.sticky.header};
      const definition::Preview& preview = service.rollout.preview;
      // Whoever decides first, also that there is none: what has been taken away is closed at once.
      if (is_new) entry.preview = {preview.cookie, preview.header, preview.value};
      if (is_new && preview.port != 0)
        listeners.try_emplace(
            PreviewListen(preview),
            platform::Topology::Listener{PreviewListen(preview), service.name, platform::Protocol::kHttp});
      if (entry.shadow.methods.empty()) entry.shadow = ShadowOf(service.rollout);
    }
    for (const auto& endpoint : resolved->endpoints)
      // A database in a file has no port, and nobody asks for it by name.
      if (endpoint.port != 0)
        endpoints.try_emplace(endpoint.name,
                              platform::Topology::Endpoint{endpoint.name, endpoint.host, endpoint.port});
    for (const auto& route : resolved->routes) {
      // Also at weight 0: to give it its share back is no change of what has to exist.
      if (route.outside)
        servers.insert(
            {route.listen, route.host, route.path, route.tls, route.outside->host, route.outside->port});
      if (!route.listen.empty())
        listeners.try_emplace(route.listen, platform::Topology::Listener{route.listen, route.service,
                                                                         Convert(route.protocol), route.tls});
      else
        hosts.try_emplace(std::pair(route.host, route.path),
                          platform::Topology::Host{route.host, route.path, route.service, route.tls});
    }
  }
  platform::Topology out;
  for (auto& [name, service] : services) {
    const auto raised = replicas.find(name);
    if (raised != replicas.end()) service.replicas = std::max(service.replicas, raised->second);
    // By number, so that the same set is the same topology whichever revision came first.
    std::sort(service.ports.begin(), service.ports.end(),
              [](const platform::Port& a, const platform::Port& b) { return a.number < b.number; });
    out.services.push_back(std::move(service));
  }
  for (auto& [name, endpoint] : endpoints) out.endpoints.push_back(std::move(endpoint));
  for (auto& [listen, listener] : listeners) out.listeners.push_back(std::move(listener));
  for (auto& [name, host] : hosts) out.hosts.push_back(std::move(host));
  out.servers.assign(servers.begin(), servers.end());
  return out;
}

}  // namespace ingot::plan
