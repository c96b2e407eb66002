#include "adapters/haproxy_mirror.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <future>
#include <thread>

#include "adapters/mirror_answer.h"
#include "adapters/mirror_line.h"
#include "adapters/mirror_rules.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/sync.h"

namespace ingot::adapters {

namespace {

constexpr size_t kMirrorsAtOnce = 64;
constexpr size_t kMirrorsWaiting = 512;
constexpr size_t kMirrorWaitingBytes = size_t{4} << 20;
constexpr size_t kMirrorExamples = 3;
constexpr uint64_t kMirrorWakeId = 0;
constexpr uint64_t kMirrorLinesId = 1;
// Lines that are read before answers are looked at again.
constexpr int kMirrorLinesEach = 256;

struct Copy {
  MirrorLine line;
  std::string request;
  MirrorTarget target;
  SteadyTime deadline{};
};

struct Exchange {
  Copy copy;
  Fd socket;
  size_t sent = 0;
  SteadyTime begun{};
  uint64_t head_ms = 0;
  MirrorAnswer answer;
};

SteadyTime MirrorNow() {
  return std::chrono::steady_clock::now();
}

uint64_t MsSince(SteadyTime begin) {
  return static_cast<uint64_t>(std::chrono::duration_cast<Milliseconds>(MirrorNow() - begin).count());
}

// A datagram socket that HAProxy may write to. A burst has to fit in its queue: 10 lines, unless the
// namespace, when it is our `own`, says otherwise by then.
Result<Fd> OpenMirrorSocket(int directory, uint32_t uid, uint32_t gid, bool own) {
  const Fd queue(own ? ::open("/proc/sys/net/unix/max_dgram_qlen", O_WRONLY | O_CLOEXEC) : -1);
  if (queue.valid()) static_cast<void>(!::write(queue.get(), "1024", 4));
  Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoError(errno, "open a socket");
  struct sockaddr_un un {};
  un.sun_family = AF_UNIX;
  const std::string path = "/proc/self/fd/" + std::to_string(directory) + "/" + kMirrorSocket;
  std::memcpy(un.sun_path, path.c_str(), path.size() + 1);
  if ((::unlinkat(directory, kMirrorSocket, 0) < 0 && errno != ENOENT) ||
      ::bind(fd.get(), reinterpret_cast<const struct sockaddr*>(&un), sizeof un) < 0 ||
      ::fchmodat(directory, kMirrorSocket, 0600, 0) < 0 ||
      ::fchownat(directory, kMirrorSocket, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
    return ErrnoError(errno, std::string("open the socket ") + kMirrorSocket);
  return fd;
}

}  // namespace

class HaproxyMirror::Impl {
 public:
  Impl() : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Impl();

  Result<void> Start(int directory, uint32_t uid, uint32_t gid, int router_namespace);
  void SetTargets(std::map<std::string, MirrorTarget> targets);
  std::map<std::string, platform::ShadowCounters> Counts() { return state_.lock()->counts; }

 private:
  struct State {
    std::map<std::string, MirrorTarget> targets;
    std::map<std::string, platform::ShadowCounters> counts;
    bool closing = false;
  };

  Result<void> Open(int directory, uint32_t uid, uint32_t gid, int router_namespace);
  Result<void> Watch(int fd, uint64_t id, uint32_t events, int how);
  void Loop();
  void ReadLines();
  void Take(MirrorLine line);
  void BeginWaiting();
  void Begin(Copy copy);
  void OnSocket(uint64_t id);
  // True when the exchange is over.
  bool Send(uint64_t id, Exchange& exchange);
  bool Receive(Exchange& exchange);
  void EndLate();
  // What the answer is, compared with the real one.
  void Compare(Exchange& exchange);
  // `what` adds itself up; `example`: "" for none.
  void Count(const Copy& copy, uint64_t platform::ShadowCounters::*what, const std::string& example = "",
             bool sent = true);

  Fd epoll_;
  Fd wake_;
  Fd lines_;
  Sync<State> state_;
  std::thread thread_;
  // Of the thread.
  std::map<uint64_t, Exchange> exchanges_;
  std::deque<Copy> waiting_;
  size_t waiting_bytes_ = 0;
  uint64_t last_id_ = kMirrorLinesId;
  uint64_t turn_ = 0;  // which instance is next
  std::array<char, 65536> buffer_{};
};

Result<void> HaproxyMirror::Impl::Watch(int fd, uint64_t id, uint32_t events, int how) {
  struct epoll_event event {};
  event.events = events;
  event.data.u64 = id;
  if (::epoll_ctl(epoll_.get(), how, fd, &event) < 0) return ErrnoError(errno, "watch a socket");
  return {};
}

Result<void> HaproxyMirror::Impl::Open(int directory, uint32_t uid, uint32_t gid, int router_namespace) {
  if (router_namespace >= 0 && ::setns(router_namespace, CLONE_NEWNET) < 0)
    return ErrnoError(errno, "enter the router's network namespace");
  lines_ = TRY(OpenMirrorSocket(directory, uid, gid, router_namespace >= 0));
  return Watch(lines_.get(), kMirrorLinesId, EPOLLIN, EPOLL_CTL_ADD);
}

Result<void> HaproxyMirror::Impl::Start(int directory, uint32_t uid, uint32_t gid, int router_namespace) {
  if (!epoll_.valid() || !wake_.valid()) return ErrnoError(errno, "make a poller");
  TRY(Watch(wake_.get(), kMirrorWakeId, EPOLLIN, EPOLL_CTL_ADD));
  std::promise<Result<void>> opened;
  thread_ = std::thread([&, this] {
    Result<void> open = Open(directory, uid, gid, router_namespace);
    const bool ok = open.has_value();
    opened.set_value(std::move(open));
    if (ok) Loop();
  });
  return opened.get_future().get();
}

HaproxyMirror::Impl::~Impl() {
  state_.lock()->closing = true;
  const uint64_t one = 1;
  static_cast<void>(!::write(wake_.get(), &one, sizeof one));
  if (thread_.joinable()) thread_.join();
}

void HaproxyMirror::Impl::SetTargets(std::map<std::string, MirrorTarget> targets) {
  auto state = state_.lock();
  std::map<std::string, platform::ShadowCounters> counts;
  for (const auto& [value, target] : targets) {
    const auto had = state->counts.find(target.tally);
    counts[target.tally] = had == state->counts.end() ? platform::ShadowCounters{} : had->second;
  }
  state->counts = std::move(counts);
  state->targets = std::move(targets);
}

void HaproxyMirror::Impl::Count(const Copy& copy, uint64_t platform::ShadowCounters::*what,
                                const std::string& example, bool sent) {
  auto state = state_.lock();
  const auto found = state->counts.find(copy.target.tally);
  // Its step is over.
  if (found == state->counts.end()) return;
  platform::ShadowCounters& counts = found->second;
  if (sent && counts.in_flight > 0) --counts.in_flight;
  ++(counts.*what);
  if (!example.empty() && counts.examples.size() < kMirrorExamples)
    counts.examples.push_back(copy.line.Name() + ": " + example);
}

void HaproxyMirror::Impl::ReadLines() {
  for (int i = 0; i < kMirrorLinesEach; ++i) {
    const ssize_t size = ::recv(lines_.get(), buffer_.data(), buffer_.size(), 0);
    if (size <= 0) return;
    auto line = MirrorLine::Parse({buffer_.data(), static_cast<size_t>(size)});
    if (line) Take(std::move(*line));
  }
}

void HaproxyMirror::Impl::Take(MirrorLine line) {
  Copy copy;
  {
    auto state = state_.lock();
    const auto target = state->targets.find(line.route);
    if (target == state->targets.end()) return;
    copy.target = target->second;
  }
  auto request = line.whole ? line.Request() : std::nullopt;
  copy.line = std::move(line);
  if (!request || copy.target.addresses.empty() || waiting_.size() >= kMirrorsWaiting ||
      waiting_bytes_ + request->size() > kMirrorWaitingBytes)
    return Count(copy, &platform::ShadowCounters::skipped, "", false);
  copy.request = std::move(*request);
  copy.line.headers.clear();
  copy.line.body.clear();
  copy.deadline = MirrorNow() + copy.target.timeout;
  waiting_bytes_ += copy.request.size();
  waiting_.push_back(std::move(copy));
}

void HaproxyMirror::Impl::BeginWaiting() {
  while (!waiting_.empty() && exchanges_.size() < kMirrorsAtOnce) {
    Copy copy = std::move(waiting_.front());
    waiting_.pop_front();
    waiting_bytes_ -= copy.request.size();
    // What has waited so long would say more about the queue than about the fleet.
    if (MirrorNow() >= copy.deadline)
      Count(copy, &platform::ShadowCounters::skipped, "", false);
    else
      Begin(std::move(copy));
  }
}

void HaproxyMirror::Impl::Begin(Copy copy) {
  const std::string& address = copy.target.addresses[turn_++ % copy.target.addresses.size()];
  const uint64_t id = ++last_id_;
  Exchange exchange{std::move(copy),
                    Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
                    0,
                    MirrorNow(),
                    0,
                    MirrorAnswer(true)};
  exchange.answer = MirrorAnswer(exchange.copy.line.method != "HEAD");
  exchange.copy.deadline = exchange.begun + exchange.copy.target.timeout;
  struct sockaddr_in in {};
  in.sin_family = AF_INET;
  in.sin_port = htons(exchange.copy.target.port);
  // Not sent, for what is wrong here and not there.
  if (!exchange.socket.valid() || ::inet_pton(AF_INET, address.c_str(), &in.sin_addr) != 1 ||
      !Watch(exchange.socket.get(), id, EPOLLOUT, EPOLL_CTL_ADD))
    return Count(exchange.copy, &platform::ShadowCounters::skipped, "", false);
  if (auto state = state_.lock(); state->counts.contains(exchange.copy.target.tally))
    ++state->counts[exchange.copy.target.tally].in_flight;
  if (::connect(exchange.socket.get(), reinterpret_cast<struct sockaddr*>(&in), sizeof in) < 0 &&
      errno != EINPROGRESS)
    return Count(exchange.copy, &platform::ShadowCounters::failed, ::strerror(errno));
  exchanges_.emplace(id, std::move(exchange));
}

bool HaproxyMirror::Impl::Send(uint64_t id, Exchange& exchange) {
  const std::string& request = exchange.copy.request;
  const ssize_t sent = ::send(exchange.socket.get(), request.data() + exchange.sent,
                              request.size() - exchange.sent, MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (sent < 0) {
    Count(exchange.copy, &platform::ShadowCounters::failed, ::strerror(errno));
    return true;
  }
  exchange.sent += static_cast<size_t>(sent);
  if (exchange.sent < request.size()) return false;
  static_cast<void>(Watch(exchange.socket.get(), id, EPOLLIN, EPOLL_CTL_MOD).has_value());
  return false;
}

bool HaproxyMirror::Impl::Receive(Exchange& exchange) {
  const ssize_t size = ::recv(exchange.socket.get(), buffer_.data(), buffer_.size(), 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (size < 0) {
    Count(exchange.copy, &platform::ShadowCounters::failed, ::strerror(errno));
    return true;
  }
  const MirrorAnswer::State state =
      size == 0 ? exchange.answer.End() : exchange.answer.Feed({buffer_.data(), static_cast<size_t>(size)});
  if (exchange.head_ms == 0 && exchange.answer.status() != 0) exchange.head_ms = MsSince(exchange.begun);
  if (state == MirrorAnswer::State::kMore) return false;
  if (state == MirrorAnswer::State::kMalformed)
    Count(exchange.copy, &platform::ShadowCounters::failed,
          size == 0 ? "the answer was cut" : "the answer is no HTTP/1.1");
  else
    Compare(exchange);
  return true;
}

void HaproxyMirror::Impl::Compare(Exchange& exchange) {
  using platform::ShadowCounters;
  const MirrorLine& line = exchange.copy.line;
  if (auto state = state_.lock(); state->counts.contains(exchange.copy.target.tally)) {
    ShadowCounters& counts = state->counts[exchange.copy.target.tally];
    counts.real_ms += line.ms;
    counts.shadow_ms += exchange.head_ms;
  }
  const std::string old = std::to_string(line.status);
  if (exchange.answer.status() != line.status)
    return Count(exchange.copy, &ShadowCounters::other_status,
                 old + ", new " + std::to_string(exchange.answer.status()));
  if (!exchange.copy.target.bodies) return Count(exchange.copy, &ShadowCounters::same);
  if (!line.body_sha256) return Count(exchange.copy, &ShadowCounters::body_unknown);
  if (exchange.answer.BodySha256() != *line.body_sha256)
    return Count(exchange.copy, &ShadowCounters::other_body, old + ", another body");
  Count(exchange.copy, &ShadowCounters::same);
}

void HaproxyMirror::Impl::OnSocket(uint64_t id) {
  const auto found = exchanges_.find(id);
  if (found == exchanges_.end()) return;
  Exchange& exchange = found->second;
  const bool over = exchange.sent < exchange.copy.request.size() ? Send(id, exchange) : Receive(exchange);
  if (over) exchanges_.erase(found);
}

void HaproxyMirror::Impl::EndLate() {
  const SteadyTime now = MirrorNow();
  for (auto it = exchanges_.begin(); it != exchanges_.end();) {
    if (now < it->second.copy.deadline) {
      ++it;
      continue;
    }
    Count(it->second.copy, &platform::ShadowCounters::timed_out, "no answer in time");
    it = exchanges_.erase(it);
  }
}

void HaproxyMirror::Impl::Loop() {
  std::array<struct epoll_event, 64> events{};
  while (!state_.lock()->closing) {
    const int timeout = exchanges_.empty() ? -1 : 20;
    const int ready = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
    for (int i = 0; i < ready; ++i) {
      const uint64_t id = events[static_cast<size_t>(i)].data.u64;
      if (id == kMirrorLinesId)
        ReadLines();
      else if (id != kMirrorWakeId)
        OnSocket(id);
    }
    EndLate();
    BeginWaiting();
  }
}

HaproxyMirror::HaproxyMirror(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HaproxyMirror::~HaproxyMirror() = default;

Result<std::unique_ptr<HaproxyMirror>> HaproxyMirror::Start(int directory, uint32_t uid, uint32_t gid,
                                                            int router_namespace) {
  auto impl = std::make_unique<Impl>();
  TRY(impl->Start(directory, uid, gid, router_namespace));
  return std::unique_ptr<HaproxyMirror>(new HaproxyMirror(std::move(impl)));
}

void HaproxyMirror::SetTargets(std::map<std::string, MirrorTarget> targets) {
  impl_->SetTargets(std::move(targets));
}

std::map<std::string, platform::ShadowCounters> HaproxyMirror::Counts() {
  return impl_->Counts();
}

}  // namespace ingot::adapters
