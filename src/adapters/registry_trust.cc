#include "adapters/registry_trust.h"

namespace ingot::adapters {
namespace {

constexpr char kDebianAuthorities[] = "/etc/ssl/certs/ca-certificates.crt";
constexpr size_t kMaxAuthorities = 16 << 20;

}  // namespace

Result<RegistryTrust> RegistryTrustSource::Find(const std::string& authority) const {
  RegistryTrust trust;
  std::string added;
  for (const fs::path& parent : options_.directories) {
    const fs::path directory = parent / authority;
    auto names = ListDirectory(directory);
    if (!names && names.error().code() == Code::kNotFound) continue;
    if (!names) return std::move(names).error();
    for (const std::string& name : *names) {
      const fs::path file = directory / name;
      if (name.ends_with(".crt")) {
        added += TRY(ReadFile(file, kMaxAuthorities)) + "\n";
      } else if (name.ends_with(".cert") && trust.certificate.empty()) {
        trust.certificate = file;
        trust.key = fs::path(file).replace_extension(".key");
      }
    }
  }
  if (options_.system_authorities.empty() && added.empty()) return trust;
  const fs::path system =
      options_.system_authorities.empty() ? fs::path(kDebianAuthorities) : options_.system_authorities;
  auto bytes = ReadFile(system, kMaxAuthorities);
  if (bytes) {
    trust.authorities = std::move(*bytes) + "\n";
  } else if (bytes.error().code() != Code::kNotFound || !options_.system_authorities.empty()) {
    return std::move(bytes).error().While("reading the certificate authorities ($SSL_CERT_FILE)");
  }
  trust.authorities += added;
  return trust;
}

}  // namespace ingot::adapters
