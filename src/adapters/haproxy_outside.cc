#include "adapters/haproxy_outside.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "adapters/haproxy_cli.h"
#include "adapters/haproxy_config.h"
#include "adapters/haproxy_impl.h"
#include "definition/outside_address.h"

namespace ingot::adapters {

namespace {

constexpr Milliseconds kServersTimeout{2000};
constexpr std::string_view kServerBackend = "outside.";
constexpr const char* kOutsideHeader = "X-Ingot-Outside";

std::string RouteText(const platform::Topology::Server& server) {
  return server.listen.empty() ? HostKey(server.tls, server.route_host, server.path) : server.listen;
}

std::string AddressOf(const platform::Topology::Server& server) {
  const bool v6 = server.host.find(':') != std::string::npos;
  return (v6 ? "[" + server.host + "]" : server.host) + ":" + std::to_string(server.port);
}

std::string UnixServer(uint32_t number) {
  return "unix@/proc/self/fd/" + std::to_string(kDirectoryNumber) + "/" + EgressSocketName(number);
}

std::string ServerName(const platform::EnvironmentId& environment, const platform::Topology::Server& server) {
  return environment.Render() + "|" + RouteText(server) + "|" + AddressOf(server);
}

}  // namespace

std::string ServerKey(const platform::EnvironmentId& environment, const platform::Topology::Server& server) {
  return "server|" + ServerName(environment, server);
}

std::string ReturnKey(const platform::EnvironmentId& environment, const platform::Topology::Server& server) {
  return "return|" + ServerName(environment, server);
}

std::string ServerBackendName(uint32_t number) {
  return std::string(kServerBackend) + std::to_string(number);
}

std::string ReturnMapKey(uint32_t number) {
  return "return|" + std::to_string(number);
}

Result<std::string> WithServer(const RouterState& state, const platform::EnvironmentId& environment,
                               const platform::RouteTable::Outside& route, std::string value,
                               std::map<std::string, std::string>& entries) {
  if (!route.server) return value;
  const auto number =
      state.numbers.find(ServerKey(environment, {route.listen, route.host, route.path, route.tls,
                                                 route.server->host, route.server->port}));
  if (number == state.numbers.end() || route.server->per_mille > 1000)
    return Error(Code::kNotFound, "the router has no server " + route.server->host.substr(0, 260) + " for " +
                                      environment.Render());
  entries[ReturnMapKey(number->second)] = value;
  // The server's are the seventh and eighth field.
  for (auto colons = std::count(value.begin(), value.end(), ':'); colons < 5; ++colons) value += ':';
  return value + ":" + ServerBackendName(number->second) + ":" + std::to_string(route.server->per_mille);
}

std::string WithoutServer(const std::string& value) {
  const size_t at = value.find(":" + std::string(kServerBackend));
  if (at == std::string::npos) return value;
  std::string rest = value.substr(0, at);
  // Fields that stand empty only so that the server's are the seventh and eighth.
  while (std::count(rest.begin(), rest.end(), ':') > 2 && rest.ends_with(':')) rest.pop_back();
  return rest;
}

uint32_t ServerOf(const std::string& value) {
  const std::string mark = ":" + std::string(kServerBackend);
  const size_t at = value.find(mark);
  if (at == std::string::npos) return 0;
  uint32_t number = 0;
  std::from_chars(value.data() + at + mark.size(), value.data() + value.size(), number);
  return number;
}

Result<void> CheckServers(const platform::Topology& topology) {
  for (const auto& server : topology.servers) {
    if (!definition::IsOutsideHost(server.host) || server.port == 0)
      return Error(Code::kInvalid, "\"" + server.host.substr(0, 300) + "\" is not a host with a port");
    const bool known =
        server.listen.empty()
            ? std::any_of(topology.hosts.begin(), topology.hosts.end(),
                          [&](const auto& host) {
                            return host.host == server.route_host && host.path == server.path;
                          })
            : std::any_of(topology.listeners.begin(), topology.listeners.end(),
                          [&](const auto& listener) { return listener.listen == server.listen; });
    if (!known)
      return Error(Code::kInvalid, "the server " + server.host + " has a share of a route that is not there");
  }
  return {};
}

void ForgetServers(const RouterState& state, const platform::EnvironmentId& environment,
                   RouterEnvironment& kept) {
  std::set<uint32_t> known;
  for (const auto& server : kept.topology.servers)
    if (const auto number = state.numbers.find(ServerKey(environment, server)); number != state.numbers.end())
      known.insert(number->second);
  for (auto& [key, value] : kept.entries)
    if (const uint32_t number = ServerOf(value); number != 0 && !known.contains(number))
      value = WithoutServer(value);
  std::erase_if(kept.entries, [&](const auto& entry) {
    return entry.first.starts_with("return|") &&
           std::none_of(known.begin(), known.end(),
                        [&](uint32_t number) { return entry.first == ReturnMapKey(number); });
  });
}

std::string ServiceBeside(const platform::Topology& topology, const platform::Topology::Server& server) {
  for (const auto& listener : topology.listeners)
    if (listener.listen == server.listen) return listener.service;
  for (const auto& host : topology.hosts)
    if (server.listen.empty() && host.host == server.route_host && host.path == server.path)
      return host.service;
  return "";
}

bool HasServers(const RouterState& state) {
  return std::any_of(state.environments.begin(), state.environments.end(),
                     [](const auto& entry) { return !entry.second.topology.servers.empty(); });
}

std::string BeforeServerShare(const std::string& token) {
  return "  http-request set-var(txn.o) var(txn.r),field(8,:),add(0)\n"
         "  http-request set-var(txn.o) int(0) if { req.hdr(" +
         std::string(kOutsideHeader) + ") -m str " + token +
         " }\n"
         "  acl shared var(txn.o) -m int gt 0\n"
         "  acl dealt var(txn.w) -m int gt 0\n"
         "  acl dealt var(txn.o) -m int gt 0\n";
}

std::string AfterServerShare() {
  return "  http-request set-var(txn.a) rand(1000) if shared !{ var(txn.a) -m found }\n"
         "  acl away var(txn.a),sub(txn.o) lt 0\n"
         "  http-request set-var(txn.b) var(txn.r),field(7,:) if shared away\n"
         // No part of the split, which is between the fleets, nor of what is counted of it.
         "  http-request set-var(txn.w) int(0) if shared away\n";
}

std::string AfterReturn() {
  return std::string("  http-request del-header ") + kOutsideHeader + "\n";
}

std::string ServerBackends(const RouterState& state, const platform::EnvironmentId& id,
                           const std::string& token) {
  std::string out;
  for (const auto& server : state.environments.at(id).topology.servers) {
    const uint32_t number = state.numbers.at(ServerKey(id, server));
    out += "backend " + ServerBackendName(number) +
           "\n  mode http\n  option http-server-close\n  retry-on conn-failure\n"
           // Added, not set: it may have come through other routers, each of which is to know it again.
           "  http-request add-header " +
           kOutsideHeader + " " + token + "\n  server o " + UnixServer(number) + "\n";
  }
  return out;
}

std::string ServerEgress(const RouterState& state, const platform::EnvironmentId& id) {
  std::string out;
  for (const auto& server : state.environments.at(id).topology.servers) {
    const uint32_t number = state.numbers.at(ServerKey(id, server));
    const std::string name = ServerBackendName(number);
    const bool v6 = server.host.find(':') != std::string::npos;
    // One connection that fails is enough: the request goes back to the service at once and with it those
    // that follow, until the server takes a connection again.
    out += "frontend in." + name + "\n  bind fd@" + std::to_string(number) + "\n  default_backend " + name +
           "\nbackend " + name + "\n  server o " + (v6 ? "ipv6@" : "") + AddressOf(server) +
           " check inter 1s fall 2 rise 1 observe layer4 error-limit 1 on-error mark-down resolvers host "
           "resolve-prefer ipv4 init-addr last,libc,none\n  server back " +
           UnixServer(state.numbers.at(ReturnKey(id, server))) + " backup\n";
  }
  return out;
}

Result<std::vector<platform::OutsideState>> HaproxyRouter::Impl::ServersOf(
    const platform::EnvironmentId& environment) {
  std::map<std::string, platform::OutsideState> found;  // by address: a server of several routes is one
  std::map<std::string, std::string> backends;          // backend → address
  {
    auto inner = inner_.lock();
    const auto kept = inner->state.environments.find(environment);
    if (kept == inner->state.environments.end()) return std::vector<platform::OutsideState>();
    for (const auto& server : kept->second.topology.servers) {
      found[AddressOf(server)] = {server.host, server.port, false, ""};
      backends[ServerBackendName(inner->state.numbers.at(ServerKey(environment, server)))] =
          AddressOf(server);
    }
  }
  if (found.empty()) return std::vector<platform::OutsideState>();
  const std::string answer = TRY(egress_->Ask("show stat -1 4 -1", kServersTimeout));
  std::set<std::string> seen;
  const auto health = TRY(ParseServerHealth(answer));
  for (const auto& [backend, address] : backends) {
    const auto one = health.find(backend + "/o");
    if (one == health.end()) continue;
    seen.insert(backend);
    platform::OutsideState& state = found[address];
    state.up = one->second.up;
    state.why = one->second.up ? "" : one->second.why;
  }
  if (seen.size() != backends.size())
    return Error(Code::kUnavailable,
                 "the carrier of what goes out of this host has yet to take the servers' "
                 "addresses");
  std::vector<platform::OutsideState> out;
  for (auto& [address, state] : found) out.push_back(std::move(state));
  return out;
}

Result<std::vector<platform::OutsideState>> HaproxyRouter::ServersOf(
    const platform::EnvironmentId& environment) {
  return impl_->ServersOf(environment);
}

}  // namespace ingot::adapters
