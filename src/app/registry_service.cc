#include "app/registry_service.h"

#include "app/signals.h"
#include "build/build_session.h"
#include "store/sweep.h"

namespace ingot::app {

Result<std::unique_ptr<RegistryService>> RegistryService::Start(const Layout& layout,
                                                                const Options& options) {
  adapters::RegistryServer::Options server;
  server.listen = TRY(adapters::TcpAddress::Parse(options.listen));
  if (!server.listen.IsLoopback() && !options.insecure) {
    return Error(Code::kRefused,
                 "the registry has neither TLS nor a log-in yet, so whoever reaches " +
                     server.listen.Render() +
                     " could push and pull; listen on 127.0.0.1 behind a proxy that has both, or add "
                     "--insecure");
  }
  std::unique_ptr<RegistryService> service(new RegistryService());
  service->opened_ = TRY(OpenStore(layout));
  registry::Registry::Options registry;
  registry.uploads = layout.tmp() / "uploads";
  registry.accept_sparse = options.accept_sparse;
  service->registry_ = TRY(registry::Registry::Open(*service->opened_.store, service->clock_, registry));
  service->server_ = TRY(adapters::RegistryServer::Listen(server, *service->registry_));
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

RegistryService::~RegistryService() {
  if (sweep_.joinable()) sweep_.join();
}

}  // namespace ingot::app
