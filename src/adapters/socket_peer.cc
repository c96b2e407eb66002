#include "adapters/socket_peer.h"

#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>

namespace ingot::adapters {

namespace {

// A group with many members needs a large buffer; a larger one than this is somebody's mistake.
constexpr size_t kMostBytes = size_t{1} << 20;

// Calls one of getpwuid_r and its kind with a buffer that suffices; null: there is no such entry.
template <typename Entry, typename Look>
Entry* LookUp(Entry& entry, std::vector<char>& buffer, Look look) {
  Entry* found = nullptr;
  for (buffer.resize(1024); buffer.size() <= kMostBytes; buffer.resize(buffer.size() * 4)) {
    const int error = look(&entry, buffer.data(), buffer.size(), &found);
    if (error == EINTR) continue;
    if (error != ERANGE) return error == 0 ? found : nullptr;
  }
  return nullptr;
}

std::optional<std::string> GroupName(gid_t gid) {
  struct group entry {};
  std::vector<char> buffer;
  const auto* found = LookUp(entry, buffer, [gid](auto* to, char* bytes, size_t size, auto** out) {
    return ::getgrgid_r(gid, to, bytes, size, out);
  });
  if (found == nullptr) return std::nullopt;
  return std::string(found->gr_name);
}

std::string UserName(uid_t uid) {
  struct passwd entry {};
  std::vector<char> buffer;
  const auto* found = LookUp(entry, buffer, [uid](auto* to, char* bytes, size_t size, auto** out) {
    return ::getpwuid_r(uid, to, bytes, size, out);
  });
  return found == nullptr ? "uid " + std::to_string(uid) : found->pw_name;
}

}  // namespace

SocketPeer PeerOf(int socket) {
  struct ucred peer {};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) return {"unknown", {}, false, {}};
  SocketPeer out{UserName(peer.uid), {}, peer.uid == 0, {}};
  std::vector<gid_t> groups(64);
  size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  // ERANGE tells in `size` how many there are.
  int got = ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
  if (got < 0 && errno == ERANGE) {
    groups.resize(size / sizeof(gid_t));
    got = ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
  }
  groups.resize(got < 0 ? 0 : size / sizeof(gid_t));
  groups.push_back(peer.gid);
  for (const gid_t gid : groups)
    if (auto name = GroupName(gid)) out.groups.push_back(*std::move(name));
  return out;
}

bool IsRoot(int socket) {
  struct ucred peer {};
  socklen_t size = sizeof peer;
  return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == 0;
}

Result<gid_t> GroupByName(const std::string& name) {
  struct group entry {};
  std::vector<char> buffer;
  const auto* found = LookUp(entry, buffer, [&](auto* to, char* bytes, size_t size, auto** out) {
    return ::getgrnam_r(name.c_str(), to, bytes, size, out);
  });
  if (found == nullptr)
    return Error(Code::kNotFound,
                 "this host has no group \"" + name + "\"; `groupadd --system " + name + "` makes it");
  return found->gr_gid;
}

}  // namespace ingot::adapters
