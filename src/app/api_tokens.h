// Tokens of the API: who may come from another host, and what each may there (docs/formats/api.md, "Tokens").
//
// A token is 256 random bits, told once; what is kept, in `tokens.json` below the root, is its SHA-256.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/result.h"
#include "base/sync.h"

namespace ingot::app {

struct ApiToken {
  std::string name;              // "ci"
  std::string hash;              // SHA-256 of the token: 64 hexadecimal digits
  std::vector<std::string> in;   // "shop/staging", "shop/*": environments (base/glob.h)
  std::vector<std::string> may;  // "deploy", "rollback", …; "admin" alone: everything, everywhere
  WallTime created{};
  std::optional<WallTime> expires;  // unset: never
  std::string created_by;
  bool IsAdmin() const { return !may.empty() && may.front() == "admin"; }
};

// Without the hash. For people and programs.
Json ToJson(const ApiToken& token);

// Any thread. One process, the daemon, has the file.
class ApiTokens {
 public:
  // kCorrupt: the file is not one that was written here. `clock` must outlive it.
  static Result<std::unique_ptr<ApiTokens>> Open(fs::path file, const Clock& clock);

  // Of `wanted` name, in, may and created_by; `lifetime`: unset, for ever. Returns the token itself, which is
  // kept nowhere; durable when it returns. kExists: there is one of that name that has not expired. kInvalid:
  // a name, a right or a place that cannot be.
  Result<std::string> Create(ApiToken wanted, std::optional<Milliseconds> lifetime);
  // At once in force. kNotFound.
  Result<void> Remove(const std::string& name);
  std::vector<ApiToken> List();
  // Unset: no such token, removed or expired. Takes as long whichever it is.
  std::optional<ApiToken> Find(std::string_view token);

 private:
  ApiTokens(fs::path file, const Clock& clock) : file_(std::move(file)), clock_(clock) {}
  Result<void> Save(const std::vector<ApiToken>& tokens) const;
  const fs::path file_;
  const Clock& clock_;
  Sync<std::vector<ApiToken>> tokens_;  // sorted by name
  bool unsaved_ = false;                // a removal that the disk did not take; with tokens_ held
};

}  // namespace ingot::app
