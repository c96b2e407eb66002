#include "app/registry_service.h"

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
  return service;
}

RegistryService::~RegistryService() = default;

}  // namespace ingot::app
