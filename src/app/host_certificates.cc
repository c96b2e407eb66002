#include "app/host_certificates.h"

#include "app/host_config.h"

namespace ingot::app {

namespace {

SeenCertificate LookAtTls(const definition::Host& host, const std::string& place,
                          const definition::RegistryTls& tls) {
  const adapters::TlsServer::Files files = TlsFilesOf(host, tls);
  auto loaded = adapters::LoadCertificate(files.certificate, files.key);
  // What the server would say of its files, among them the authority of clients.
  if (loaded)
    if (auto opened = adapters::TlsServer::Open(files); !opened) loaded = std::move(opened).error();
  return {place, tls.certificate, std::move(loaded)};
}

std::vector<fs::path> FilesOf(const definition::Host& host) {
  std::vector<fs::path> files;
  for (const auto& pair : host.router.certificates) {
    files.push_back(HostFile(host, pair.certificate));
    files.push_back(HostFile(host, pair.key));
  }
  for (const auto* tls : {&host.registry.tls, &host.api.tls}) {
    if (!*tls) continue;
    const adapters::TlsServer::Files of = TlsFilesOf(host, **tls);
    files.insert(files.end(), {of.certificate, of.key});
    if (!of.client_ca.empty()) files.push_back(of.client_ca);
  }
  return files;
}

}  // namespace

std::optional<std::string> SeenCertificate::Problem(WallTime now) const {
  if (!loaded) return place + ": " + loaded.error().Render();
  if (loaded->ends < now) return place + ": " + file + " expired at " + RenderTime(loaded->ends);
  return std::nullopt;
}

std::optional<std::string> SeenCertificate::ProblemWithoutFiles(WallTime now) const {
  if (!loaded) return place + ": it cannot be used";
  if (loaded->ends < now) return place + ": it expired at " + RenderTime(loaded->ends);
  return std::nullopt;
}

std::vector<SeenCertificate> LookAtCertificates(const definition::Host& host) {
  std::vector<SeenCertificate> seen;
  for (size_t i = 0; i < host.router.certificates.size(); ++i) {
    const auto& files = host.router.certificates[i];
    seen.push_back({"router.certificates[" + std::to_string(i) + "]", files.certificate,
                    adapters::LoadCertificate(HostFile(host, files.certificate), HostFile(host, files.key))});
  }
  if (host.registry.tls) seen.push_back(LookAtTls(host, "registry.tls", *host.registry.tls));
  if (host.api.tls) seen.push_back(LookAtTls(host, "api.tls", *host.api.tls));
  return seen;
}

CertificateWatch::CertificateWatch(const definition::Host& host) : host_(host), files_(FilesOf(host)) {}

std::vector<SeenCertificate> CertificateWatch::Look() {
  std::vector<FileStamp> stamps;
  for (const fs::path& file : files_) stamps.push_back(FileStamp::Of(file));
  auto seen = seen_.lock();
  // The stamps are older than what is read: a change between the two is seen at the next call.
  if (seen->stamps != stamps) *seen = {std::move(stamps), LookAtCertificates(host_)};
  return seen->certificates;
}

adapters::TlsServer::Files TlsFilesOf(const definition::Host& host, const definition::RegistryTls& tls) {
  adapters::TlsServer::Files files;
  files.certificate = HostFile(host, tls.certificate);
  files.key = HostFile(host, tls.key);
  if (!tls.client_ca.empty()) files.client_ca = HostFile(host, tls.client_ca);
  return files;
}

}  // namespace ingot::app
