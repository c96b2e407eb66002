#include "app/notices.h"

#include "app/signals.h"
#include "app/version.h"

namespace ingot::app {

Result<std::unique_ptr<Notices>> Notices::Start(const Layout& layout, audit::Sink& events,
                                                const secrets::SecretStore& secrets, Clock& clock) {
  std::unique_ptr<Notices> notices(new Notices());
  notices->subscribers_ = TRY(adapters::SqliteSubscribers::Open(layout.state_db()));
  adapters::CurlHttp::Options http;
  http.connect_timeout = std::chrono::seconds(10);
  http.answer_timeout = std::chrono::seconds(10);
  http.user_agent = std::string("ingot/") + kVersion;
  notices->http_ = std::make_unique<adapters::CurlHttp>(std::move(http));
  notices->courier_ = std::make_unique<adapters::EventCourier>(
      *notices->http_, clock, [&secrets](const observe::Subscriber& to) -> Result<std::string> {
        const auto environment = TRY(platform::EnvironmentId::Parse(to.environment));
        return secrets.Get(environment, {to.to.secret, to.to.secret_version});
      });
  observe::Notifier::Options options;
  options.log = LogToStderr;
  notices->notifier_ =
      TRY(observe::Notifier::Start(events, *notices->subscribers_, *notices->courier_, clock, options));
  return notices;
}

Notices::~Notices() {
  if (courier_) courier_->Stop();
}

}  // namespace ingot::app
