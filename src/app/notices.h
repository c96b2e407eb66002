// Who asked to hear of events of this daemon, and how they are told.
#pragma once

#include <memory>

#include "adapters/curl.h"
#include "adapters/event_courier.h"
#include "adapters/sqlite_subscribers.h"
#include "app/layout.h"
#include "app/secret_files.h"
#include "observe/notifier.h"

namespace ingot::app {

class Notices {
 public:
  // All of them must outlive it.
  static Result<std::unique_ptr<Notices>> Start(const Layout& layout, audit::Sink& events,
                                                const SecretFiles& secrets, Clock& clock);
  // Breaks attempts off.
  ~Notices();
  observe::Notifier& notifier() { return *notifier_; }

 private:
  Notices() = default;
  std::unique_ptr<adapters::SqliteSubscribers> subscribers_;
  std::unique_ptr<adapters::CurlHttp> http_;
  std::unique_ptr<adapters::EventCourier> courier_;
  std::unique_ptr<observe::Notifier> notifier_;
};

}  // namespace ingot::app
