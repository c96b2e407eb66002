// The certificates that host.yaml names, as they are now: for `doctor`, `validate --host` and the daemon's
// start.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "adapters/certificate.h"
#include "adapters/tls_server.h"
#include "definition/host.h"

namespace ingot::app {

struct SeenCertificate {
  std::string place;  // "router.certificates[0]", "registry.tls", "api.tls"
  std::string file;   // as host.yaml has it
  Result<adapters::Certificate> loaded;
  // Why clients cannot be served with it: a file that is not usable, or it has expired. With `place`.
  std::optional<std::string> Problem(WallTime now) const;
};

// In the order of host.yaml: of the router, the registry and the API. Reads files; an authority for clients
// is read, too.
std::vector<SeenCertificate> LookAtCertificates(const definition::Host& host);

adapters::TlsServer::Files TlsFilesOf(const definition::Host& host, const definition::RegistryTls& tls);

}  // namespace ingot::app
