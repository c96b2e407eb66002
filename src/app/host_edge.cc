#include "app/host_edge.h"

#include "adapters/listeners.h"
#include "app/host_config.h"

namespace ingot::app {

namespace {

std::string MediaTypeOf(const fs::path& file) {
  const std::string extension = file.extension().string();
  if (extension == ".html" || extension == ".htm") return "text/html; charset=utf-8";
  if (extension == ".json") return "application/json";
  return "text/plain; charset=utf-8";
}

}  // namespace

bool HostEdgeFiles::Read(size_t index) {
  const auto& files = host_.router.certificates[index];
  const fs::path certificate = HostFile(host_, files.certificate);
  const fs::path key = HostFile(host_, files.key);
  Entry& entry = entries_[index];
  const FileStamp certificate_stamp = FileStamp::Of(certificate);
  const FileStamp key_stamp = FileStamp::Of(key);
  if (entry.certificate == certificate_stamp && entry.key == key_stamp && certificate_stamp.size >= 0)
    return false;
  const bool again = entry.certificate == certificate_stamp && entry.key == key_stamp;
  entry.certificate = certificate_stamp;
  entry.key = key_stamp;
  auto loaded = adapters::LoadCertificate(certificate, key);
  if (!loaded) {
    if (!again)
      problems_.push_back(loaded.error().Render() + (entry.loaded
                                                         ? "; the former certificate stays in use"
                                                         : "; nothing is served by this certificate"));
    return false;
  }
  const bool changed = !entry.loaded || entry.loaded->pem != loaded->pem;
  entry.loaded = std::move(*loaded);
  return changed;
}

void HostEdgeFiles::Load() {
  entries_.assign(host_.router.certificates.size(), Entry{});
  for (size_t i = 0; i < entries_.size(); ++i) {
    // So that a file that is missing from the beginning is said, too.
    entries_[i].certificate.inode = 1;
    Read(i);
  }
}

bool HostEdgeFiles::Refresh() {
  bool changed = false;
  for (size_t i = 0; i < entries_.size(); ++i) changed |= Read(i);
  return changed;
}

std::vector<std::string> HostEdgeFiles::Pems() const {
  std::vector<std::string> out;
  for (const Entry& entry : entries_)
    if (entry.loaded) out.push_back(entry.loaded->pem);
  return out;
}

adapters::HaproxyEdge HostEdgeFiles::Options() {
  const definition::HostRouter& router = host_.router;
  adapters::HaproxyEdge edge;
  edge.http = router.http;
  edge.https = router.https;
  edge.certificates = Pems();
  edge.challenges = router.acme.has_value();
  edge.proxy_protocol_from = router.proxy_protocol_from;
  edge.trusted_proxies = router.trusted_proxies;
  edge.request_body_bytes = router.request_body_bytes.value_or(0);
  edge.request_headers = router.request_headers;
  edge.response = router.response;
  edge.idle = router.idle;
  edge.tunnel = router.tunnel;
  if (router.maintenance.empty()) return edge;
  const fs::path file = HostFile(host_, router.maintenance);
  auto page = ReadFile(file, adapters::kMaxMaintenanceBytes);
  if (!page) {
    problems_.push_back(std::move(page).error().While("reading router.maintenance").Render() +
                        "; a line of text stands in its place");
    return edge;
  }
  edge.maintenance = std::move(*page);
  edge.maintenance_type = MediaTypeOf(file);
  return edge;
}

plan::HostEdge HostEdgeFiles::Edge() const {
  plan::HostEdge edge{host_.router.http, host_.router.https, std::vector<std::string>()};
  edge.no_ipv6 = adapters::WhyNoIpv6();
  if (host_.router.acme) edge.acme = host_.router.acme->domains;
  for (const Entry& entry : entries_)
    if (entry.loaded)
      edge.certificates->insert(edge.certificates->end(), entry.loaded->names.begin(),
                                entry.loaded->names.end());
  return edge;
}

std::vector<std::string> HostEdgeFiles::TakeProblems() {
  return std::exchange(problems_, {});
}

}  // namespace ingot::app
