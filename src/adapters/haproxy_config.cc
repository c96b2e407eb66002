#include "adapters/haproxy_config.h"

namespace ingot::adapters {

namespace {

using platform::EnvironmentId;
using platform::Protocol;

std::string Ms(Milliseconds duration) {
  return std::to_string(duration.count()) + "ms";
}

std::string Global(const HaproxyLimits& limits) {
  return "global\n"
         "  nbthread " +
         std::to_string(limits.threads) +
         "\n"
         "  maxconn " +
         std::to_string(limits.max_connections) +
         "\n"
         "  no strict-limits\n"
         // Of HAProxy's own HTTP client, which nothing here uses: else each start reads every root
         // certificate of the system, 50 of its 55 ms of CPU.
         "  httpclient.ssl.verify none\n"
         "  stats socket fd@" +
         std::to_string(kStatsNumber) +
         " level admin\n"
         "  stats timeout 30s\n"
         "  hard-stop-after " +
         Ms(limits.hard_stop_after) +
         "\n"
         "defaults\n"
         "  mode tcp\n"
         "  retries 3\n"
         "  option redispatch 1\n"
         "  timeout connect 2s\n"
         "  timeout client 5m\n"
         "  timeout server 5m\n"
         "  timeout tunnel 1h\n"
         "  timeout client-fin 10s\n"
         "  timeout server-fin 10s\n"
         "  timeout queue 5s\n"
         "  timeout check 2s\n";
}

// One lookup per request into txn.r: two lookups of one request may see two versions of the map. `deal` sets
// txn.n, 0 to 999, for requests that are split: those below the weight go to the other backend.
std::string ChooseBackend(const std::string& rule, const std::string& nothing, const std::string& deal) {
  return nothing + "  acl split var(txn.w) -m int gt 0\n" +                //
         "  " + rule + " set-var(txn.b) var(txn.r),field(1,:)\n" +         //
         "  " + rule + " set-var(txn.w) var(txn.r),field(3,:),add(0)\n" +  //
         "  " + rule + " set-var(txn.n) rand(1000) if split\n" + deal +    //
         "  " + rule + " set-var(txn.b) var(txn.r),field(2,:) if split { var(txn.n),sub(txn.w) lt 0 }\n" +
         "  use_backend %[var(txn.b)]\n";
}

// A user's number follows from what tells him apart and the rollout: as weights rise he moves at most once,
// and another rollout has other users first.
std::string Deal(const platform::Topology::Sticky& sticky, bool outside) {
  const std::string number = ",concat(|,txn.k),crc32(1),mod(1000)";
  const std::string rollout = "  http-request set-var(txn.k) var(txn.r),field(4,:) if split\n";
  if (!sticky.header.empty()) {
    const std::string value = "req.fhdr(" + sticky.header + ")";
    return rollout + "  http-request set-var(txn.n) " + value + number + " if split { " + value +
           " -m found }\n";
  }
  if (sticky.cookie.empty() || !outside) return "";
  return rollout + "  http-request set-var(txn.c) req.cook(" + sticky.cookie +
         ") if split\n"
         "  acl known var(txn.c) -m found\n"
         "  http-request set-var(txn.new) uuid() if split !known\n"
         "  http-request set-var(txn.c) var(txn.new) if { var(txn.new) -m found }\n"
         "  http-request set-var(txn.n) var(txn.c)" +
         number +
         " if split\n"
         "  http-after-response add-header Set-Cookie \"" +
         sticky.cookie + "=%[var(txn.new)]; Path=/; HttpOnly; SameSite=Lax\" if { var(txn.new) -m found }\n";
}

// Latencies are counted of split requests only: others pay nothing.
std::string CountLatency() {
  const std::string timed = " if { var(txn.t) -m found }\n";
  return "  http-request set-var(txn.t) date_us() if split\n"
         "  http-response set-var(txn.d) date_us(),sub(txn.t),div(1000)" +
         timed +
         "  http-response set-var(txn.d) var(txn.d),div(10),mul(10) if { var(txn.d) -m int ge 100 }\n"
         "  http-response set-var(txn.d) var(txn.d),div(100),mul(100) if { var(txn.d) -m int "
         "ge "
         "1000 }\n"
         "  http-response set-var(txn.q) var(txn.r),field(4,:,2)" +
         timed + "  http-response set-var(txn.q) var(txn.b),concat(|,txn.q),concat(|,txn.d)" + timed +
         "  http-response track-sc0 var(txn.q) table " + kLatencyTable + timed +
         "  http-response sc-inc-gpc0(0)" + timed;
}

std::string LatencyTable() {
  return std::string("backend ") + kLatencyTable +
         "\n  stick-table type string len 240 size 20k expire 20d store gpc0\n";
}

struct Front {
  std::string name;
  uint32_t number = 0;
  Protocol protocol = Protocol::kHttp;
  bool outside = false;
  std::string key;    // an expression that yields the map's key
  std::string about;  // "api of shop/local"
  platform::Topology::Sticky sticky{};
};

std::string Frontend(const Front& front, const HaproxyLimits& limits) {
  std::string out = "frontend " + front.name + "\n  bind fd@" + std::to_string(front.number) + "\n  mode " +
                    (front.protocol == Protocol::kHttp ? "http" : "tcp") + "\n  maxconn " +
                    std::to_string(limits.max_connections) + "\n";
  const std::string lookup = " set-var(txn.r) " + front.key + ",map_str(" + kMapPath + ")\n";
  if (front.protocol == Protocol::kTcp)
    return out + "  tcp-request content" + lookup +
           ChooseBackend("tcp-request content", "  tcp-request content reject if !{ var(txn.r) -m found }\n",
                         "");
  out +=
      "  option http-server-close\n  option idle-close-on-response\n  timeout http-request 10s\n"
      "  timeout http-keep-alive " +
      Ms(limits.keep_alive_timeout) + "\n";
  if (front.outside) out += "  option forwardfor\n";
  const std::string nothing =
      "  http-request return status 503 content-type text/plain hdr Retry-After 1 string \"nothing serves " +
      front.about +
      (front.outside ? " now\\n\"" : " to this address; does the service declare that it uses it?\\n\"") +
      " if !{ var(txn.r) -m found }\n";
  return out + "  http-request" + lookup +
         ChooseBackend("http-request", nothing, Deal(front.sticky, front.outside)) + CountLatency();
}

std::string ServiceBackends(const EnvironmentId& id, const platform::Topology::Service& service,
                            const RouterService& slots, Servers servers) {
  std::string out;
  for (const auto& port : service.ports)
    for (size_t set = 0; set < kSetsPerService; ++set) {
      const bool http = port.protocol == Protocol::kHttp;
      out += "backend " + BackendName(id, service.name, port.number, set) + "\n";
      out += http ? "  mode http\n  balance roundrobin\n  option http-server-close\n"
                    "  retry-on conn-failure\n"
                    "  http-error status 503 content-type text/plain string \"no instance of " +
                        service.name + " of " + id.Render() + " answers now\\n\"\n"
                  : "  mode tcp\n  balance leastconn\n";
      out += "  default-server check inter 1s fall 3 rise 1\n";
      const std::string number = std::to_string(port.number);
      const auto& all = slots.sets[set].slots;
      for (size_t i = 0; i < all.size(); ++i) {
        out += "  server s" + std::to_string(i + 1);
        if (servers == Servers::kNow && all[i].instance && !all[i].draining)
          out += " " + all[i].address + ":" + number + "\n";
        else
          out += " 127.0.0.1:1 disabled\n";
      }
    }
  return out;
}

}  // namespace

std::string EgressSocketName(uint32_t number) {
  return "e" + std::to_string(number);
}

std::string RenderRouterConfig(const RouterState& state, const HaproxyLimits& limits, Servers servers) {
  if (state.numbers.empty()) return "";
  std::string out = Global(limits) + LatencyTable();
  for (const auto& [id, environment] : state.environments) {
    const std::string dotted = id.project() + "." + id.environment();
    const auto sticky_of = [&, &topology = environment.topology](const std::string& name) {
      for (const auto& service : topology.services)
        if (service.name == name) return service.sticky;
      return platform::Topology::Sticky{};
    };
    for (const auto& listener : environment.topology.listeners) {
      const std::string key = OutsideKey(listener.listen);
      const uint32_t number = state.numbers.at(key);
      out += Frontend({"out." + std::to_string(number), number, listener.protocol, true, "str(" + key + ")",
                       listener.service + " of " + id.Render(), sticky_of(listener.service)},
                      limits);
    }
    auto inside = [&, &id = id](const std::string& name, uint16_t port, Protocol protocol) {
      const std::string key = InsideKey(id, name, port);
      return Frontend(
          {"in." + dotted + "." + name + "." + std::to_string(port), state.numbers.at(key), protocol, false,
           "src,concat(|" + key + ")", name + " of " + id.Render(), sticky_of(name)},
          limits);
    };
    for (const auto& service : environment.topology.services) {
      for (const auto& port : service.ports) out += inside(service.name, port.number, port.protocol);
      out += ServiceBackends(id, service, environment.services.at(service.name), servers);
    }
    for (const auto& endpoint : environment.topology.endpoints) {
      out += inside(endpoint.name, endpoint.port, Protocol::kTcp);
      out += "backend " + EgressBackendName(id, endpoint.name) +
             "\n  mode tcp\n  server e unix@/proc/self/fd/" + std::to_string(kDirectoryNumber) + "/" +
             EgressSocketName(state.numbers.at(EgressKey(id, endpoint.name))) + "\n";
    }
  }
  return out;
}

std::string RenderEgressConfig(const RouterState& state, const HaproxyLimits& limits) {
  std::string out = Global(limits);
  // An address once known stays when the name server is gone or says no; a new answer replaces it.
  out +=
      "resolvers host\n"
      "  parse-resolv-conf\n"
      "  accepted_payload_size 4096\n"
      "  resolve_retries 2\n"
      "  timeout resolve 2s\n"
      "  timeout retry 1s\n"
      "  hold valid 10s\n"
      "  hold nx 20d\n"
      "  hold other 20d\n"
      "  hold refused 20d\n"
      "  hold timeout 20d\n"
      "  hold obsolete 30s\n";
  bool any = false;
  for (const auto& [id, environment] : state.environments)
    for (const auto& endpoint : environment.topology.endpoints) {
      any = true;
      const std::string name = EgressBackendName(id, endpoint.name);
      out += "frontend in." + name + "\n  bind fd@" +
             std::to_string(state.numbers.at(EgressKey(id, endpoint.name))) + "\n  default_backend " + name +
             "\nbackend " + name + "\n  server e " + endpoint.host + ":" + std::to_string(endpoint.port) +
             " resolvers host resolve-prefer ipv4 init-addr last,libc,none\n";
    }
  return any ? out : "";
}

std::string RenderMap(const RouterState& state) {
  std::string out;
  for (const auto& [id, environment] : state.environments)
    for (const auto& [key, value] : environment.entries) out += key + " " + value + "\n";
  return out;
}

}  // namespace ingot::adapters
