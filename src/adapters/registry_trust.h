// Whom TLS connections to registries trust: the system's authorities, and those of Docker's and Podman's
// certs.d.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace ingot::adapters {

struct RegistryTrust {
  std::string authorities;  // PEM; empty: what the library trusts by itself
  fs::path certificate;     // of ours, and its key; empty: none
  fs::path key;
};

class RegistryTrustSource {
 public:
  struct Options {
    fs::path system_authorities;  // $SSL_CERT_FILE; empty: Debian's
    std::vector<fs::path> directories{"/etc/containers/certs.d", "/etc/docker/certs.d"};
  };
  explicit RegistryTrustSource(Options options) : options_(std::move(options)) {}

  // For "registry.example:5000": the system's authorities and DIRECTORY/registry.example:5000/*.crt, the
  // first
  // *.cert with its .key. A directory that does not exist says nothing. kPermission, kIo, kNotFound when
  // $SSL_CERT_FILE cannot be read.
  Result<RegistryTrust> Find(const std::string& authority) const;

 private:
  const Options options_;
};

}  // namespace ingot::adapters
