#include "adapters/haproxy_config.h"

#include <algorithm>

#include "adapters/haproxy_outside.h"
#include "adapters/listeners.h"
#include "adapters/mirror_rules.h"
#include "base/sha256.h"

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
         // What browsers since 2014 speak; each of these has forward secrecy.
         "  ssl-default-bind-options ssl-min-ver TLSv1.2\n"
         "  ssl-default-bind-ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
         "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:"
         "ECDHE-RSA-CHACHA20-POLY1305\n"
         "defaults\n"
         "  mode tcp\n"
         "  retries 3\n"
         "  option redispatch 1\n"
         "  timeout connect 2s\n"
         "  timeout client " +
         Ms(limits.edge.idle) + "\n  timeout server " + Ms(limits.edge.response) + "\n  timeout tunnel " +
         Ms(limits.edge.tunnel) +
         "\n"
         "  timeout client-fin 10s\n"
         "  timeout server-fin 10s\n"
         "  timeout queue 5s\n"
         "  timeout check 2s\n";
}

// One lookup per request into txn.r: two lookups of one request may see two versions of the map. `deal` sets
// txn.n, 0 to 999, for requests that are split: those below the weight go to the other backend. `servers`:
// values may give a server elsewhere a share, which goes first. `preview` has the last word.
// `last`: no rule follows that looks at requests which are not split, and those end here.
std::string ChooseBackend(const std::string& rule, const std::string& nothing, const std::string& deal,
                          const std::string& preview, bool servers, bool last, const HaproxyLimits& limits) {
  return nothing + "  acl split var(txn.w) -m int gt 0\n" +                //
         "  " + rule + " set-var(txn.b) var(txn.r),field(1,:)\n" +         //
         "  " + rule + " set-var(txn.w) var(txn.r),field(3,:),add(0)\n" +  //
         (last && !servers && preview.empty() ? "  " + rule + " allow if !split\n" : "") +
         (servers ? BeforeServerShare(limits.outside_token) : "") +      //
         "  " + rule + " set-var(txn.n) rand(1000) if split\n" + deal +  //
         (servers ? AfterServerShare() : "") +                           //
         "  " + rule + " set-var(txn.b) var(txn.r),field(2,:) if split { var(txn.n),sub(txn.w) lt 0 }\n" +
         preview + "  use_backend %[var(txn.b)]\n";
}

// A user's number follows from what tells him apart and the rollout: as weights rise he moves at most once,
// and another rollout has other users first. For the share of a server elsewhere (`servers`) he has another
// number, the same in all rollouts: as that share falls he moves at most once, too. `returned`: of what a
// server elsewhere did not take, which may bring the cookie and gets none here.
std::string Deal(const platform::Topology::Sticky& sticky, bool outside, bool servers, bool returned,
                 const std::string& of = "", const std::string& suffix = "") {
  const std::string when = (servers ? "dealt" : "split") + of;
  const std::string number = ",concat(|,txn.k),crc32(1),mod(1000)";
  const auto away = [&](const std::string& value, const std::string& condition) {
    return servers ? "  http-request set-var(txn.a) " + value +
                         ",concat(|outside),crc32(1),mod(1000) if shared" + of + condition + "\n"
                   : "";
  };
  const std::string rollout = "  http-request set-var(txn.k) var(txn.r),field(4,:) if " + when + "\n";
  if (!sticky.header.empty()) {
    const std::string value = "req.fhdr(" + sticky.header + ")";
    return rollout + "  http-request set-var(txn.n) " + value + number + " if " + when + " { " + value +
           " -m found }\n" + away(value, " { " + value + " -m found }");
  }
  if (sticky.cookie.empty()) return "";
  if (returned) {
    const std::string value = "req.cook(" + sticky.cookie + ")";
    return rollout + "  http-request set-var(txn.n) " + value + number + " if " + when + " { " + value +
           " -m found }\n";
  }
  if (!outside) return "";
  const std::string fresh = "txn.new" + suffix;
  return rollout + "  http-request set-var(txn.c) req.cook(" + sticky.cookie + ") if " + when +
         "\n"
         "  acl known" +
         suffix + " var(txn.c) -m found\n  http-request set-var(" + fresh + ") uuid() if " + when +
         " !known" + suffix + "\n  http-request set-var(txn.c) var(" + fresh + ") if { var(" + fresh +
         ") -m found }\n"
         "  http-request set-var(txn.n) var(txn.c)" +
         number + " if " + when + "\n" + away("var(txn.c)", "") +
         "  http-after-response add-header Set-Cookie \"" + sticky.cookie + "=%[var(" + fresh +
         ")]; Path=/; HttpOnly; SameSite=Lax\" if { var(" + fresh + ") -m found }\n";
}

// To the other backend wherever there is one, whatever its weight.
std::string ToPreview(const platform::Topology::Preview& preview, const std::string& when = "") {
  if (preview.value.empty()) return "";
  const std::string token =
      preview.header.empty() ? "req.cook(" + preview.cookie + ")" : "req.fhdr(" + preview.header + ")";
  return "  http-request set-var(txn.b) var(txn.r),field(2,:) if " + when +
         "{ var(txn.r),field(2,:),length -m int gt 0 } { " + token + " -m str -- " + preview.value + " }\n";
}

// On the host's own listeners the service is known by the backend that was found.
struct SharedRules {
  std::string deals;
  std::string previews;
  std::string copies;
};
SharedRules SharedRulesOf(const RouterState& state) {
  SharedRules out;
  const bool servers = HasServers(state);
  size_t number = 0;
  for (const auto& [id, environment] : state.environments)
    for (const auto& service : environment.topology.services) {
      const std::string suffix = std::to_string(++number);
      const std::string deal = Deal(service.sticky, true, servers, false, " of" + suffix, suffix);
      const std::string preview = ToPreview(service.preview, "of" + suffix + " ");
      const std::string copies = MirrorChoice(service.shadow, "of" + suffix + " ");
      const auto& hosts = environment.topology.hosts;
      if ((deal.empty() && preview.empty() && copies.empty()) ||
          std::none_of(hosts.begin(), hosts.end(),
                       [&](const auto& host) { return host.service == service.name; }))
        continue;
      // With servers elsewhere what txn.b has become does not tell the service.
      out.deals += "  acl of" + suffix + (servers ? " var(txn.r),field(1,:)" : " var(txn.b)") + " -m beg " +
                   id.project() + "." + id.environment() + "." + service.name + ".\n" + deal;
      out.previews += preview;
      out.copies += copies;
    }
  if (!out.copies.empty()) out.copies += MirrorRules(true);
  return out;
}

// Latencies are counted of split requests only: others pay nothing.
std::string CountLatency(bool last) {
  const std::string timed = " if { var(txn.t) -m found }\n";
  return "  http-request set-var(txn.t) date(0,us) if split\n" +
         std::string(last ? "  http-response allow if !{ var(txn.t) -m found }\n" : "") +
         "  http-response set-var(txn.d) date(0,us),sub(txn.t),div(1000)" + timed +
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
  bool tls = false;
  platform::Topology::Sticky sticky{};
  platform::Topology::Preview preview{};
  platform::Topology::Shadow shadow{};
  bool servers = false;   // routes may give a server elsewhere a share
  bool returned = false;  // what such a server did not take comes by it
};

// Of every HTTP frontend.
std::string HttpOptions(const HaproxyLimits& limits) {
  return "  maxconn " + std::to_string(limits.max_connections) +
         "\n  option http-server-close\n  option idle-close-on-response\n  timeout http-request " +
         Ms(limits.edge.request_headers) + "\n  timeout http-keep-alive " + Ms(limits.keep_alive_timeout) +
         "\n";
}

std::string Frontend(const Front& front, const HaproxyLimits& limits) {
  const bool http = front.protocol == Protocol::kHttp;
  std::string out =
      "frontend " + front.name + "\n  bind fd@" + std::to_string(front.number) +
      (front.tls ? TlsBind(limits.edge, http) : "") + "\n  mode " + (http ? "http\n" : "tcp\n") +
      (http ? HttpOptions(limits) : "  maxconn " + std::to_string(limits.max_connections) + "\n");
  if (front.outside) out += OutsideRules(limits.edge, http, front.tls);
  const std::string lookup = " set-var(txn.r) " + front.key + ",map_str(" + kMapPath + ")\n";
  if (!http)
    return out + "  tcp-request content" + lookup +
           ChooseBackend("tcp-request content", "  tcp-request content reject if !{ var(txn.r) -m found }\n",
                         "", "", false, false, limits);
  if (!limits.edge.maintenance.empty())
    out += MaintenanceError(limits.edge, "no instance of " + front.about + " answers now", !front.outside);
  const std::string nothing =
      MaintenanceReturn(
          front.outside ? limits.edge : HaproxyEdge{},
          "nothing serves " + front.about +
              (front.outside ? " now" : " to this address; does the service declare that it uses it?")) +
      " if !{ var(txn.r) -m found }\n";
  if (front.returned) out += AfterReturn();
  const std::string copies =
      front.shadow.methods.empty() ? "" : MirrorChoice(front.shadow, "") + MirrorRules(front.outside);
  return out + "  http-request" + lookup +
         ChooseBackend("http-request", nothing,
                       Deal(front.sticky, front.outside, front.servers, front.returned),
                       ToPreview(front.preview), front.servers, copies.empty(), limits) +
         CountLatency(copies.empty()) + copies;
}

std::string ServiceBackends(const EnvironmentId& id, const platform::Topology::Service& service,
                            const RouterService& slots, Servers servers, const HaproxyEdge& edge) {
  std::string out;
  for (const auto& port : service.ports)
    for (size_t set = 0; set < kSetsPerService; ++set) {
      const bool http = port.protocol == Protocol::kHttp;
      out += "backend " + BackendName(id, service.name, port.number, set) + "\n";
      out +=
          http ? "  mode http\n  balance roundrobin\n  option http-server-close\n"
                 "  retry-on conn-failure\n" +
                     // With a page of the host's, the frontends say it: it is not for instances.
                     (edge.maintenance.empty()
                          ? MaintenanceError(
                                {}, "no instance of " + service.name + " of " + id.Render() + " answers now",
                                true)
                          : "")
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
  // A page whose text has changed is read by a new process.
  if (!limits.edge.maintenance.empty()) out += "# maintenance " + Sha256Hex(limits.edge.maintenance) + "\n";
  const SharedRules shared = SharedRulesOf(state);
  out += SharedFrontends(state, limits.edge, HttpOptions(limits),
                         ChooseBackend("http-request", "", shared.deals, shared.previews, HasServers(state),
                                       shared.copies.empty(), limits) +
                             CountLatency(shared.copies.empty()) + shared.copies);
  for (const auto& [id, environment] : state.environments) {
    const std::string dotted = id.project() + "." + id.environment();
    const auto service_of = [&, &topology = environment.topology](const std::string& name) {
      for (const auto& service : topology.services)
        if (service.name == name) return service;
      return platform::Topology::Service{};
    };
    for (const auto& listener : environment.topology.listeners) {
      const std::string key = OutsideKey(listener.listen);
      const uint32_t number = state.numbers.at(key);
      const platform::Topology::Service service = service_of(listener.service);
      out += Frontend({"out." + std::to_string(number), number, listener.protocol, true, "str(" + key + ")",
                       listener.service + " of " + id.Render(), listener.tls, service.sticky, service.preview,
                       service.shadow, !environment.topology.servers.empty()},
                      limits);
    }
    for (const auto& server : environment.topology.servers) {
      // What the server does not take: no more than the look-up and the split, the rest was done on its way
      // out.
      const std::string number = std::to_string(state.numbers.at(ServerKey(id, server)));
      const platform::Topology::Service service = service_of(ServiceBeside(environment.topology, server));
      out += Frontend({"return." + number, state.numbers.at(ReturnKey(id, server)), Protocol::kHttp, false,
                       "str(" + ReturnMapKey(state.numbers.at(ServerKey(id, server))) + ")",
                       service.name + " of " + id.Render(), false, service.sticky, service.preview,
                       platform::Topology::Shadow{}, false, true},
                      limits);
    }
    out += ServerBackends(state, id, limits.outside_token);
    auto inside = [&, &id = id](const std::string& name, uint16_t port, Protocol protocol) {
      const std::string key = InsideKey(id, name, port);
      const platform::Topology::Service service = service_of(name);
      return Frontend({"in." + dotted + "." + name + "." + std::to_string(port), state.numbers.at(key),
                       protocol, false, "src,concat(|" + key + ")", name + " of " + id.Render(), false,
                       service.sticky, service.preview, service.shadow},
                      limits);
    };
    for (const auto& service : environment.topology.services) {
      for (const auto& port : service.ports) out += inside(service.name, port.number, port.protocol);
      out += ServiceBackends(id, service, environment.services.at(service.name), servers, limits.edge);
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
  for (const auto& [id, environment] : state.environments) {
    any = any || !environment.topology.servers.empty();
    out += ServerEgress(state, id);
  }
  return any ? out : "";
}

namespace {

// While a release changes a listener's address to one that overlaps with it, both are open, and the kernel
// gives the narrower one the connections to its address. As long as that has no routes of its own (it is not
// released yet, or no longer) they go where those of the wider one go, as if it were not there.
std::string RenderOverlaps(const RouterEnvironment& environment) {
  std::string out;
  const auto value_of = [&](const std::string& listen) -> const std::string* {
    const std::string key = OutsideKey(listen);
    for (const auto& entry : environment.entries)
      if (entry.first == key) return &entry.second;
    return nullptr;
  };
  for (const auto& narrow : environment.topology.listeners) {
    const auto address = ListenAddress::Parse(narrow.listen);
    if (!address || address->IsWildcard() || value_of(narrow.listen) != nullptr) continue;
    for (const auto& wide : environment.topology.listeners) {
      const auto other = ListenAddress::Parse(wide.listen);
      if (!other || wide.listen == narrow.listen || !other->Overlaps(*address)) continue;
      if (const std::string* value = value_of(wide.listen))
        out += OutsideKey(narrow.listen) + " " + *value + "\n";
    }
  }
  return out;
}

}  // namespace

std::string RenderMap(const RouterState& state) {
  std::string out;
  for (const auto& [id, environment] : state.environments) {
    for (const auto& [key, value] : environment.entries) out += key + " " + value + "\n";
    out += RenderOverlaps(environment);
  }
  for (const auto& [token, answer] : state.challenges) out += ChallengeKey(token) + " " + answer + "\n";
  // Declared, and not led anywhere yet: a client is to come again, and not to be told that it has erred.
  for (const auto& [id, environment] : state.environments)
    for (const auto& host : environment.topology.hosts)
      for (const bool tls : {false, true}) {
        const std::string key = HostKey(tls, host.host, host.path);
        const bool led = std::any_of(environment.entries.begin(), environment.entries.end(),
                                     [&](const auto& entry) { return entry.first == key; });
        if (!led && (host.tls || !tls)) out += key + " " + (host.tls && !tls ? kRedirect : kNone) + "\n";
      }
  return out;
}

}  // namespace ingot::adapters
