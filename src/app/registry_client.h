// The client of registries as this host has it configured: log-ins, authorities, mirrors, proxies.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "adapters/curl.h"
#include "base/clock.h"
#include "registry/client.h"

namespace ingot::app {

class RegistryClient {
 public:
  // Nothing is loaded or read before something is asked of a registry. `clock` must outlive it. `notice`: as
  // in registry::Client::Options, may be empty. `attempts`: as there. kInvalid: a variable of the environment
  // (cli.md).
  static Result<std::unique_ptr<RegistryClient>> Make(Clock& clock,
                                                      std::function<void(const std::string&)> notice,
                                                      int attempts = 5);
  registry::Client& client() { return *client_; }

 private:
  RegistryClient() = default;
  std::unique_ptr<registry::Credentials> credentials_;
  std::unique_ptr<adapters::CurlHttp> http_;
  std::unique_ptr<registry::Client> client_;
};

}  // namespace ingot::app
