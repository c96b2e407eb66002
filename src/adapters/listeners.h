// Listening sockets, opened in a network namespace of choice, and who holds a port that is taken.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"

namespace ingot::adapters {

// An address and port to listen on. A listener is of IPv4 or of IPv6, never both.
struct ListenAddress {
  std::string address;  // "0.0.0.0" when the text has none; of IPv6 without brackets
  uint16_t port = 0;
  // ":8000", "127.0.0.1:8000", "[::1]:8000"; Render gives back the same text. kInvalid otherwise.
  static Result<ListenAddress> Parse(std::string_view text);
  std::string Render() const;
  bool IsIpv6() const { return address.find(':') != std::string::npos; }
  // True when two programs cannot hold both at once: same port and family, and the same address or one of
  // them is the wildcard.
  bool Overlaps(const ListenAddress& other) const;
  // Every address of its family.
  bool IsWildcard() const { return address == (IsIpv6() ? "::" : "0.0.0.0"); }
  bool operator==(const ListenAddress&) const = default;
};

// Opens a listening TCP socket (SO_REUSEADDR, non-blocking, backlog 4096) in `network_namespace` (-1: the
// caller's), from a thread of its own, so the caller's namespace never changes.
// kConflict when it is taken: names the program and pid that hold it, when they can be found. kUnavailable:
// this host does not have the address, or no IPv6.
//
// `beside`: listening sockets of ours that overlap with it, by the wildcard. Both are open then, and a new
// connection comes to the one with the narrower address. To others the port is as taken as ever.
Result<Fd> OpenListener(const ListenAddress& address, int network_namespace,
                        const std::vector<int>& beside = {});

// A listening socket that is about to be closed while another one overlaps with it: from now on new
// connections come to the other one, and what it has accepted or begun to can still be taken from it. Undone
// by `aside` = false.
Result<void> StepAside(int listener, bool aside);

// Why this host (the caller's network namespace) has no IPv6; "" when it has, or that cannot be told.
std::string WhyNoIpv6();

// A listening Unix stream socket `name` in the directory, owned by uid:gid, mode 0600; replaces what is
// there. The path's length does not matter.
Result<Fd> OpenUnixListener(int directory, const std::string& name, uint32_t uid, uint32_t gid);

// A connection to such a socket. kUnavailable when nobody listens.
Result<Fd> ConnectUnix(int directory, const std::string& name);

// "nginx (pid 812)", or "" when it cannot be told. Looks in the caller's network namespace.
std::string ListenerOwner(uint16_t port);

// The same open file as descriptor `number` of another process (pidfd_getfd(2)).
Result<Fd> TakeDescriptor(int pidfd, int number);

}  // namespace ingot::adapters
