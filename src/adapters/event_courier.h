// EventCourier: events as webhooks (signed by the Standard Webhooks specification,
// https://www.standardwebhooks.com) or to a command on this host.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "observe/notifier.h"
#include "registry/client_http.h"

namespace ingot::adapters {

class EventCourier final : public observe::Courier {
 public:
  // Of a subscriber with a secret; errors of Deliver.
  using Secret = std::function<Result<std::string>(const observe::Subscriber&)>;
  // `http` and `clock` must outlive it.
  EventCourier(registry::ClientHttp& http, Clock& clock, Secret secret)
      : http_(http), clock_(clock), secret_(std::move(secret)) {}
  // A webhook is taken by any 2xx, a command by exit code 0 within 30 s.
  Result<void> Deliver(const observe::Subscriber& to, const audit::Event& event,
                       const std::string& payload) override;
  // Attempts end.
  void Stop() { stopping_ = true; }

 private:
  Result<void> Post(const observe::Subscriber& to, const audit::Event& event, const std::string& payload);
  static Result<void> RunCommand(const observe::Subscriber& to, const std::string& payload);
  registry::ClientHttp& http_;
  Clock& clock_;
  const Secret secret_;
  std::atomic<bool> stopping_{false};
};

// "v1,BASE64": of the id, the time in seconds and the body, by HMAC-SHA256. A secret "whsec_BASE64" is its
// bytes, any other its text, without a newline at the end.
std::string SignWebhook(std::string_view secret, std::string_view id, std::string_view seconds,
                        std::string_view body);

}  // namespace ingot::adapters
