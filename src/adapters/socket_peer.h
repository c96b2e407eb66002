// SocketPeer: the process at the other end of a Unix socket, as the kernel vouches for it (unix(7)).
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace ingot::adapters {

struct SocketPeer {
  std::string name;                 // "root", "alice"; "uid 1000" when the host has no name for it
  std::vector<std::string> groups;  // by name, as when it connected; those without a name are left out
  bool root = false;
};

// What cannot be read is nobody: never root, and in no group.
SocketPeer PeerOf(int socket);

// The cheap part of it.
bool IsRoot(int socket);

// kNotFound when the host has none of this name.
Result<gid_t> GroupByName(const std::string& name);

}  // namespace ingot::adapters
