// The registry over a store, listening: what `ingot registry serve` and `ingot serve --registry` run.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "adapters/registry_server.h"
#include "adapters/registry_watch.h"
#include "adapters/sqlite_events.h"
#include "adapters/tls_server.h"
#include "app/open_store.h"
#include "app/registry_client.h"
#include "app/scrub.h"
#include "definition/host.h"
#include "registry/access.h"
#include "registry/registry.h"

namespace ingot::app {

class RegistryService {
 public:
  struct Options {
    std::vector<std::string> listen;  // "127.0.0.1:5000"; empty: what the host's configuration says
    bool insecure = false;
    bool accept_sparse = false;
    std::optional<Scrubber::Options> scrub;  // the daemon does it itself
    // Repositories that are a cache of another registry's; the first that matches counts.
    struct Upstream {
      std::string match;  // "docker.io/**" (base/glob.h)
      std::string url;    // "https://registry-1.docker.io"
      Milliseconds ttl = std::chrono::hours(1);
      bool offline = false;
    };
    std::vector<Upstream> upstreams;
    // Where pushes and deletions are recorded; null: in the root's own record. Must outlive it.
    audit::Sink* events = nullptr;
  };
  // kInvalid: no such address, or a file of the configuration cannot be used. kRefused: others than this host
  // would reach it without TLS and a log-in, and `insecure` is not set. Else the codes of OpenStore and
  // RegistryServer::Listen.
  static Result<std::unique_ptr<RegistryService>> Start(const Layout& layout, const definition::Host& host,
                                                        const Options& options);
  // Lets requests in work end.
  ~RegistryService();
  // "127.0.0.1:5000", or several with commas
  std::string address() const;
  // For metrics.
  const adapters::RegistryWatch& watch() const { return *watch_; }
  store::Store& store() { return *opened_.store; }

 private:
  RegistryService() = default;
  SystemClock clock_;
  OpenedStore opened_;
  std::unique_ptr<registry::Access> access_;  // null: there is no log-in and there are no rules
  std::unique_ptr<adapters::TlsServer> tls_;  // null: plain HTTP
  std::unique_ptr<RegistryClient> upstream_client_;
  std::unique_ptr<adapters::SqliteEvents> events_;  // null: others'
  std::unique_ptr<registry::Registry> registry_;
  std::unique_ptr<adapters::RegistryWatch> watch_;
  std::vector<std::unique_ptr<adapters::RegistryServer>> servers_;
  std::unique_ptr<Scrubber> scrub_;
  std::thread sweep_;  // removes what dead processes have left; not awaited by the first request
};

}  // namespace ingot::app
