// The certificates that host.yaml names, as they are now: for `doctor`, `validate --host` and the daemon's
// start and its status.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "adapters/certificate.h"
#include "adapters/tls_server.h"
#include "app/file_stamp.h"
#include "base/sync.h"
#include "definition/host.h"

namespace ingot::app {

struct SeenCertificate {
  std::string place;  // "router.certificates[0]", "registry.tls", "api.tls"
  std::string file;   // as host.yaml has it
  Result<adapters::Certificate> loaded;
  // Why clients cannot be served with it: a file that is not usable, or it has expired. With `place`.
  std::optional<std::string> Problem(WallTime now) const;
  // The same for who may not know the host's files.
  std::optional<std::string> ProblemWithoutFiles(WallTime now) const;
};

// In the order of host.yaml: of the router, the registry and the API. Reads files; an authority for clients
// is read, too.
std::vector<SeenCertificate> LookAtCertificates(const definition::Host& host);

// For a process that stays: reads the files again only when one of them is another. For any thread.
class CertificateWatch {
 public:
  explicit CertificateWatch(const definition::Host& host);
  std::vector<SeenCertificate> Look();

 private:
  struct Seen {
    std::vector<FileStamp> stamps;
    std::vector<SeenCertificate> certificates;
  };
  const definition::Host host_;
  const std::vector<fs::path> files_;
  Sync<Seen> seen_;
};

adapters::TlsServer::Files TlsFilesOf(const definition::Host& host, const definition::RegistryTls& tls);

}  // namespace ingot::app
