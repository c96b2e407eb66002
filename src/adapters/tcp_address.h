// A TCP address to listen on.
#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace ingot::adapters {

struct TcpAddress {
  sockaddr_storage address{};
  socklen_t size = 0;

  // "127.0.0.1:5000", "[::1]:5000"; ":5000" is every IPv4 address. Numbers only; port 0: the kernel chooses.
  // kInvalid.
  static Result<TcpAddress> Parse(std::string_view text);
  std::string Render() const;
  // The address without its port; of IPv6 the /64, which is what one client has.
  std::string Network() const;
  // Only processes of this host reach it.
  bool IsLoopback() const;
};

// A listening socket, not blocking. kConflict when the address is in use.
Result<Fd> ListenTcp(const TcpAddress& address);
// Where it really listens.
Result<TcpAddress> BoundAddress(int socket);

}  // namespace ingot::adapters
