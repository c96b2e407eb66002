// libcurl, loaded when the first request is sent: a verb that asks no registry does not pay for it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "adapters/registry_trust.h"
#include "base/clock.h"
#include "registry/client_http.h"

namespace ingot::adapters {

class CurlHttp final : public registry::ClientHttp {
 public:
  struct Options {
    RegistryTrustSource::Options trust;
    // Set: in place of `trust`, for every host; and what to say to whom a certificate is not believed.
    std::optional<RegistryTrust> only_trust = {};
    std::string trust_advice = {};
    Milliseconds connect_timeout{15'000};
    // Less than 1 KiB in this time, not counting what the reader takes to use it, is a stalled transfer.
    Milliseconds stall_timeout{30'000};
    // A server that has said nothing to a question by then will not. (One that has taken a blob gets ten
    // times `stall_timeout` for its answer.)
    Milliseconds answer_timeout{15'000};
    std::string user_agent{"ingot"};
  };
  explicit CurlHttp(Options options);
  ~CurlHttp() override;

  // As ClientHttp. Proxies are those of $https_proxy and $no_proxy; never one for this host itself.
  // Connections are kept for later requests.
  Result<registry::ClientResponse> Send(const registry::ClientRequest& request, const Body& body) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ingot::adapters
