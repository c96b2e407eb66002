#include "adapters/metrics_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <thread>

#include "adapters/http_head.h"
#include "base/clock.h"

namespace ingot::adapters {
namespace {

constexpr auto kScrapeTime = std::chrono::seconds(5);
constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

class ThreadedMetricsServer final : public MetricsServer {
 public:
  explicit ThreadedMetricsServer(std::function<std::string()> text) : text_(std::move(text)) {}
  ~ThreadedMetricsServer() override {
    const uint64_t one = 1;
    // It cannot fail but by being full of wake-ups already.
    if (stop_.valid()) static_cast<void>(::write(stop_.get(), &one, sizeof one) == sizeof one);
    if (thread_.joinable()) thread_.join();
  }
  Result<void> Start(const TcpAddress& address) {
    listener_ = TRY(ListenTcp(address));
    address_ = TRY(BoundAddress(listener_.get()));
    stop_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!stop_.valid()) return ErrnoError(errno, "make an event descriptor");
    thread_ = std::thread([this] { Loop(); });
    return {};
  }
  TcpAddress address() const override { return address_; }

 private:
  // True: `fd` is ready. False: it is time to stop, or too late.
  bool Wait(int fd, short events, SteadyTime until) const {
    while (true) {
      const auto left =
          std::chrono::duration_cast<Milliseconds>(until - std::chrono::steady_clock::now()).count();
      std::array<pollfd, 2> both{{{fd, events, 0}, {stop_.get(), POLLIN, 0}}};
      const int n = ::poll(both.data(), both.size(), static_cast<int>(std::max<int64_t>(left, 0)));
      if (n < 0 && errno == EINTR) continue;
      return n > 0 && both[1].revents == 0;
    }
  }

  void Loop() {
    while (true) {
      std::array<pollfd, 2> both{{{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
      if (::poll(both.data(), both.size(), -1) < 0 && errno != EINTR) return;
      if (both[1].revents != 0) return;
      Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (socket.valid()) Serve(socket.get());
    }
  }

  void Serve(int socket) {
    const SteadyTime until = std::chrono::steady_clock::now() + kScrapeTime;
    std::string input;
    HttpHead head;
    HeadStatus status = HeadStatus::kIncomplete;
    while (status == HeadStatus::kIncomplete) {
      if (!Wait(socket, POLLIN, until)) return;
      std::array<char, 4096> buffer;
      const ssize_t n = ::recv(socket, buffer.data(), buffer.size(), 0);
      if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return;
      if (n < 0) continue;
      const size_t searched = input.size();
      input.append(buffer.data(), static_cast<size_t>(n));
      status = ParseHead(input, searched, head);
    }
    registry::Response response;
    response.With("Content-Type", kMetricsType);
    if (status != HeadStatus::kComplete) {
      response.status = 400;
    } else if (head.request.path != "/metrics") {
      response.status = 404;
    } else if (head.request.method != "GET" && head.request.method != "HEAD") {
      response.status = 405;
    } else {
      response.text = text_();
    }
    std::string output;
    AppendHead(output, response, response.text.size(), false, HttpDate(std::time(nullptr)));
    if (head.request.method != "HEAD") output += response.text;
    size_t sent = 0;
    while (sent < output.size() && Wait(socket, POLLOUT, until)) {
      const ssize_t n = ::send(socket, output.data() + sent, output.size() - sent, MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN && errno != EINTR) return;
      if (n > 0) sent += static_cast<size_t>(n);
    }
  }

  std::function<std::string()> text_;
  Fd listener_;
  TcpAddress address_;
  Fd stop_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<MetricsServer>> MetricsServer::Listen(const TcpAddress& address,
                                                             std::function<std::string()> text) {
  auto server = std::make_unique<ThreadedMetricsServer>(std::move(text));
  TRY(server->Start(address));
  return std::unique_ptr<MetricsServer>(std::move(server));
}

}  // namespace ingot::adapters
