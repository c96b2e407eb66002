// Log-ins at other hosts, as `ingot login` keeps them: `hosts.json` (0600) in $XDG_CONFIG_HOME/ingot or
// ~/.config/ingot (docs/formats/cli.md). What the environment says goes before them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "registry/client_url.h"

namespace ingot::app {

struct RemoteLogin {
  std::string token;     // empty: none
  std::string ca;        // PEM: whom its certificate is believed by; empty: the system's authorities
  fs::path certificate;  // PEM files of ours, absolute; empty: none
  fs::path key;
  bool operator==(const RemoteLogin&) const = default;
};

// "https://staging.example:7443", as every log-in is kept under. kInvalid: no URL, not https, or with a path.
Result<registry::ClientUrl> ParseRemoteUrl(std::string_view text);

class RemoteLogins {
 public:
  // The user's own file. kNotFound: neither XDG_CONFIG_HOME nor HOME says where.
  static Result<RemoteLogins> Open();
  explicit RemoteLogins(fs::path file) : file_(std::move(file)) {}
  const fs::path& file() const { return file_; }

  // Unset: none. kInvalid: the file is not one of ours. kPermission: others than its owner may read it.
  Result<std::optional<RemoteLogin>> Find(const std::string& url) const;
  // Durable; the folder is made (0700).
  Result<void> Set(const std::string& url, const RemoteLogin& login) const;
  // False: there was none.
  Result<bool> Remove(const std::string& url) const;

 private:
  fs::path file_;
};

// What the user has for this host: INGOT_TOKEN, INGOT_CA (a file), INGOT_CLIENT_CERT and INGOT_CLIENT_KEY,
// each in place of what the log-in says. A file that cannot be read is an error, not none.
Result<RemoteLogin> LoginFor(const std::string& url);

}  // namespace ingot::app
