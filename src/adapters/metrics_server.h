// MetricsServer: GET /metrics over HTTP, for Prometheus.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "adapters/tcp_address.h"
#include "base/result.h"

namespace ingot::adapters {

// GET /metrics only. One connection after another, each one request and five seconds: who watches is one, and
// a slow one delays only others that watch.
class MetricsServer {
 public:
  // `text` is called on a thread of its own. kConflict: the address is in use; kPermission.
  static Result<std::unique_ptr<MetricsServer>> Listen(const TcpAddress& address,
                                                       std::function<std::string()> text);
  virtual ~MetricsServer() = default;
  virtual TcpAddress address() const = 0;
};

}  // namespace ingot::adapters
