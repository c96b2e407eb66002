// Who asked to hear of events of this daemon, and how they are told.
#pragma once

#include <memory>

#include "adapters/curl.h"
#include "adapters/event_courier.h"
#include "adapters/sqlite_subscribers.h"
#include "app/layout.h"
#include "observe/notifier.h"
#include "secrets/secret_store.h"

namespace ingot::app {

class Notices {
 public:
  // All of them must outlive it.
  static Result<std::unique_ptr<Notices>> Start(const Layout& layout, audit::Sink& events,
                                                const secrets::SecretStore& secrets, Clock& clock);
  // Breaks attempts off.
  ~Notices();
  observe::Notifier& notifier() { return *notifier_; }
  // Who is told of events, as they are remembered.
  Result<std::vector<observe::Subscriber>> Subscribers() { return subscribers_->List(); }

 private:
  Notices() = default;
  std::unique_ptr<adapters::SqliteSubscribers> subscribers_;
  std::unique_ptr<adapters::CurlHttp> http_;
  std::unique_ptr<adapters::EventCourier> courier_;
  std::unique_ptr<observe::Notifier> notifier_;
};

}  // namespace ingot::app
