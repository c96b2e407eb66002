// Servers elsewhere that get a share of a route's requests, on their way out through the egress process, and
// the way back of what they do not take:
//
//   client → router, backend outside.<N> → Unix socket → egress → the server
//                                                           └ no connection → Unix socket → router → the
//                                                           service
//
// The egress process carries bytes, and says nothing to a server that it has no connection to: what comes
// back is the request as it was, sent to nobody yet.
#pragma once

#include <cstdint>
#include <string>

#include "adapters/haproxy_state.h"

namespace ingot::adapters {

// The value without it. What is left leads to fleets alone.
std::string WithoutServer(const std::string& value);
// `value` with the share of the route's server, if it has one; `entries` gets what leads on that which the
// server does not take. kNotFound: the topology does not name the server.
Result<std::string> WithServer(const RouterState& state, const platform::EnvironmentId& environment,
                               const platform::RouteTable::Outside& route, std::string value,
                               std::map<std::string, std::string>& entries);
// kInvalid: a server that is no host with a port, or of a route that is not there.
Result<void> CheckServers(const platform::Topology& topology);
// The number of the server's socket; 0: no server has a share by this value.
uint32_t ServerOf(const std::string& value);

// Drops from the environment's entries what leads to servers that its topology no longer names. `state`: with
// the numbers from before.
void ForgetServers(const RouterState& state, const platform::EnvironmentId& environment,
                   RouterEnvironment& kept);

// The service of the server's route.
std::string ServiceBeside(const platform::Topology& topology, const platform::Topology::Server& server);
bool HasServers(const RouterState& state);

// Rules of a frontend between the look-up and the split. Before: sets txn.o, the share, and "dealt" for what
// has to have a number of its own; what this router (`token`) has sent to a server elsewhere already is no
// part of the share. After: sends it on, with the number that was found in txn.a, or by chance.
std::string BeforeServerShare(const std::string& token);
std::string AfterServerShare();

// Rule of a frontend by which requests come back: they are as they were.
std::string AfterReturn();

// The router's backends of the environment's servers; `token` goes with each request.
std::string ServerBackends(const RouterState& state, const platform::EnvironmentId& id,
                           const std::string& token);
// The egress process's part for them.
std::string ServerEgress(const RouterState& state, const platform::EnvironmentId& id);

}  // namespace ingot::adapters
