// GET /metrics: what Prometheus is told of the store and of the registry over it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "adapters/metrics_server.h"
#include "adapters/registry_watch.h"
#include "base/prometheus.h"
#include "store/store.h"

namespace CLI {
class App;
}

namespace ingot::app {

// `address`: "127.0.0.1:9464". `watch`: null when no registry is served. `more` writes what else there is, on
// any thread. All must outlive it. kInvalid, and the codes of MetricsServer::Listen.
Result<std::unique_ptr<adapters::MetricsServer>> ServeMetrics(
    const std::string& address, store::Store& store, const adapters::RegistryWatch* watch,
    std::function<void(PrometheusText&)> more = nullptr);

// The option --metrics.
void AddMetricsOption(CLI::App& verb, std::string& address);

}  // namespace ingot::app
