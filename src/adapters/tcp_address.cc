#include "adapters/tcp_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cerrno>
#include <charconv>
#include <cstring>

namespace ingot::adapters {
namespace {

constexpr int kListenBacklog = 1024;

template <typename T>
TcpAddress TcpAddressOf(const T& address) {
  TcpAddress result;
  std::memcpy(&result.address, &address, sizeof address);
  result.size = sizeof address;
  return result;
}

template <typename T>
T SocketAddressOf(const TcpAddress& address) {
  T result;
  std::memcpy(&result, &address.address, sizeof result);
  return result;
}

}  // namespace

Result<TcpAddress> TcpAddress::Parse(std::string_view text) {
  const Error wrong(Code::kInvalid, "\"" + std::string(text.substr(0, 100)) +
                                        "\" is not an address to listen on; expected 127.0.0.1:5000 or "
                                        "[::1]:5000");
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong;
  const std::string_view digits = text.substr(colon + 1);
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) return wrong;
  std::string host(text.substr(0, colon));
  if (host.starts_with('[') && host.ends_with(']')) {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    host = host.substr(1, host.size() - 2);
    if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) != 1) return wrong;
    return TcpAddressOf(v6);
  }
  if (host.empty()) host = "0.0.0.0";
  if (host == "localhost") host = "127.0.0.1";
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) != 1) return wrong;
  return TcpAddressOf(v4);
}

std::string TcpAddress::Render() const {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET6) {
    const auto v6 = SocketAddressOf<sockaddr_in6>(*this);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return "[" + std::string(text) + "]:" + std::to_string(ntohs(v6.sin6_port));
  }
  const auto v4 = SocketAddressOf<sockaddr_in>(*this);
  ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
  return std::string(text) + ":" + std::to_string(ntohs(v4.sin_port));
}

std::string TcpAddress::Network() const {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET6) {
    auto v6 = SocketAddressOf<sockaddr_in6>(*this);
    std::memset(v6.sin6_addr.s6_addr + 8, 0, 8);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return std::string(text) + "/64";
  }
  const auto v4 = SocketAddressOf<sockaddr_in>(*this);
  ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
  return text;
}

bool TcpAddress::IsLoopback() const {
  if (address.ss_family == AF_INET6) {
    const auto v6 = SocketAddressOf<sockaddr_in6>(*this);
    return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
  }
  return ntohl(SocketAddressOf<sockaddr_in>(*this).sin_addr.s_addr) >> 24 == 127;
}

Result<Fd> ListenTcp(const TcpAddress& address) {
  Fd fd(::socket(address.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoError(errno, "make a socket");
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.address.ss_family == AF_INET6)
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address.address);
  if (::bind(fd.get(), generic, address.size) != 0 || ::listen(fd.get(), kListenBacklog) != 0) {
    if (errno == EADDRINUSE)
      return Error(Code::kConflict, address.Render() + " is in use by another program");
    return ErrnoError(errno, "listen on " + address.Render());
  }
  return fd;
}

Result<TcpAddress> BoundAddress(int socket) {
  TcpAddress bound;
  bound.size = sizeof bound.address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&bound.address), &bound.size) != 0)
    return ErrnoError(errno, "ask for a socket's address");
  return bound;
}

}  // namespace ingot::adapters
