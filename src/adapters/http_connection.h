// HttpConnection: one client of the daemon's HTTP server, request after request. Internal to it.
#pragma once

#include <atomic>

#include "adapters/http_server.h"
#include "adapters/http_wire.h"

namespace ingot::adapters {

struct HttpConnectionTimes {
  Milliseconds head{0};
  Milliseconds idle{0};
  Milliseconds stall{0};
};

// Serves until the client, an error or `stopping` ends it. `known`: what is known of every request of it
// (peer, address). `certificate` is asked once a head has been read.
void ServeHttp(HttpWire& wire, const HttpConnectionTimes& times, const std::atomic<bool>& stopping,
               const HttpHandler& handler, const HttpRules& rules, const HttpRequest& known,
               const std::function<std::string()>& certificate);

}  // namespace ingot::adapters
