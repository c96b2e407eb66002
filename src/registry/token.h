// AccessToken: what a client may do for a short while, signed by this process (Docker's token specification;
// opaque to clients).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ingot::registry {

// "repository:shop/web:pull,push": a repository and what is wanted or allowed of it.
struct Scope {
  std::string repository;
  bool pull = false;
  bool push = false;
  bool remove = false;  // "delete", or "*" with the others
  bool operator==(const Scope&) const = default;
  bool Empty() const { return !pull && !push && !remove; }

  // Unset: not of a repository, or the name breaks the grammar. Unknown actions are left out.
  static std::optional<Scope> Parse(std::string_view text);
  std::string Render() const;
};

struct AccessToken {
  std::string user;            // empty: anonymous
  int64_t expires_second = 0;  // since the epoch
  std::vector<Scope> scopes;
  bool operator==(const AccessToken&) const = default;

  std::string Sign(std::string_view key) const;
  // Unset: not made by Sign with this key. Whether it has expired is not looked at.
  static std::optional<AccessToken> Open(std::string_view text, std::string_view key);
};

// "Basic bmFtZTpwYXNz" → name and password. Unset when it is no such header (RFC 7617).
struct BasicLogin {
  std::string user;
  std::string password;
};
std::optional<BasicLogin> ParseBasic(std::string_view authorization);
// "Bearer TOKEN" → TOKEN; unset when it is no such header (RFC 6750).
std::optional<std::string_view> ParseBearer(std::string_view authorization);

}  // namespace ingot::registry
