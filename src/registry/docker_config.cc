#include "registry/docker_config.h"

#include <algorithm>

#include "base/json.h"
#include "oci/base64.h"

namespace ingot::registry {
namespace {

// What `docker login` writes for its default registry.
constexpr std::string_view kDockerHubServer = "https://index.docker.io/v1/";

bool IsDockerHub(std::string_view host) {
  return host == "docker.io" || host == "index.docker.io" || host == "registry-1.docker.io";
}

// "https://registry.example/v1/" → "registry.example".
std::string AuthKey(std::string_view written) {
  for (const std::string_view scheme : {"https://", "http://"})
    if (written.starts_with(scheme)) written.remove_prefix(scheme.size());
  while (written.ends_with('/')) written.remove_suffix(1);
  for (const std::string_view version : {"/v1", "/v2"})
    if (written.ends_with(version)) written.remove_suffix(version.size());
  const std::string_view host = written.substr(0, written.find('/'));
  if (IsDockerHub(host)) return "docker.io" + std::string(written.substr(host.size()));
  return std::string(written);
}

Error InConfig(const std::string& where, std::string_view expected) {
  return Error(Code::kInvalid, where + ": expected " + std::string(expected));
}

bool IsHelperName(std::string_view name) {
  return !name.empty() && name.size() <= 64 && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                  c == '_' || c == '.';
         });
}

Result<Credential> ParseAuth(const std::string& where, const JsonObject& object) {
  Credential credential;
  credential.identity_token = StringOr(object, "identitytoken", "");
  credential.username = StringOr(object, "username", "");
  credential.password = StringOr(object, "password", "");
  const std::string auth = StringOr(object, "auth", "");
  if (auth.empty()) return credential;
  auto text = oci::ParseBase64(auth);
  if (!text) return InConfig(where + ".auth", "base64 of user:password");
  const size_t colon = text->find(':');
  if (colon == std::string::npos) return InConfig(where + ".auth", "base64 of user:password");
  credential.username = text->substr(0, colon);
  credential.password = text->substr(colon + 1);
  // Docker pads with NULs.
  credential.password.erase(std::min(credential.password.find('\0'), credential.password.size()));
  return credential;
}

}  // namespace

Result<DockerConfig> DockerConfig::Parse(std::string_view bytes) {
  const Json json = TRY(ParseJson(bytes));
  const JsonObject* top = json.if_object();
  if (top == nullptr) return Error(Code::kInvalid, "expected a JSON object");
  DockerConfig config;
  if (const Json* auths = top->if_contains("auths"); auths != nullptr && !auths->is_null()) {
    if (!auths->is_object()) return InConfig("auths", "an object");
    for (const auto& [key, value] : auths->get_object()) {
      const std::string where = "auths." + std::string(key);
      if (!value.is_object()) return InConfig(where, "an object");
      Credential credential = TRY(ParseAuth(where, value.get_object()));
      if (credential.identity_token.empty() && credential.username.empty()) continue;
      config.auths.insert_or_assign(AuthKey(std::string(key)), std::move(credential));
    }
  }
  if (const Json* helpers = top->if_contains("credHelpers"); helpers != nullptr && !helpers->is_null()) {
    if (!helpers->is_object()) return InConfig("credHelpers", "an object");
    for (const auto& [key, value] : helpers->get_object()) {
      const std::string where = "credHelpers." + std::string(key);
      if (!value.is_string() || !IsHelperName(value.get_string())) return InConfig(where, "a helper's name");
      config.cred_helpers.insert_or_assign(AuthKey(std::string(key)), std::string(value.get_string()));
    }
  }
  config.creds_store = StringOr(*top, "credsStore", "");
  if (!config.creds_store.empty() && !IsHelperName(config.creds_store))
    return InConfig("credsStore", "a helper's name");
  return config;
}

std::optional<Credential> DockerConfig::Find(const std::string& registry,
                                             const std::string& repository) const {
  std::string key = AuthKey(registry) + "/" + repository;
  while (true) {
    if (const auto found = auths.find(key); found != auths.end()) return found->second;
    const size_t slash = key.rfind('/');
    if (slash == std::string::npos) return std::nullopt;
    key.resize(slash);
  }
}

DockerConfig::Helper DockerConfig::FindHelper(const std::string& registry) const {
  const std::string key = AuthKey(registry);
  Helper helper;
  helper.server = key == "docker.io" ? std::string(kDockerHubServer) : key;
  const auto found = cred_helpers.find(key);
  helper.name = found != cred_helpers.end() ? found->second : creds_store;
  return helper;
}

Result<Credential> ParseHelperAnswer(std::string_view bytes) {
  const Json json = TRY(ParseJson(bytes));
  const JsonObject* object = json.if_object();
  if (object == nullptr) return Error(Code::kInvalid, "expected a JSON object");
  Credential credential;
  const std::string user = TRY(GetString(*object, "Username"));
  const std::string secret = TRY(GetString(*object, "Secret"));
  if (user == "<token>") {
    credential.identity_token = secret;
  } else {
    credential.username = user;
    credential.password = secret;
  }
  return credential;
}

}  // namespace ingot::registry
