// Where everything lies below one root directory. The only place that knows it; components get the paths they
// need.
#pragma once

#include <string>

#include "base/file.h"

namespace ingot::app {

struct Layout {
  fs::path root;  // absolute
  // The host's configuration as --host-config names it; empty: not given (host_config.h).
  std::string host_config = {};
  // The key of the secrets as --secrets-key names it; empty: not given (secret_keys.h).
  std::string secrets_key = {};

  fs::path objects() const { return root / "objects"; }
  fs::path store_db() const { return root / "store.db"; }
  fs::path state_db() const { return root / "state.db"; }
  fs::path logs() const { return root / "logs"; }
  fs::path artifacts() const { return root / "artifacts"; }  // of runs of jobs, by instance
  fs::path registry_log() const { return logs() / "registry" / "access.log"; }
  fs::path secrets() const { return root / "secrets"; }
  fs::path own_secrets_key() const { return root / "secrets.key"; }
  fs::path tokens() const { return root / "tokens.json"; }
  fs::path volumes() const { return root / "volumes"; }
  fs::path acme() const { return root / "acme"; }  // certificates from an authority (acme_service.h)
  fs::path scripts() const { return root / "scripts"; }
  fs::path cache() const { return root / "cache"; }
  // There while a restore is under way, or was cut off: then the rest is no root.
  fs::path restoring() const { return root / ".restore"; }
  fs::path tmp() const { return root / "tmp"; }
  // What does not outlive a reboot: sockets, namespaces, mounts. /run/ingot for the default root.
  fs::path run() const { return root == "/var/lib/ingot" ? fs::path("/run/ingot") : root / "run"; }
  fs::path socket() const { return run() / "api.sock"; }
  fs::path daemon_lock() const { return run() / "daemon.lock"; }
  // Distinguishes what several roots own in host-wide name spaces: 8 hexadecimal digits.
  std::string key() const;

  // From --root, INGOT_ROOT or the default; made absolute, not created.
  static Layout From(const std::string& option);
};

}  // namespace ingot::app
