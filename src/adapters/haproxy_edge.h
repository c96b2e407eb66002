// The outer side of the router: listeners that belong to the host, TLS, whom to believe about a client's
// address, limits, and what a client is told when nothing serves. Set by host.yaml, not by a topology.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "adapters/haproxy_state.h"
#include "base/clock.h"

namespace ingot::adapters {

struct HaproxyEdge {
  std::vector<std::string> http;   // ":80": where routes by host name are served
  std::vector<std::string> https;  // the same with TLS
  // PEM, the certificate, its chain and its key in one; the first is for clients that name no host.
  std::vector<std::string> certificates;
  // /.well-known/acme-challenge/ of the listeners `http` is answered for an authority (RFC 8555, 8.3) before
  // any route: by HaproxyRouter::SetChallenges.
  bool challenges = false;
  std::vector<std::string> proxy_protocol_from;  // addresses and networks
  std::vector<std::string> trusted_proxies;
  std::string maintenance;          // the body of a 503, at most kMaxMaintenanceBytes; empty: a line of text
  std::string maintenance_type;     // "text/html"
  uint64_t request_body_bytes = 0;  // 0: no limit
  Milliseconds request_headers{10000};
  Milliseconds response{300000};
  Milliseconds idle{300000};
  Milliseconds tunnel{3600000};
};

// HAProxy holds such a body in one buffer.
constexpr size_t kMaxMaintenanceBytes = 12000;

// "c0.pem": the file of a certificate in the router's directory, by its place in HaproxyEdge.
std::string CertificateName(size_t index);
// The path under which HAProxy knows it, in the configuration and at run time.
std::string CertificatePath(size_t index);

// "acme|TOKEN": the map's key of a challenge.
std::string ChallengeKey(const std::string& token);

// Does anything speak TLS? Only then does HAProxy hold the certificates.
bool UsesTls(const RouterState& state);

// What follows "bind fd@N" of a listener that speaks TLS.
std::string TlsBind(const HaproxyEdge& edge, bool http);
// Rules of every outside frontend, before any other: whose word counts, what is refused.
std::string OutsideRules(const HaproxyEdge& edge, bool http, bool tls);
// The answer of a frontend when no instance of it, or of its backend, serves: an http-error line. `inside`:
// for instances, which get a line of text whatever the host's page is.
std::string MaintenanceError(const HaproxyEdge& edge, const std::string& line, bool inside);
// "http-request return" up to its condition, with the same body.
std::string MaintenanceReturn(const HaproxyEdge& edge, const std::string& line);
// The frontends of the host's own listeners. `choose`: the rules that lead from txn.r to a backend.
std::string SharedFrontends(const RouterState& state, const HaproxyEdge& edge, const std::string& common,
                            const std::string& choose);

}  // namespace ingot::adapters
