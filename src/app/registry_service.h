// The registry over a store, listening: what `ingot registry serve` and `ingot serve --registry` run.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "adapters/registry_server.h"
#include "app/open_store.h"
#include "app/scrub.h"
#include "registry/registry.h"

namespace ingot::app {

class RegistryService {
 public:
  struct Options {
    std::string listen;  // "127.0.0.1:5000"
    bool insecure = false;
    bool accept_sparse = false;
    std::optional<Scrubber::Options> scrub;  // the daemon does it itself
  };
  // kInvalid: no such address. kRefused: others than this host would reach it, and `insecure` is not set:
  // there is neither TLS nor a log-in yet. Else the codes of OpenStore and RegistryServer::Listen.
  static Result<std::unique_ptr<RegistryService>> Start(const Layout& layout, const Options& options);
  // Lets requests in work end.
  ~RegistryService();
  // "127.0.0.1:5000"
  std::string address() const { return server_->address().Render(); }

 private:
  RegistryService() = default;
  SystemClock clock_;
  OpenedStore opened_;
  std::unique_ptr<registry::Registry> registry_;
  std::unique_ptr<adapters::RegistryServer> server_;
  std::unique_ptr<Scrubber> scrub_;
  std::thread sweep_;  // removes what dead processes have left; not awaited by the first request
};

}  // namespace ingot::app
