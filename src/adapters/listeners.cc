#include "adapters/listeners.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <sstream>
#include <thread>

#include "base/file.h"

namespace ingot::adapters {

namespace {

Error NoIpv6(const ListenAddress& address, const std::string& why) {
  return Error(Code::kUnavailable, "cannot listen on " + address.Render() + ": this host has no IPv6 (" +
                                       why + "); switch it on, or choose an IPv4 listener");
}

// The kernel lets sockets of one user share a port when each of them allows it. They allow it for this moment
// only: who comes later, be it another Ingot, has to hear that the port is taken.
class SharedPort {
 public:
  explicit SharedPort(std::vector<int> sockets) : sockets_(std::move(sockets)) { Allow(1); }
  ~SharedPort() { Allow(0); }

 private:
  void Allow(int on) const {
    for (const int fd : sockets_) ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  }
  std::vector<int> sockets_;
};

Result<Fd> OpenHere(const ListenAddress& address, const std::vector<int>& beside) {
  const bool v6 = address.IsIpv6();
  Fd fd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid() && v6 && errno == EAFNOSUPPORT) return NoIpv6(address, "its kernel has none");
  if (!fd.valid()) return ErrnoError(errno, "open a socket");
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  std::optional<SharedPort> shared;
  if (!beside.empty()) {
    std::vector<int> all = beside;
    all.push_back(fd.get());
    shared.emplace(std::move(all));
  }
  struct sockaddr_storage storage {};
  socklen_t size = sizeof(struct sockaddr_in);
  if (v6) {
    // So that ":80" and "[::]:80" are two listeners that may both be there.
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    auto* in6 = reinterpret_cast<struct sockaddr_in6*>(&storage);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(address.port);
    ::inet_pton(AF_INET6, address.address.c_str(), &in6->sin6_addr);
    size = sizeof(struct sockaddr_in6);
  } else {
    auto* in = reinterpret_cast<struct sockaddr_in*>(&storage);
    in->sin_family = AF_INET;
    in->sin_port = htons(address.port);
    ::inet_pton(AF_INET, address.address.c_str(), &in->sin_addr);
  }
  int failed = 0;
  if (::bind(fd.get(), reinterpret_cast<struct sockaddr*>(&storage), size) < 0 ||
      ::listen(fd.get(), 4096) < 0)
    failed = errno;
  if (v6 && failed == EADDRNOTAVAIL && !WhyNoIpv6().empty()) return NoIpv6(address, WhyNoIpv6());
  if (failed == EADDRNOTAVAIL)
    return Error(Code::kUnavailable, "cannot listen on " + address.Render() +
                                         ": this host does not have the address " + address.address +
                                         "; give it one, or choose another listener");
  if (failed == EADDRINUSE) {
    const std::string owner = ListenerOwner(address.port);
    return Error(Code::kConflict, "cannot listen on " + address.Render() + ": port " +
                                      std::to_string(address.port) + " is in use" +
                                      (owner.empty() ? "" : " by " + owner) +
                                      "; stop that program or choose another port");
  }
  if (failed != 0) return ErrnoError(failed, "listen on " + address.Render());
  return fd;
}

// "/proc/self/fd/N/name": reaches the directory without its path, whatever that is.
Result<struct sockaddr_un> UnixAddress(int directory, const std::string& name) {
  struct sockaddr_un un {};
  un.sun_family = AF_UNIX;
  const std::string path = "/proc/self/fd/" + std::to_string(directory) + "/" + name;
  if (path.size() >= sizeof un.sun_path)
    return Error(Code::kInternal, "the socket name " + name + " is too long");
  std::memcpy(un.sun_path, path.c_str(), path.size() + 1);
  return un;
}

// Inodes of the sockets that listen on the port, from /proc/net/tcp{,6}.
std::vector<std::string> ListeningInodes(uint16_t port) {
  std::vector<std::string> inodes;
  for (const char* table : {"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"}) {
    auto text = ReadFile(table, size_t{16} << 20);
    if (!text) continue;
    std::istringstream lines(*text);
    std::string line;
    std::getline(lines, line);
    while (std::getline(lines, line)) {
      std::istringstream cells(line);
      std::string slot, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
      cells >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >> inode;
      const size_t colon = local.find(':');
      if (state != "0A" || colon == std::string::npos) continue;
      if (std::strtoul(local.c_str() + colon + 1, nullptr, 16) == port)
        inodes.push_back("socket:[" + inode + "]");
    }
  }
  return inodes;
}

}  // namespace

Result<ListenAddress> ListenAddress::Parse(std::string_view text) {
  ListenAddress out;
  const size_t colon = text.rfind(':');
  const auto bad = [&] {
    return Error(Code::kInvalid,
                 "\"" + std::string(text.substr(0, 100)) +
                     "\" is not a listener; expected \":8000\", \"127.0.0.1:8000\" or \"[::1]:8000\"");
  };
  if (colon == std::string_view::npos) return bad();
  const std::string_view port = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (error != std::errc() || end != port.data() + port.size() || out.port == 0 || port.front() == '0')
    return bad();
  out.address = colon == 0 ? "0.0.0.0" : std::string(text.substr(0, colon));
  const bool brackets = out.address.size() > 2 && out.address.front() == '[' && out.address.back() == ']';
  if (brackets) out.address = out.address.substr(1, out.address.size() - 2);
  unsigned char parsed[sizeof(struct in6_addr)];
  char canonical[INET6_ADDRSTRLEN];
  const int family = brackets ? AF_INET6 : AF_INET;
  // "0.0.0.0:1" and "[0::1]:1" are refused so that an address has one text.
  if (::inet_pton(family, out.address.c_str(), parsed) != 1 ||
      ::inet_ntop(family, parsed, canonical, sizeof canonical) == nullptr || out.address != canonical ||
      out.Render() != text)
    return bad();
  return out;
}

std::string ListenAddress::Render() const {
  return (address == "0.0.0.0" ? "" : IsIpv6() ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

bool ListenAddress::Overlaps(const ListenAddress& other) const {
  const std::string_view every = IsIpv6() ? "::" : "0.0.0.0";
  return port == other.port && IsIpv6() == other.IsIpv6() &&
         (address == other.address || address == every || other.address == every);
}

std::string WhyNoIpv6() {
  Fd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno == EAFNOSUPPORT ? "its kernel has none" : "";
  auto off = ReadFile("/proc/sys/net/ipv6/conf/lo/disable_ipv6", 16);
  auto all = ReadFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", 16);
  if (off && off->starts_with('1') && all && all->starts_with('1'))
    return "net.ipv6.conf.all.disable_ipv6 is 1";
  return "";
}

Result<Fd> OpenListener(const ListenAddress& address, int network_namespace, const std::vector<int>& beside) {
  if (network_namespace < 0) return OpenHere(address, beside);
  Result<Fd> result = Error(Code::kInternal, "no thread");
  std::thread([&] {
    if (::setns(network_namespace, CLONE_NEWNET) < 0)
      result = ErrnoError(errno, "enter the router's network namespace");
    else
      result = OpenHere(address, beside);
  }).join();
  return result;
}

Result<void> StepAside(int listener, bool aside) {
  // Bound to an interface that there is not, it is no longer found for a new connection, but the handshakes
  // under way know it, and what it has accepted stays in its queue.
  const int interface = aside ? std::numeric_limits<int>::max() : 0;
  if (::setsockopt(listener, SOL_SOCKET, SO_BINDTOIFINDEX, &interface, sizeof interface) < 0)
    return ErrnoError(errno, "lead new connections to another listener");
  return {};
}

Result<Fd> OpenUnixListener(int directory, const std::string& name, uint32_t uid, uint32_t gid) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoError(errno, "open a socket");
  const struct sockaddr_un un = TRY(UnixAddress(directory, name));
  if (::unlinkat(directory, name.c_str(), 0) < 0 && errno != ENOENT)
    return ErrnoError(errno, "remove the socket " + name);
  if (::fchmod(fd.get(), 0600) < 0 ||
      ::bind(fd.get(), reinterpret_cast<const struct sockaddr*>(&un), sizeof un) < 0 ||
      ::fchmodat(directory, name.c_str(), 0600, 0) < 0 ||
      ::fchownat(directory, name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) < 0 || ::listen(fd.get(), 4096) < 0)
    return ErrnoError(errno, "listen on the socket " + name);
  return fd;
}

Result<Fd> ConnectUnix(int directory, const std::string& name) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoError(errno, "open a socket");
  const struct sockaddr_un un = TRY(UnixAddress(directory, name));
  while (::connect(fd.get(), reinterpret_cast<const struct sockaddr*>(&un), sizeof un) < 0) {
    if (errno == EINTR) continue;
    if (errno == ENOENT || errno == ECONNREFUSED)
      return Error(Code::kUnavailable, "nothing answers on the socket " + name);
    return ErrnoError(errno, "connect to the socket " + name);
  }
  return fd;
}

std::string ListenerOwner(uint16_t port) {
  const auto inodes = ListeningInodes(port);
  auto processes = ListDirectory("/proc");
  if (inodes.empty() || !processes) return "";
  for (const std::string& pid : *processes) {
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    const fs::path folder = fs::path("/proc") / pid / "fd";
    auto descriptors = ListDirectory(folder);
    if (!descriptors) continue;
    for (const std::string& number : *descriptors) {
      std::error_code error;
      const std::string target = fs::read_symlink(folder / number, error).string();
      if (error || std::find(inodes.begin(), inodes.end(), target) == inodes.end()) continue;
      auto name = ReadFile(fs::path("/proc") / pid / "comm", 100);
      if (!name) return "pid " + pid;
      while (!name->empty() && name->back() == '\n') name->pop_back();
      return *name + " (pid " + pid + ")";
    }
  }
  return "";
}

Result<Fd> TakeDescriptor(int pidfd, int number) {
  const long fd = ::syscall(SYS_pidfd_getfd, pidfd, number, 0);
  if (fd < 0) return ErrnoError(errno, "take descriptor " + std::to_string(number) + " from a process");
  Fd taken(static_cast<int>(fd));
  if (::fcntl(taken.get(), F_SETFD, FD_CLOEXEC) < 0) return ErrnoError(errno, "keep a descriptor");
  return taken;
}

}  // namespace ingot::adapters
