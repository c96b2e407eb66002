// GET /metrics: what Prometheus is told of the store and of the registry over it.
#pragma once

#include <memory>
#include <string>

#include "adapters/metrics_server.h"
#include "adapters/registry_watch.h"
#include "store/store.h"

namespace CLI {
class App;
}

namespace ingot::app {

// `address`: "127.0.0.1:9464". `watch`: null when no registry is served. Both must outlive it. kInvalid, and
// the codes of MetricsServer::Listen.
Result<std::unique_ptr<adapters::MetricsServer>> ServeMetrics(const std::string& address, store::Store& store,
                                                              const adapters::RegistryWatch* watch);

// The option --metrics.
void AddMetricsOption(CLI::App& verb, std::string& address);

}  // namespace ingot::app
