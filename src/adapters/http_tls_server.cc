#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <set>
#include <thread>

#include "adapters/http_connection.h"
#include "adapters/http_server.h"
#include "base/sync.h"

namespace ingot::adapters {
namespace {

constexpr int kRefreshEveryMs = 1'000;

// A peer whose host has gone without a word is noticed: a follower only waits.
void PrepareTlsSocket(int socket) {
  const auto set = [socket](int level, int option, int value) {
    ::setsockopt(socket, level, option, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);
}

class ThreadedTlsServer final : public TlsHttpServer {
 public:
  ThreadedTlsServer(const TlsHttpOptions& options, HttpHandler handler, HttpRules rules)
      : options_(options), handler_(std::move(handler)), rules_(std::move(rules)) {}
  ~ThreadedTlsServer() override { Stop(); }

  Result<void> Start(Fd listener) {
    listener_ = listener.valid() ? std::move(listener) : TRY(ListenTcp(options_.listen));
    address_ = TRY(BoundAddress(listener_.get()));
    stop_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!stop_.valid()) return ErrnoError(errno, "make an event descriptor");
    thread_ = std::thread([this] { AcceptLoop(); });
    return {};
  }
  TcpAddress address() const override { return address_; }

  void Stop() override {
    if (stopping_.exchange(true)) return;
    const uint64_t one = 1;
    // It cannot fail but by being full of wake-ups already.
    if (stop_.valid()) static_cast<void>(::write(stop_.get(), &one, sizeof one) == sizeof one);
    if (thread_.joinable()) thread_.join();
    listener_.reset();
    auto connections = connections_.lock();
    for (const int fd : connections->open) ::shutdown(fd, SHUT_RD);
    while (!connections->open.empty()) connections.Wait(ended_);
  }

 private:
  struct Connections {
    std::set<int> open;
    std::map<std::string, size_t> of_network;
  };

  void AcceptLoop() {
    SteadyTime refreshed = std::chrono::steady_clock::now();
    while (!stopping_) {
      std::array<pollfd, 2> both{{{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
      const int ready = ::poll(both.data(), both.size(), options_.complain ? kRefreshEveryMs : -1);
      const SteadyTime now = std::chrono::steady_clock::now();
      if (options_.complain && now - refreshed >= std::chrono::milliseconds(kRefreshEveryMs)) {
        refreshed = now;
        Complain(options_.tls->Refresh());
      }
      if (ready > 0 && both[0].revents != 0 && !stopping_) Accept();
    }
  }

  void Accept() {
    TcpAddress peer;
    peer.size = sizeof peer.address;
    Fd socket(::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&peer.address), &peer.size,
                        SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.valid()) {
      // Out of descriptors or memory: give others time to finish instead of spinning.
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      return;
    }
    PrepareTlsSocket(socket.get());
    const std::string network = peer.Network();
    auto connections = connections_.lock();
    if (connections->open.size() >= options_.connections) return;
    const auto found = connections->of_network.find(network);
    if (found != connections->of_network.end() && found->second >= options_.of_one_network) return;
    const int fd = socket.release();
    connections->open.insert(fd);
    ++connections->of_network[network];
    std::thread([this, fd, network] { Serve(fd, network); }).detach();
  }

  void Serve(int fd, const std::string& network) {
    std::unique_ptr<HttpWire> wire;
    if (auto tls = options_.tls->Accept(fd)) {
      HttpRequest known;
      known.peer.name = "nobody";
      known.address = network;
      const TlsStream* stream = tls.get();
      wire = MakeTlsWire(Fd(fd), std::move(tls), options_.stall);
      ServeHttp(*wire, {options_.head, options_.idle, options_.stall}, stopping_, handler_, rules_, known,
                [stream] { return stream->Certificate(); });
      wire->Shutdown();
    } else {
      Fd(fd).reset();
    }
    auto connections = connections_.lock();
    wire.reset();
    connections->open.erase(fd);
    if (--connections->of_network[network] == 0) connections->of_network.erase(network);
    ended_.notify_all();
  }

  // Once for each thing that is wrong, not every second.
  void Complain(const Result<void>& refreshed) {
    if (refreshed) complained_.clear();
    if (refreshed) return;
    const std::string text = refreshed.error().Render();
    if (text != std::exchange(complained_, text)) options_.complain(text);
  }

  const TlsHttpOptions options_;
  const HttpHandler handler_;
  const HttpRules rules_;
  std::string complained_;
  Fd listener_;
  TcpAddress address_;
  Fd stop_;
  std::atomic<bool> stopping_{false};
  Sync<Connections> connections_;
  std::condition_variable ended_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<TlsHttpServer>> TlsHttpServer::Listen(const TlsHttpOptions& options,
                                                             HttpHandler handler, HttpRules rules,
                                                             Fd listener) {
  auto server = std::make_unique<ThreadedTlsServer>(options, std::move(handler), std::move(rules));
  TRY(server->Start(std::move(listener)));
  return std::unique_ptr<TlsHttpServer>(std::move(server));
}

}  // namespace ingot::adapters
