#include "adapters/haproxy_edge.h"

#include <algorithm>

#include "adapters/haproxy_config.h"
#include "adapters/listeners.h"
#include "base/sha256.h"

namespace ingot::adapters {

namespace {

const std::string kHere = "/proc/self/fd/" + std::to_string(kDirectoryNumber) + "/";

std::string Joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += " " + word;
  return out;
}

// Kept from who is not believed: an application takes them for the client's address.
std::string ForwardedRules(const HaproxyEdge& edge, bool tls) {
  const std::string stranger =
      edge.trusted_proxies.empty() ? "" : " if !{ src" + Joined(edge.trusted_proxies) + " }";
  std::string out = "  option forwardfor\n";
  for (const char* header : {"X-Forwarded-For", "Forwarded"})
    out += "  http-request del-header " + std::string(header) + stranger + "\n";
  return out + "  http-request set-header X-Forwarded-Proto " + (tls ? "https" : "http") + stranger +
         (stranger.empty() ? "" : " or !{ req.hdr(X-Forwarded-Proto) -m found }") + "\n";
}

std::string BodyRules(const HaproxyEdge& edge) {
  if (edge.request_body_bytes == 0) return "";
  const std::string limit = std::to_string(edge.request_body_bytes);
  const std::string undeclared =
      "  http-request return status 411 content-type text/plain string \"the length of the body has to be "
      "declared\\n\" if ";
  return "  http-request return status 413 content-type text/plain string \"the body is larger than the " +
         limit + " bytes that may be sent here\\n\" if { req.body_size gt " + limit + " }\n" + undeclared +
         "{ req.hdr(transfer-encoding) -m found }\n" + undeclared +
         "{ fc_http_major eq 2 } { method POST PUT PATCH } !{ req.hdr(content-length) -m found }\n";
}

std::string Body(const HaproxyEdge& edge, const std::string& line) {
  if (edge.maintenance.empty()) return "content-type text/plain hdr Retry-After 1 string \"" + line + "\\n\"";
  return "content-type \"" + edge.maintenance_type + "\" hdr Retry-After 1 file " + kHere + "maintenance";
}

// Where a client of HTTP is sent: the first listener with TLS.
std::string HttpsPort(const HaproxyEdge& edge) {
  if (edge.https.empty()) return "";
  const auto address = ListenAddress::Parse(edge.https.front());
  return !address || address->port == 443 ? "" : ":" + std::to_string(address->port);
}

// One value from the map decides. What is asked for is looked up a second time: a change of the routes may
// come between the name and its wildcard, and one of them is in either version.
std::string HostLookup(bool tls) {
  const std::string scheme = tls ? "https|" : "http|";
  const std::string map = std::string("map_beg(") + kMapPath + ")";
  const std::string missing = " if !{ var(txn.r) -m found }\n";
  const std::string exact =
      "  http-request set-var(txn.r) str(" + scheme + "),concat(,txn.h,),concat(,txn.p,/)," + map;
  return "  http-request set-var(txn.h) req.hdr(host),host_only,lower\n"
         "  http-request set-var(txn.p) path\n" +
         exact + "\n  http-request set-var(txn.hd) var(txn.h),field(2,.,0)" + missing +
         "  http-request set-var(txn.r) str(" + scheme + "*.),concat(,txn.hd,),concat(,txn.p,/)," + map +
         missing + exact + missing;
}

// Before the redirect to HTTPS and every route. A token that is not known is
// no matter of ours: the path may be a service's.
std::string ChallengeRules() {
  return "  acl challenge path_beg /.well-known/acme-challenge/\n"
         "  http-request set-var(txn.ac) path,field(4,/) if challenge\n"
         "  http-request set-var(txn.aa) str(acme|),concat(,txn.ac),map_str(" +
         std::string(kMapPath) +
         ") if challenge\n"
         "  http-request return status 200 content-type text/plain lf-string \"%[var(txn.aa)]\" if challenge "
         "{ var(txn.aa) -m found }\n";
}

}  // namespace

std::string CertificateName(size_t index) {
  return "c" + std::to_string(index) + ".pem";
}

std::string CertificatePath(size_t index) {
  return kHere + CertificateName(index);
}

std::string ChallengeKey(const std::string& token) {
  return "acme|" + token;
}

bool UsesTls(const RouterState& state) {
  return std::any_of(state.environments.begin(), state.environments.end(), [&](const auto& entry) {
    const platform::Topology& topology = entry.second.topology;
    return std::any_of(topology.listeners.begin(), topology.listeners.end(),
                       [](const auto& listener) { return listener.tls; }) ||
           (!state.https.empty() && std::any_of(topology.hosts.begin(), topology.hosts.end(),
                                                [](const auto& host) { return host.tls; }));
  });
}

std::string TlsBind(const HaproxyEdge& edge, bool http) {
  std::string out = " ssl";
  for (size_t i = 0; i < edge.certificates.size(); ++i) out += " crt " + CertificatePath(i);
  // Without any, a handshake fails, and the listener is there all the same.
  if (edge.certificates.empty()) out += " strict-sni";
  return out + (http ? " alpn h2,http/1.1" : "");
}

std::string OutsideRules(const HaproxyEdge& edge, bool http, bool tls) {
  std::string out;
  if (!edge.proxy_protocol_from.empty())
    out +=
        "  tcp-request connection expect-proxy layer4 if { src" + Joined(edge.proxy_protocol_from) + " }\n";
  return http ? out + ForwardedRules(edge, tls) + BodyRules(edge) : out;
}

std::string MaintenanceError(const HaproxyEdge& edge, const std::string& line, bool inside) {
  return "  http-error status 503 " + Body(inside ? HaproxyEdge{} : edge, line) + "\n";
}

std::string MaintenanceReturn(const HaproxyEdge& edge, const std::string& line) {
  return "  http-request return status 503 " + Body(edge, line);
}

std::string SharedFrontends(const RouterState& state, const HaproxyEdge& edge, const std::string& common,
                            const std::string& choose) {
  std::string out;
  const auto frontend = [&](const std::string& listen, bool tls) {
    const auto number = state.numbers.find(OutsideKey(listen));
    if (number == state.numbers.end()) return;
    const std::string text = std::to_string(number->second);
    out += "frontend " + std::string(tls ? "https." : "http.") + text + "\n  bind fd@" + text +
           (tls ? TlsBind(edge, true) : "") + "\n  mode http\n" + common + OutsideRules(edge, true, tls) +
           (edge.challenges && !tls ? ChallengeRules() : "") +
           MaintenanceError(edge, "no instance answers now", false) + HostLookup(tls) +
           "  http-request return status 404 content-type text/plain lf-string \"no route leads from "
           "%[var(txn.h)]%[var(txn.p)]\\n\" if !{ var(txn.r) -m found }\n" +
           MaintenanceReturn(edge, "nothing serves this now") + " if { var(txn.r) -m str none }\n";
    if (!tls)
      out += "  http-request redirect location https://%[var(txn.h)]" + HttpsPort(edge) +
             "%[pathq] code 308 if { var(txn.r) -m str redirect }\n";
    out += choose;
  };
  for (const std::string& listen : edge.http) frontend(listen, false);
  for (const std::string& listen : edge.https) frontend(listen, true);
  return out;
}

}  // namespace ingot::adapters
