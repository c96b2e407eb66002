// What a registry asks for when it says 401 (RFC 9110 section 11.6.1; Docker's token authentication).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ingot::registry {

struct AuthChallenge {
  std::string scheme;                             // lower case: "bearer", "basic"
  std::map<std::string, std::string> parameters;  // names in lower case
  // "" when it is not there.
  std::string Parameter(const std::string& name) const;
  bool operator==(const AuthChallenge&) const = default;
};

// One WWW-Authenticate header, which may hold several challenges. kInvalid when it breaks the grammar or has
// more than 8 KiB.
Result<std::vector<AuthChallenge>> ParseChallenges(std::string_view header);

// What a token's realm answers: `token`, or OAuth's `access_token`.
struct AuthToken {
  std::string token;
  int expires_in_s = 60;
};
// kInvalid: no JSON object, no token in it, one that no header can carry.
Result<AuthToken> ParseAuthToken(std::string_view bytes);

}  // namespace ingot::registry
