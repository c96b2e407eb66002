#include "adapters/registry_loop.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "adapters/http_head.h"
#include "adapters/registry_connection.h"
#include "adapters/tls_server.h"

namespace ingot::adapters {
namespace {

constexpr uint64_t kListenerEvent = 0;
constexpr uint64_t kPostedEvent = 1;
constexpr size_t kEventsAtOnce = 128;
constexpr int kAcceptsAtOnce = 4;
constexpr auto kSweepEvery = std::chrono::seconds(1);
constexpr auto kStopGrace = std::chrono::seconds(5);

Result<void> WatchFd(int epoll, int fd, uint32_t events, uint64_t id) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0) return {};
  return ErrnoError(errno, "watch a socket");
}

}  // namespace

RegistryLoop::RegistryLoop(const RegistryServer::Options& options, registry::Registry& registry,
                           WorkerPool& workers, WorkerPool& makers, WorkerPool& waiters, int listener)
    : options_(options),
      registry_(registry),
      workers_(workers),
      makers_(makers),
      waiters_(waiters),
      listener_(listener),
      limit_(std::max<size_t>(options.connections / options.loops, 1)) {}

Result<std::unique_ptr<RegistryLoop>> RegistryLoop::Start(const RegistryServer::Options& options,
                                                          registry::Registry& registry, WorkerPool& workers,
                                                          WorkerPool& makers, WorkerPool& waiters,
                                                          int listener) {
  std::unique_ptr<RegistryLoop> loop(new RegistryLoop(options, registry, workers, makers, waiters, listener));
  loop->epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  loop->event_.reset(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!loop->epoll_.valid() || !loop->event_.valid()) return ErrnoError(errno, "make an event loop");
  TRY(WatchFd(loop->epoll_.get(), loop->event_.get(), EPOLLIN | EPOLLET, kPostedEvent));
  loop->SetListening(true);
  loop->thread_ = std::thread([raw = loop.get()] { raw->Run(); });
  return loop;
}

RegistryLoop::~RegistryLoop() {
  Stop();
}

void RegistryLoop::Stop() {
  stop_asked_ = true;
  Post([] {});
  if (thread_.joinable()) thread_.join();
}

void RegistryLoop::Post(std::function<void()> work) {
  bool first = false;
  {
    auto posted = posted_.lock();
    first = posted->empty();
    posted->push_back(std::move(work));
  }
  const uint64_t one = 1;
  // It cannot fail but by being full of wake-ups already.
  if (first) static_cast<void>(::write(event_.get(), &one, sizeof one) == sizeof one);
}

void RegistryLoop::Wake(uint64_t id) {
  Post([this, id] { Continue(id); });
}

RegistryConnection* RegistryLoop::Find(uint64_t id) {
  const auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second.get();
}

void RegistryLoop::Continue(uint64_t id) {
  if (RegistryConnection* connection = Find(id)) connection->Continue();
}

bool RegistryLoop::TakePiece(Piece& piece, uint64_t id) {
  if (pieces_.lock()->Take(piece)) return true;
  starved_.push_back(id);
  starving_ = true;
  // One may have been given just before that could be seen.
  return pieces_.lock()->Take(piece);
}

void RegistryLoop::GivePiece(Piece piece) {
  if (!piece.data) return;
  pieces_.lock()->Give(std::move(piece));
  if (!starving_.exchange(false)) return;
  // All of them: the first may have gone, and who finds none waits again.
  Post([this] {
    again_.insert(again_.end(), starved_.begin(), starved_.end());
    starved_.clear();
  });
}

const std::string& RegistryLoop::date() {
  const int64_t second =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  if (second != std::exchange(date_second_, second)) date_ = HttpDate(second);
  return date_;
}

void RegistryLoop::SetListening(bool on) {
  if (on == listening_) return;
  // Several loops wait; one is woken.
  if (on) {
    listening_ = WatchFd(epoll_.get(), listener_, EPOLLIN | EPOLLEXCLUSIVE, kListenerEvent).has_value();
  } else {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener_, nullptr);
    listening_ = false;
  }
}

void RegistryLoop::Accept() {
  // A few at a time, so that the other loops get their share.
  for (int i = 0; i < kAcceptsAtOnce && !Full(); ++i) {
    TcpAddress peer;
    peer.size = sizeof peer.address;
    Fd socket(::accept4(listener_, reinterpret_cast<sockaddr*>(&peer.address), &peer.size,
                        SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.valid()) {
      // Too many descriptors: again at the next sweep.
      if (errno == EMFILE || errno == ENFILE) SetListening(false);
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return;
    }
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const uint64_t id = next_id_++;
    const int fd = socket.get();
    std::unique_ptr<TlsStream> tls;
    if (options_.tls != nullptr && !(tls = options_.tls->Accept(fd))) continue;
    auto connection =
        std::make_unique<RegistryConnection>(*this, id, std::move(socket), peer.Network(), std::move(tls));
    if (!WatchFd(epoll_.get(), fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, id)) continue;
    connections_.emplace(id, std::move(connection));
  }
  if (Full()) SetListening(false);
}

void RegistryLoop::RunPosted() {
  uint64_t count = 0;
  static_cast<void>(::read(event_.get(), &count, sizeof count) > 0);
  std::vector<std::function<void()>> work;
  work.swap(*posted_.lock());
  for (auto& each : work) each();
}

void RegistryLoop::Sweep() {
  swept_ = now_;
  for (auto& [id, connection] : connections_) {
    connection->CheckDeadline();
    if (stopping_ && (connection->Idle() || now_ >= stop_by_)) connection->Close();
  }
  std::erase_if(connections_, [](const auto& entry) { return entry.second->Done(); });
  if (!stopping_ && !Full()) SetListening(true);
}

int RegistryLoop::Timeout() const {
  if (!again_.empty()) return 0;
  if (stopping_) return 50;
  // Nothing can become late while nobody is connected.
  return connections_.empty() && listening_ ? -1 : 1000;
}

void RegistryLoop::Run() {
  ::prctl(PR_SET_NAME, "registry");
  std::array<epoll_event, kEventsAtOnce> events;
  while (true) {
    const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), Timeout());
    now_ = std::chrono::steady_clock::now();
    bool accept = false;
    for (int i = 0; i < n; ++i) {
      const uint64_t id = events[static_cast<size_t>(i)].data.u64;
      if (id == kListenerEvent) {
        accept = true;
      } else if (id == kPostedEvent) {
        RunPosted();
      } else if (RegistryConnection* connection = Find(id)) {
        connection->OnEvent(events[static_cast<size_t>(i)].events);
        if (connection->Done()) connections_.erase(id);
      }
    }
    std::vector<uint64_t> again;
    again.swap(again_);
    for (const uint64_t id : again) Continue(id);
    if (stop_asked_ && !stopping_) {
      stopping_ = true;
      stop_by_ = now_ + kStopGrace;
      SetListening(false);
    }
    if (accept && !stopping_) Accept();
    if (stopping_ || now_ - swept_ >= kSweepEvery) Sweep();
    if (stopping_ && connections_.empty()) return;
  }
}

}  // namespace ingot::adapters
