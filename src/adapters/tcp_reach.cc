#include "adapters/tcp_reach.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "adapters/tcp_address.h"
#include "base/fd.h"
#include "base/units.h"

namespace ingot::adapters {

namespace {

// Of one name; nobody has more servers behind one.
constexpr size_t kMostAsked = 16;

Result<std::vector<TcpAddress>> Resolve(const std::string& host, uint16_t port) {
  struct addrinfo hints {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  struct addrinfo* list = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (failed == EAI_NONAME || failed == EAI_NODATA)
    return Error(Code::kNotFound, "the name " + host + " leads nowhere: " + ::gai_strerror(failed));
  if (failed != 0)
    return Error(Code::kIo, "the name " + host + " could not be looked up: " + ::gai_strerror(failed));
  std::vector<TcpAddress> out;
  for (const struct addrinfo* one = list; one != nullptr && out.size() < kMostAsked; one = one->ai_next) {
    TcpAddress& to = out.emplace_back();
    to.size = one->ai_addrlen;
    std::memcpy(&to.address, one->ai_addr, one->ai_addrlen);
  }
  ::freeaddrinfo(list);
  return out;
}

// The resolver has no time limit of ours: it gets a thread of its own, which is left behind when it hangs.
Result<std::vector<TcpAddress>> ResolveWithin(const std::string& host, uint16_t port, Milliseconds within) {
  auto promise = std::make_shared<std::promise<Result<std::vector<TcpAddress>>>>();
  auto found = promise->get_future();
  std::thread([promise, host, port] { promise->set_value(Resolve(host, port)); }).detach();
  if (found.wait_for(within) == std::future_status::ready) return found.get();
  return Error(Code::kTimeout, "no name server has told of " + host + " within " + RenderDuration(within));
}

// The outcome of a connection that was begun: 0 or its errno.
int OutcomeOf(int socket) {
  int failed = 0;
  socklen_t size = sizeof failed;
  return ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &failed, &size) == 0 ? failed : errno;
}

}  // namespace

Result<void> TakesConnections(const std::string& host, uint16_t port, Milliseconds within) {
  const SteadyTime end = std::chrono::steady_clock::now() + within;
  const std::vector<TcpAddress> addresses = TRY(ResolveWithin(host, port, within));
  int failed = 0;  // what the last of them said
  std::vector<Fd> sockets;
  std::vector<struct pollfd> waits;
  for (const TcpAddress& to : addresses) {
    Fd fd(::socket(to.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid() && errno != EAFNOSUPPORT) return ErrnoError(errno, "make a socket");
    if (!fd.valid()) {
      failed = errno;
      continue;
    }
    if (::connect(fd.get(), reinterpret_cast<const struct sockaddr*>(&to.address), to.size) == 0) return {};
    if (errno != EINPROGRESS) {
      failed = errno;
      continue;
    }
    waits.push_back({fd.get(), POLLOUT, 0});
    sockets.push_back(std::move(fd));
  }
  while (!waits.empty()) {
    const auto left = std::chrono::ceil<Milliseconds>(end - std::chrono::steady_clock::now());
    const int ready =
        ::poll(waits.data(), waits.size(), static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready < 0 && errno != EINTR) return ErrnoError(errno, "wait for an answer of " + host);
    if (ready == 0) return Error(Code::kUnavailable, "no answer within " + RenderDuration(within));
    if (ready < 0) continue;
    for (const struct pollfd& wait : waits)
      if (wait.revents != 0 && (failed = OutcomeOf(wait.fd)) == 0) return {};
    std::erase_if(waits, [](const struct pollfd& wait) { return wait.revents != 0; });
  }
  return Error(Code::kUnavailable, std::strerror(failed));
}

}  // namespace ingot::adapters
