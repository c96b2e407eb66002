#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <memory>

#include "app/api.h"
#include "app/build_received.h"
#include "app/daemon.h"
#include "app/host_config.h"
#include "app/invocation.h"
#include "app/metrics.h"
#include "app/outside_view.h"
#include "app/registry_service.h"
#include "app/remote_api.h"
#include "app/scrub.h"
#include "app/secret_keys.h"
#include "app/service_metrics.h"
#include "app/shadow_metrics.h"
#include "app/signals.h"
#include "app/terminal.h"
#include "app/verbs.h"

namespace ingot::app {

namespace {

// Writes every event to stderr as it happens, for journald.
class EventLog {
 public:
  explicit EventLog(Daemon& daemon) : daemon_(daemon), thread_([this] { Loop(); }) {}
  ~EventLog() {
    stopping_ = true;
    thread_.join();
  }

 private:
  void Loop() {
    audit::EventQuery query;
    if (auto last = daemon_.events().Last()) query.after = *last;
    uint64_t seen = 0;
    while (true) {
      const bool last_round = stopping_;
      auto events = daemon_.events().Read(query);
      if (!events) LogToStderr("cannot read events: " + events.error().Render());
      for (const audit::Event& event : events ? *events : std::vector<audit::Event>()) {
        LogToStderr(event.environment + " " + event.kind + " " + RenderJson(event.detail));
        query.after = event.sequence;
      }
      if (last_round) return;
      seen = daemon_.WaitForChange(seen, std::chrono::milliseconds(500));
    }
  }

  Daemon& daemon_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// What surrounds the daemon, until a signal comes; which one. An Error: something of it cannot be served.
Result<int> ServeDaemon(Daemon& daemon, const definition::Host& host, RemoteApi::Opened opened,
                        const RegistryService::Options& options, const std::string& metrics,
                        const Fd& signals) {
  const Layout& layout = daemon.layout();
  Api api(daemon, [] { ::kill(::getpid(), SIGUSR1); });
  const adapters::HttpHandler handler = [&api](const adapters::HttpRequest& request,
                                               adapters::HttpReply& reply) { api.Handle(request, reply); };
  const auto server =
      TRY(adapters::HttpServer::Listen(layout.socket(), handler, host.api_group, {{}, &Api::StreamsBody}));
  if (auto swept = SweepReceivedBuilds(layout); !swept)
    LogToStderr("cannot remove what builds for other hosts have left: " + swept.error().Render());
  SystemClock clock;
  auto remote = RemoteApi::Start(std::move(opened), daemon.tokens(), clock, handler, &Api::StreamsBody);
  if (!remote) return std::move(remote).error().While("serving the API to other hosts");
  if (*remote) LogToStderr("api on " + (*remote)->address());
  std::unique_ptr<RegistryService> registry_service;
  RegistryService::Options registry = options;
  registry.events = &daemon.events();
  if (!registry.listen.empty() || !host.registry.listen.empty()) {
    auto started = RegistryService::Start(layout, host, registry);
    if (!started) return std::move(started).error().While("starting the registry");
    registry_service = std::move(*started);
    LogToStderr("registry on " + registry_service->address());
  }
  std::unique_ptr<adapters::MetricsServer> metrics_server;
  if (const std::string& address = metrics.empty() ? host.metrics : metrics; !address.empty()) {
    auto started =
        ServeMetrics(address, daemon.store(), registry_service ? &registry_service->watch() : nullptr,
                     [&daemon](PrometheusText& text) {
                       DescribeServices(text, daemon);
                       DescribeShadows(text, daemon);
                       DescribeIssued(text, daemon.issued());
                     });
    if (!started) return std::move(started).error().While("serving metrics");
    metrics_server = std::move(*started);
    LogToStderr("metrics on " + metrics_server->address().Render());
  }
  const definition::Scrub scrub = host.scrub.value_or(definition::Scrub{});
  auto scrubber = std::make_unique<Scrubber>(
      layout, daemon.store(), clock,
      Scrubber::Options{
          scrub.rate_bytes, scrub.every, [&](const std::string& kind, JsonObject detail) {
            if (auto put = daemon.events().Append({{"", "", kind, "ingot", std::move(detail)}}); !put)
              LogToStderr("cannot record " + kind + ": " + put.error().Render());
          }});
  auto log = std::make_unique<EventLog>(daemon);
  LogToStderr("serving " + layout.root.string() + " on " + layout.socket().string());
  const int signal = WaitForSignal(signals);
  daemon.migrator().EndHandWork();
  if (*remote) (*remote)->Stop();
  server->Stop();
  metrics_server.reset();
  scrubber.reset();
  registry_service.reset();
  log.reset();
  return signal;
}

int Serve(Invocation& invocation, const RegistryService::Options& options, const std::string& metrics,
          const std::string& secrets_key) {
  auto signals = WatchSignals();
  if (!signals) return Report(invocation, signals.error());
  // Values of secrets pass through this process: no core file, and nobody but root looks into it.
  ::prctl(PR_SET_DUMPABLE, 0);
  Layout layout = invocation.layout();
  layout.secrets_key = secrets_key;
  auto host = LoadHost(invocation);
  if (!host) return Report(invocation, host.error());
  RemoteApi::Opened opened;
  auto daemon = Daemon::Open(layout, *host, [&]() -> Result<void> {
    auto made = RemoteApi::Open(*host, SystemClock());
    if (!made) return std::move(made).error().While("serving the API to other hosts");
    opened = std::move(*made);
    return {};
  });
  if (!daemon) return Report(invocation, std::move(daemon).error().While("starting the daemon"));
  auto signal = ServeDaemon(**daemon, *host, std::move(opened), options, metrics, *signals);
  if (!signal) {
    if (auto undone = (*daemon)->Undo(); !undone)
      LogToStderr("cannot undo what was made: " + undone.error().Render());
    return Report(invocation, signal.error());
  }
  if (*signal == SIGUSR1) {
    if (auto torn = (*daemon)->Teardown(); !torn) return Report(invocation, torn.error());
    LogToStderr("gave up the host's namespaces, mounts and processes of " + layout.root.string());
    return kDone;
  }
  LogToStderr("stopping; what runs goes on");
  return kDone;
}

}  // namespace

void AddServe(CLI::App& app, Invocation& invocation) {
  auto registry = std::make_shared<RegistryService::Options>();
  auto metrics = std::make_shared<std::string>();
  auto secrets_key = std::make_shared<std::string>();
  CLI::App* verb = AddVerb(app, invocation, "serve", "run the daemon: instances, router, rollouts, API",
                           [&invocation, registry, metrics, secrets_key] {
                             return Serve(invocation, *registry, *metrics, *secrets_key);
                           });
  verb->add_option(
      "--registry", registry->listen,
      "also serve the registry there, as `ingot registry serve --listen` does (default: registry.listen of "
      "host.yaml)");
  verb->add_flag("--insecure", registry->insecure,
                 "the registry may listen where other hosts reach it, without TLS and log-in");
  AddMetricsOption(*verb, *metrics);
  AddSecretsKeyOption(*verb, *secrets_key);
  AddHostOption(*verb, invocation);
  verb->footer(
      "Stays in the foreground and logs to stderr. SIGTERM ends the daemon alone: instances serve and the "
      "router\n"
      "routes without it, and the next `ingot serve` with the same root takes them back.");
}

}  // namespace ingot::app
