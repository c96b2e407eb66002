#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "app/host_config.h"
#include "app/invocation.h"
#include "app/metrics.h"
#include "app/registry_service.h"
#include "app/registry_verbs.h"
#include "app/signals.h"
#include "app/verbs.h"
#include "base/units.h"

namespace ingot::app {

namespace {

int ServeRegistry(Invocation& invocation, const RegistryService::Options& options,
                  const std::string& metrics) {
  auto signals = WatchSignals();
  if (!signals) return Report(invocation, signals.error());
  // A connection takes up to two descriptors.
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  RegistryService::Options alone = options;
  auto host = LoadHost(invocation);
  if (!host) return Report(invocation, host.error());
  const definition::Scrub scrub = host->scrub.value_or(definition::Scrub{});
  alone.scrub.emplace(Scrubber::Options{scrub.rate_bytes, scrub.every, {}});
  auto service = RegistryService::Start(invocation.layout(), *host, alone);
  if (!service) return Report(invocation, std::move(service).error().While("starting the registry"));
  LogToStderr("registry of " + invocation.layout().root.string() + " on " + (*service)->address());
  std::unique_ptr<adapters::MetricsServer> metrics_server;
  if (const std::string& address = metrics.empty() ? host->metrics : metrics; !address.empty()) {
    auto started = ServeMetrics(address, (*service)->store(), &(*service)->watch());
    if (!started) return Report(invocation, std::move(started).error().While("serving metrics"));
    metrics_server = std::move(*started);
    LogToStderr("metrics on " + metrics_server->address().Render());
  }
  WaitForSignal(*signals);
  LogToStderr("stopping");
  metrics_server.reset();
  service->reset();
  return kDone;
}

// "docker.io/**=https://registry-1.docker.io"
std::string AddUpstream(RegistryService::Options& options, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos || equals + 1 == text.size())
    return "--upstream is PATTERN=URL, as in 'docker.io/**=https://registry-1.docker.io'";
  RegistryService::Options::Upstream upstream;
  upstream.match = text.substr(0, equals);
  upstream.url = text.substr(equals + 1);
  options.upstreams.push_back(std::move(upstream));
  return "";
}

void AddUpstreamOptions(CLI::App& verb, RegistryService::Options& options) {
  verb.add_option_function<std::vector<std::string>>(
      "--upstream",
      [&options](const std::vector<std::string>& texts) {
        for (const std::string& text : texts)
          if (const std::string wrong = AddUpstream(options, text); !wrong.empty())
            throw CLI::ValidationError("--upstream", wrong);
      },
      "PATTERN=URL: repositories that are a cache of that registry's, as "
      "docker.io/**=https://registry-1.docker.io");
  verb.add_option_function<std::string>(
      "--upstream-ttl",
      [&options](const std::string& text) {
        const auto ttl = ParseDuration(text);
        if (!ttl) throw CLI::ValidationError("--upstream-ttl", ttl.error().message());
        for (auto& upstream : options.upstreams) upstream.ttl = *ttl;
      },
      "how long a tag is believed before it is asked for again (1h)");
  verb.add_flag_callback(
      "--upstream-offline",
      [&options] {
        for (auto& upstream : options.upstreams) upstream.offline = true;
      },
      "ask no other registry: only what is here is served");
}

}  // namespace

void AddRegistry(CLI::App& app, Invocation& invocation) {
  CLI::App* registry = app.add_subcommand("registry", "an OCI registry for the images of this store");
  registry->require_subcommand(1);
  auto options = std::make_shared<RegistryService::Options>();
  auto metrics = std::make_shared<std::string>();
  CLI::App* serve =
      AddVerb(*registry, invocation, "serve", "serve it alone, without the daemon",
              [&invocation, options, metrics] { return ServeRegistry(invocation, *options, *metrics); });
  serve->add_option(
      "--listen", options->listen,
      "address and port; several may be given (default: registry.listen of host.yaml, else 127.0.0.1:5000)");
  serve->add_flag("--insecure", options->insecure,
                  "listen where other hosts reach it, without TLS and log-in");
  serve->add_flag("--accept-sparse", options->accept_sparse,
                  "take manifests that name what was not pushed, as mirrors of some platforms do");
  AddMetricsOption(*serve, *metrics);
  AddHostOption(*serve, invocation);
  AddUpstreamOptions(*serve, *options);
  serve->footer(
      "Images that were built here are repositories: shop/web:latest is podman pull "
      "127.0.0.1:5000/shop/web.\n"
      "What is pushed is kept until it is deleted; `ingot gc` keeps it, too. Stays in the foreground; "
      "SIGTERM\n"
      "ends it when the requests in work have ended.");
  AddRegistryUser(*registry, invocation);
}

}  // namespace ingot::app
