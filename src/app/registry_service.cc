#include "app/registry_service.h"

#include <algorithm>

#include "app/host_config.h"
#include "app/signals.h"
#include "app/terminal.h"
#include "base/glob.h"
#include "build/build_session.h"
#include "store/sweep.h"

namespace ingot::app {

namespace {

constexpr int kUpstreamAttempts = 2;  // somebody is waiting

Result<registry::Upstream> UpstreamOf(const RegistryService::Options::Upstream& option) {
  auto url = registry::ClientUrl::Parse(option.url);
  if (!url) return std::move(url).error().While("reading the upstream " + option.url);
  TRY(registry::RequireSecure(*url, "the upstream"));
  if (url->target != "/")
    return Error(Code::kInvalid, "the upstream " + option.url + ": only a host is wanted, without a path");
  registry::Upstream upstream;
  upstream.matches = [match = option.match](std::string_view repository) {
    return GlobMatches(match, repository);
  };
  upstream.registry = url->Authority();
  // By the name that log-ins are kept under.
  if (upstream.registry == "registry-1.docker.io" || upstream.registry == "index.docker.io")
    upstream.registry = "docker.io";
  upstream.ttl = option.ttl;
  upstream.offline = option.offline;
  return upstream;
}

// Where the access log is; empty: nowhere.
fs::path AccessLogOf(const Layout& layout, const definition::Host& host) {
  const std::string& file = host.registry.access_log;
  if (file == "none") return {};
  return file.empty() ? layout.registry_log() : HostFile(host, file);
}

constexpr const char* kDefaultRegistryListen = "127.0.0.1:5000";

bool HasRights(const definition::HostRegistry& registry) {
  return registry.HasAuthentication() ||
         std::any_of(
             registry.repositories.begin(), registry.repositories.end(),
             [](const definition::RepositoryRule& rule) { return rule.read || rule.push || rule.remove; });
}

Result<std::vector<adapters::TcpAddress>> AddressesOf(const definition::HostRegistry& registry,
                                                      const RegistryService::Options& options) {
  std::vector<std::string> texts = options.listen.empty() ? registry.listen : options.listen;
  if (texts.empty()) texts.emplace_back(kDefaultRegistryListen);
  const bool guarded = registry.tls && registry.HasAuthentication();
  std::vector<adapters::TcpAddress> addresses;
  for (const std::string& text : texts) {
    const auto address = TRY(adapters::TcpAddress::Parse(text));
    if (!address.IsLoopback() && !options.insecure && !guarded) {
      return Error(
          Code::kRefused,
          "without TLS and a log-in whoever reaches " + address.Render() +
              " could push and pull; give both in the host's configuration (registry.tls, and "
              "registry.htpasswd or tls.client_ca), listen on 127.0.0.1 behind a proxy that has them, "
              "or add --insecure");
    }
    addresses.push_back(address);
  }
  return addresses;
}

}  // namespace

Result<std::unique_ptr<RegistryService>> RegistryService::Start(const Layout& layout,
                                                                const definition::Host& host,
                                                                const Options& options) {
  const definition::HostRegistry& rules = host.registry;
  const std::vector<adapters::TcpAddress> addresses = TRY(AddressesOf(rules, options));
  std::unique_ptr<RegistryService> service(new RegistryService());
  if (HasRights(rules)) {
    const fs::path htpasswd = rules.htpasswd.empty() ? fs::path() : HostFile(host, rules.htpasswd);
    service->access_ = TRY(registry::Access::Open(rules, htpasswd, service->clock_));
  }
  if (rules.tls) {
    adapters::TlsServer::Files files;
    files.certificate = HostFile(host, rules.tls->certificate);
    files.key = HostFile(host, rules.tls->key);
    if (!rules.tls->client_ca.empty()) files.client_ca = HostFile(host, rules.tls->client_ca);
    service->tls_ = TRY(adapters::TlsServer::Open(files));
  }
  service->opened_ = TRY(OpenStore(layout));
  registry::Registry::Options registry;
  registry.uploads = layout.tmp() / "uploads";
  registry.accept_sparse = options.accept_sparse;
  registry.access = service->access_.get();
  for (const Options::Upstream& upstream : options.upstreams)
    registry.upstreams.push_back(TRY(UpstreamOf(upstream)));
  for (const definition::Upstream& upstream : rules.upstreams)
    registry.upstreams.push_back(
        TRY(UpstreamOf({upstream.match, upstream.url, upstream.ttl, upstream.offline})));
  audit::Sink* events = options.events;
  if (events == nullptr) {
    service->events_ = TRY(adapters::SqliteEvents::Open(layout.state_db(), service->clock_));
    events = service->events_.get();
  }
  registry.record = [events](audit::Draft draft) { return events->Append({std::move(draft)}); };
  registry.log = [](const std::string& text) { LogToStderr(text); };
  service->upstream_client_ = TRY(RegistryClient::Make(service->clock_, registry.log, kUpstreamAttempts));
  registry.upstream_client = &service->upstream_client_->client();
  service->registry_ = TRY(registry::Registry::Open(*service->opened_.store, service->clock_, registry));
  auto watch = adapters::RegistryWatch::Open({.log = AccessLogOf(layout, host)});
  if (!watch) return std::move(watch).error().While("opening the access log of the registry");
  service->watch_ = *std::move(watch);
  for (const adapters::TcpAddress& address : addresses) {
    adapters::RegistryServer::Options server;
    server.watch = service->watch_.get();
    server.listen = address;
    server.tls = service->tls_.get();
    // One watches the files.
    if (service->servers_.empty())
      server.complain = [](const std::string& what) {
        LogToStderr("registry: " + what + "; going on with what was");
      };
    service->servers_.push_back(TRY(adapters::RegistryServer::Listen(server, *service->registry_)));
  }
  if (options.scrub)
    service->scrub_ =
        std::make_unique<Scrubber>(layout, *service->opened_.store, service->clock_, *options.scrub);
  service->sweep_ = std::thread([&opened = service->opened_, &clock = service->clock_, layout] {
    if (auto builds = build::SweepBuilds(layout.tmp(), layout.cache()); !builds)
      LogToStderr("cannot remove what killed builds have left: " + builds.error().Render());
    if (auto swept = store::SweepDead(*opened.store, clock); !swept)
      LogToStderr("cannot remove what ended processes have left: " + swept.error().Render());
  });
  return service;
}

std::string RegistryService::address() const {
  std::string out;
  for (const auto& server : servers_) out += (out.empty() ? "" : ", ") + server->address().Render();
  return out;
}

RegistryService::~RegistryService() {
  if (sweep_.joinable()) sweep_.join();
}

}  // namespace ingot::app
