#include "build/http_probe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <thread>

#include "base/fd.h"

namespace ingot::build {
namespace {

constexpr size_t kMaxAnswer = 4096;

// A socket keeps the network namespace it was made in, so only its making needs a thread that enters it.
Result<Fd> SocketIn(int network_namespace) {
  Result<Fd> made = Error(Code::kInternal, "no socket");
  std::thread([&] {
    if (::setns(network_namespace, CLONE_NEWNET) < 0) {
      made = ErrnoError(errno, "enter the network namespace of the image under test");
      return;
    }
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
      made = ErrnoError(errno, "make a socket");
    else
      made = Fd(fd);
  }).join();
  return made;
}

Result<void> WaitFor(int fd, short events, std::chrono::steady_clock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::ceil<Milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    struct pollfd poll = {fd, events, 0};
    const int n = left <= 0 ? 0 : ::poll(&poll, 1, static_cast<int>(std::min<int64_t>(left, 1 << 30)));
    if (n > 0) return {};
    if (n == 0) return Error(Code::kTimeout, "no answer in time");
    if (errno != EINTR) return ErrnoError(errno, "wait for an answer");
  }
}

// "HTTP/1.1 200 OK" → 200.
std::optional<int> StatusOf(std::string_view answer) {
  if (!answer.starts_with("HTTP/1.") || answer.size() < 12 || answer[8] != ' ') return std::nullopt;
  int status = 0;
  const auto [end, error] = std::from_chars(answer.data() + 9, answer.data() + 12, status);
  if (error != std::errc() || end != answer.data() + 12 || status < 100) return std::nullopt;
  return status;
}

}  // namespace

Result<int> ProbeHttp(int network_namespace, uint16_t port, const std::string& path, Milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  const Fd socket = TRY(SocketIn(network_namespace));
  struct sockaddr_in address {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    if (errno != EINPROGRESS) return ErrnoError(errno, "connect to port " + std::to_string(port));
    TRY(WaitFor(socket.get(), POLLOUT, deadline));
    int failed = 0;
    socklen_t size = sizeof failed;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &failed, &size);
    if (failed != 0) return ErrnoError(failed, "connect to port " + std::to_string(port));
  }
  const std::string request = "GET " + path +
                              " HTTP/1.1\r\nHost: localhost\r\nUser-Agent: ingot-image-test\r\n"
                              "Accept: */*\r\nConnection: close\r\n\r\n";
  std::string_view rest = request;
  while (!rest.empty()) {
    const ssize_t sent = ::send(socket.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      rest.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      TRY(WaitFor(socket.get(), POLLOUT, deadline));
    } else if (errno != EINTR) {
      return ErrnoError(errno, "send a request to port " + std::to_string(port));
    }
  }
  std::string answer;
  while (answer.size() < kMaxAnswer && answer.find('\n') == std::string::npos) {
    char buffer[1024];
    const ssize_t got = ::recv(socket.get(), buffer, sizeof buffer, 0);
    if (got == 0) break;
    if (got > 0) {
      answer.append(buffer, static_cast<size_t>(got));
    } else if (errno == EAGAIN) {
      TRY(WaitFor(socket.get(), POLLIN, deadline));
    } else if (errno != EINTR) {
      return ErrnoError(errno, "read the answer of port " + std::to_string(port));
    }
  }
  const auto status = StatusOf(answer);
  if (!status) return Error(Code::kInvalid, "port " + std::to_string(port) + " does not speak HTTP/1");
  return *status;
}

}  // namespace ingot::build
