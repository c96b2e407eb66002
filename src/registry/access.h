// Access: who a client of the registry is, and what it may do there.
//
// Guard stands in front of every request: it finds out who asks (a client certificate, Basic, or a bearer
// token that GET /v2/token gave), checks the rules of host.yaml for the repository, and only then lets the
// request be answered. Passwords are checked by bcrypt, which takes 50 ms: never on the caller's thread but
// in the Exchange, and once for some minutes. docs/formats/registry.md, "Access".
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/clock.h"
#include "base/file.h"
#include "base/result.h"
#include "base/sync.h"
#include "definition/host.h"
#include "registry/failure_limit.h"
#include "registry/htpasswd.h"
#include "registry/message.h"
#include "registry/route.h"
#include "registry/token.h"

namespace ingot::registry {

class Access {
 public:
  using Next = std::function<std::unique_ptr<Exchange>(const Request&)>;

  // `htpasswd`: the file; empty: none. kInvalid, kNotFound, kIo: it cannot be used. `clock` must outlive it.
  static Result<std::unique_ptr<Access>> Open(definition::HostRegistry rules, fs::path htpasswd,
                                              const Clock& clock);

  // What answers the request: `next`, or a refusal. 401 with a challenge: to whom could be somebody; 403: who
  // is known and may not; 429: an address that guesses. Any thread.
  std::unique_ptr<Exchange> Guard(const Request& request, Next next);
  // Reads the users again when their file has changed; a file that cannot be read leaves those that were.
  Result<void> Refresh();

 private:
  friend class LoginExchange;
  enum class Right { kRead, kPush, kRemove };

  Access(definition::HostRegistry rules, fs::path htpasswd, const Clock& clock);
  bool May(const std::string& who, const std::string& repository, Right right) const;
  // With who it is. `token`: null when it proved itself otherwise.
  std::unique_ptr<Exchange> Enter(const Request& request, const std::string& who, const AccessToken* token,
                                  const Next& next) const;
  std::optional<Response> Refusal(const Request& request, const Route& route, const std::string& who,
                                  const AccessToken* token) const;
  // Whether a mount of the request may look where it wants to.
  bool MountAllowed(const Request& request, const std::string& who, const AccessToken* token) const;
  Response Challenge(const Request& request, const Route& route, std::string_view error) const;
  Response IssueToken(const Request& request, const std::string& who) const;
  // Blocks for the time of a hash.
  bool Check(const BasicLogin& login, const std::string& address);
  bool IsRemembered(const BasicLogin& login) const;
  std::string RememberedKey(const BasicLogin& login, const std::string& hash) const;

  struct FileState {
    int64_t size = -1;
    int64_t changed_ns = 0;
    uint64_t inode = 0;
    bool operator==(const FileState&) const = default;
  };
  const definition::HostRegistry rules_;
  const fs::path htpasswd_;
  const Clock& clock_;
  const std::string key_;         // of tokens and of what is remembered; dies with the process
  const std::string dummy_hash_;  // who does not exist takes as long as who does
  mutable Sync<std::shared_ptr<const Htpasswd>> users_;
  FileState file_state_;                                                  // of Refresh's thread
  mutable Sync<std::unordered_map<std::string, SteadyTime>> remembered_;  // until when
  FailureLimit failures_;
};

}  // namespace ingot::registry
