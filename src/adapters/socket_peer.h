// SocketPeer: who is at the other end of a connection. Of a Unix socket the process there, as the kernel
// vouches for it (unix(7)); of a TLS connection whoever has proven to be somebody (app/remote_gate.h).
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace ingot::adapters {

// What somebody may wherever it counts, besides what roles give him.
struct PeerScope {
  std::vector<std::string> in;   // "shop/staging", "shop/*" (base/glob.h)
  std::vector<std::string> may;  // "deploy", "rollback", …
};

struct SocketPeer {
  std::string name;                 // "root", "alice"; "uid 1000" when the host has no name for it
  std::vector<std::string> groups;  // by name, as when it connected; those without a name are left out
  bool root = false;
  PeerScope scope = {};
};

// What cannot be read is nobody: never root, and in no group.
SocketPeer PeerOf(int socket);

// The cheap part of it.
bool IsRoot(int socket);

// kNotFound when the host has none of this name.
Result<gid_t> GroupByName(const std::string& name);

}  // namespace ingot::adapters
