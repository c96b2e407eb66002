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

#include "base/fd.h"
#include "base/units.h"

namespace ingot::adapters {

namespace {

struct ReachAddress {
  int family = 0;
  sockaddr_storage address{};
  socklen_t size = 0;
};
using ReachAddresses = Result<std::vector<ReachAddress>>;

ReachAddresses Resolve(const std::string& host, uint16_t port) {
  struct addrinfo hints {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  struct addrinfo* list = nullptr;
  if (const int failed = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
      failed != 0)
    return Error(Code::kNotFound, "the name " + host + " leads nowhere: " + ::gai_strerror(failed));
  std::vector<ReachAddress> out;
  for (const struct addrinfo* one = list; one != nullptr; one = one->ai_next) {
    ReachAddress& to = out.emplace_back();
    to.family = one->ai_family;
    to.size = one->ai_addrlen;
    std::memcpy(&to.address, one->ai_addr, one->ai_addrlen);
  }
  ::freeaddrinfo(list);
  return out;
}

// The resolver has no time limit of ours: it gets a thread of its own, which is left behind when it hangs.
ReachAddresses ResolveWithin(const std::string& host, uint16_t port, Milliseconds within) {
  auto promise = std::make_shared<std::promise<ReachAddresses>>();
  std::future<ReachAddresses> found = promise->get_future();
  std::thread([promise, host, port] { promise->set_value(Resolve(host, port)); }).detach();
  if (found.wait_for(within) == std::future_status::ready) return found.get();
  return Error(Code::kNotFound, "no name server has told of " + host + " within " + RenderDuration(within));
}

// 0, or the errno of the connection; ETIMEDOUT when there was no answer.
int ConnectWithin(const ReachAddress& to, Milliseconds within) {
  const Fd fd(::socket(to.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return errno;
  if (::connect(fd.get(), reinterpret_cast<const struct sockaddr*>(&to.address), to.size) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  const SteadyTime end = std::chrono::steady_clock::now() + within;
  struct pollfd wait {
    fd.get(), POLLOUT, 0
  };
  while (true) {
    const auto left = std::chrono::ceil<Milliseconds>(end - std::chrono::steady_clock::now());
    const int ready = ::poll(&wait, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return errno;
    if (ready == 0) return ETIMEDOUT;
    int failed = 0;
    socklen_t size = sizeof failed;
    return ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &failed, &size) == 0 ? failed : errno;
  }
}

}  // namespace

Result<void> TakesConnections(const std::string& host, uint16_t port, Milliseconds within) {
  const SteadyTime end = std::chrono::steady_clock::now() + within;
  const std::vector<ReachAddress> addresses = TRY(ResolveWithin(host, port, within));
  int failed = ETIMEDOUT;
  for (const ReachAddress& to : addresses) {
    const auto left = std::chrono::ceil<Milliseconds>(end - std::chrono::steady_clock::now());
    if (left <= Milliseconds(0)) break;
    failed = ConnectWithin(to, left);
    if (failed == 0) return {};
  }
  if (failed == ETIMEDOUT) return Error(Code::kUnavailable, "no answer within " + RenderDuration(within));
  return Error(Code::kUnavailable, std::strerror(failed));
}

}  // namespace ingot::adapters
