// RouterState as HAProxy's configuration and map: pure, and the only place with their syntax. Nothing in it
// is quoted or escaped: every name was checked when it entered the state (haproxy_state.cc).
#pragma once

#include <string>

#include "adapters/haproxy_edge.h"
#include "adapters/haproxy_state.h"

namespace ingot::adapters {

struct HaproxyLimits {
  uint32_t threads = 1;
  uint32_t max_connections = 4000;
  Milliseconds hard_stop_after{20000};
  Milliseconds keep_alive_timeout{5000};
  // By what a router knows a request again that it has sent to a server elsewhere: letters and digits.
  std::string outside_token = "1";
  HaproxyEdge edge;
};

// Descriptors that every HAProxy of ours inherits under the same numbers. Paths go through /proc/self/fd, so
// the root directory may be unreadable to HAProxy's user, and no path is ever part of a configuration.
constexpr int kConfigNumber = 10;
constexpr int kMapNumber = 11;
constexpr int kStatsNumber = 12;
constexpr int kDirectoryNumber = 13;
constexpr const char* kMapPath = "/proc/self/fd/11";

// What a reload is needed for (kStructure: every slot as free), or what a process starts with (kNow).
enum class Servers { kStructure, kNow };

// The router's configuration; "" when no socket is wanted.
std::string RenderRouterConfig(const RouterState& state, const HaproxyLimits& limits, Servers servers);
// The second process's; "" when there is no endpoint.
std::string RenderEgressConfig(const RouterState& state, const HaproxyLimits& limits);
// The route map, all environments: "key value" lines.
std::string RenderMap(const RouterState& state);
// The table in which latencies of split requests are counted: "<backend>|<SplitTag>|<ms>".
constexpr const char* kLatencyTable = "latency";
// "e20": the Unix socket of an endpoint, by its descriptor number.
std::string EgressSocketName(uint32_t number);

}  // namespace ingot::adapters
