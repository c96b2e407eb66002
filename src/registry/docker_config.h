// Docker's config.json, as far as it says who somebody is to a registry (docker login, credential helpers).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ingot::registry {

struct Credential {
  std::string username;
  std::string password;
  // Instead of both: an OAuth refresh token.
  std::string identity_token;
  bool operator==(const Credential&) const = default;
};

struct DockerConfig {
  std::map<std::string, Credential> auths;          // by "host[:port][/path]", as written but for the scheme
  std::map<std::string, std::string> cred_helpers;  // host → helper's name
  std::string creds_store;                          // the helper for all other hosts

  // kInvalid names the member. Entries of `auths` without a password (a helper has it) are left out.
  static Result<DockerConfig> Parse(std::string_view bytes);

  // What stands there for `registry` ("docker.io", "registry.example:5000") and its `repository`: the longest
  // entry of `auths` that is a prefix of both.
  std::optional<Credential> Find(const std::string& registry, const std::string& repository) const;
  // The helper that is to be asked first, and what it is to be asked for; "" for none.
  struct Helper {
    std::string name;
    std::string server;
  };
  Helper FindHelper(const std::string& registry) const;
};

// What `docker-credential-NAME get` prints. kInvalid.
Result<Credential> ParseHelperAnswer(std::string_view bytes);

}  // namespace ingot::registry
