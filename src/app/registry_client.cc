#include "app/registry_client.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "app/version.h"
#include "base/units.h"

namespace ingot::app {

namespace {

std::string VariableOr(const char* name, std::string otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? std::move(otherwise) : std::string(value);
}

}  // namespace

Result<std::unique_ptr<RegistryClient>> RegistryClient::Make(Clock& clock,
                                                             std::function<void(const std::string&)> notice,
                                                             int attempts) {
  std::unique_ptr<RegistryClient> made(new RegistryClient());
  adapters::CurlHttp::Options http;
  http.trust.system_authorities = VariableOr("SSL_CERT_FILE", "");
  http.user_agent = std::string("ingot/") + kVersion;
  auto patience = ParseDuration(VariableOr("INGOT_REGISTRY_TIMEOUT", "30s"));
  if (!patience) return std::move(patience).error().While("reading INGOT_REGISTRY_TIMEOUT");
  http.stall_timeout = *patience;
  http.connect_timeout = std::min(http.connect_timeout, *patience);
  http.answer_timeout = std::min(http.answer_timeout, *patience);
  made->http_ = std::make_unique<adapters::CurlHttp>(std::move(http));
  made->credentials_ = std::make_unique<registry::Credentials>(registry::DockerConfigFiles());
  registry::Client::Options options;
  options.notice = std::move(notice);
  options.attempts = attempts;
  std::istringstream mirrors(VariableOr("INGOT_DOCKER_MIRROR", ""));
  for (std::string mirror; mirrors >> mirror;) options.mirrors.push_back(mirror);
  made->client_ = std::make_unique<registry::Client>(
      *made->http_,
      [credentials = made->credentials_.get()](const std::string& registry, const std::string& repository) {
        return credentials->Find(registry, repository);
      },
      clock, std::move(options));
  return made;
}

}  // namespace ingot::app
