#include "adapters/prober.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <future>
#include <map>
#include <thread>
#include <vector>

#include "adapters/probe_state.h"
#include "base/fd.h"
#include "base/sync.h"
#include "base/units.h"

namespace ingot::adapters {

namespace {

using platform::InstanceId;
using platform::Probe;

constexpr size_t kStatusBytes = 256;
constexpr size_t kWorkers = 4;
constexpr uint64_t kWakeId = 0;

Result<void> CheckProbe(const Probe& probe) {
  const bool network = probe.kind == Probe::Kind::kHttp || probe.kind == Probe::Kind::kTcp;
  if (network && probe.port == 0) return Error(Code::kInvalid, "a probe needs a port");
  const bool printable = std::all_of(probe.path.begin(), probe.path.end(),
                                     [](unsigned char c) { return c > 0x20 && c != 0x7f; });
  if (probe.kind == Probe::Kind::kHttp &&
      (probe.path.empty() || probe.path.front() != '/' || !printable || probe.path.size() > 2000))
    return Error(Code::kInvalid, "a probe's path must begin with / and hold no blank");
  if (probe.kind == Probe::Kind::kRun && probe.command.empty())
    return Error(Code::kInvalid, "a run probe needs a command");
  return {};
}

std::string Describe(const Probe& probe) {
  switch (probe.kind) {
    case Probe::Kind::kHttp:
      return "GET " + probe.path + " on port " + std::to_string(probe.port);
    case Probe::Kind::kTcp:
      return "connecting to port " + std::to_string(probe.port);
    case Probe::Kind::kRun:
      return "running " + probe.command.front();
    case Probe::Kind::kNone:
      break;
  }
  return "no probe";
}

// The status of "HTTP/1.1 204 …"; 0: not yet told; -1: that is no HTTP answer.
int StatusOf(std::string_view text) {
  constexpr std::string_view kShape = "HTTP/1.d ddd";
  for (size_t i = 0; i < std::min(text.size(), kShape.size()); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kShape[i] == 'd' ? !digit : text[i] != kShape[i]) return -1;
  }
  if (text.size() < kShape.size()) return 0;
  return (text[9] - '0') * 100 + (text[10] - '0') * 10 + (text[11] - '0');
}

struct Target {
  ProbeTarget declared;
  ProbeState state;
  Fd socket;  // of the probe under way
  bool asked = false;
  bool running = false;  // a `run` probe is with the workers
  std::string answer;
  SteadyTime timeout_at{};
  SteadyTime timer{};  // its place in State::timers
};

struct Change {
  uint64_t id;
  InstanceId instance;
  HealthChange change;
};

struct Job {
  uint64_t id;
  InstanceId instance;
  std::vector<std::string> command;
  Milliseconds timeout;
};

}  // namespace

class Prober::Impl {
 public:
  Impl(Execute execute, OnChange on_change)
      : execute_(std::move(execute)),
        on_change_(std::move(on_change)),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Impl();

  Result<void> Start(int router_namespace);
  Result<void> Watch(const ProbeTarget& target);
  void Unwatch(const InstanceId& instance);

 private:
  struct State {
    std::map<uint64_t, Target> targets;
    std::map<InstanceId, uint64_t> ids;
    std::multimap<SteadyTime, uint64_t> timers;  // one per target
    uint64_t last_id = kWakeId;
    InstanceId calling;                                                     // whose on_change is under way
    std::vector<std::pair<uint64_t, std::optional<std::string>>> finished;  // run probes and why they failed
    bool closing = false;
  };
  struct Jobs {
    std::deque<Job> waiting;
    bool closing = false;
  };

  void Loop();
  void Work();
  void Wake();
  void Remove(State& state, uint64_t id);
  static void Disarm(State& state, uint64_t id, const Target& target);
  void OnFinished(State& state, std::vector<Change>& changes);
  void Arm(State& state, uint64_t id, Target& target, SteadyTime now);
  void OnTimer(State& state, uint64_t id, std::vector<Change>& changes);
  void OnSocket(State& state, uint64_t id, std::vector<Change>& changes);
  void Begin(uint64_t id, Target& target, const Probe& probe, SteadyTime now, std::vector<Change>& changes);
  // nullopt reason: it passed.
  void End(uint64_t id, Target& target, std::optional<std::string> failure, std::vector<Change>& changes);
  void Tell(const std::vector<Change>& changes);

  const Execute execute_;
  const OnChange on_change_;
  Fd epoll_;
  Fd wake_;
  Sync<State> state_;
  std::condition_variable told_;
  Sync<Jobs> jobs_;
  std::condition_variable have_jobs_;
  std::thread thread_;
  std::vector<std::thread> workers_;
};

Result<void> Prober::Impl::Start(int router_namespace) {
  if (!epoll_.valid() || !wake_.valid()) return ErrnoError(errno, "make a poller");
  struct epoll_event event {};
  event.events = EPOLLIN;
  event.data.u64 = kWakeId;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) < 0)
    return ErrnoError(errno, "make a poller");
  std::promise<int> entered;
  thread_ = std::thread([this, router_namespace, &entered] {
    const bool ok = router_namespace < 0 || ::setns(router_namespace, CLONE_NEWNET) == 0;
    entered.set_value(ok ? 0 : errno);
    if (ok) Loop();
  });
  if (const int failed = entered.get_future().get(); failed != 0)
    return ErrnoError(failed, "enter the router's network namespace");
  for (size_t i = 0; i < kWorkers; ++i) workers_.emplace_back([this] { Work(); });
  return {};
}

Prober::Impl::~Impl() {
  state_.lock()->closing = true;
  jobs_.lock()->closing = true;
  have_jobs_.notify_all();
  Wake();
  if (thread_.joinable()) thread_.join();
  for (std::thread& worker : workers_) worker.join();
}

void Prober::Impl::Wake() {
  const uint64_t one = 1;
  static_cast<void>(!::write(wake_.get(), &one, sizeof one));
}

Result<void> Prober::Impl::Watch(const ProbeTarget& target) {
  struct in_addr parsed {};
  if (::inet_pton(AF_INET, target.address.c_str(), &parsed) != 1)
    return Error(Code::kInvalid, "\"" + target.address.substr(0, 100) + "\" is not an IPv4 address");
  TRY(CheckProbe(target.ready));
  TRY(CheckProbe(target.live));
  const SteadyTime now = std::chrono::steady_clock::now();
  {
    auto state = state_.lock();
    if (const auto had = state->ids.find(target.instance); had != state->ids.end())
      Remove(*state, had->second);
    const uint64_t id = ++state->last_id;
    state->ids[target.instance] = id;
    Target& added =
        state->targets
            .emplace(id, Target{target,
                                ProbeState(target.ready, target.live, target.already_ready, target.held, now),
                                {},
                                false,
                                false,
                                {},
                                {},
                                now})
            .first->second;
    state->timers.emplace(added.timer, id);
  }
  Wake();
  return {};
}

void Prober::Impl::Unwatch(const InstanceId& instance) {
  auto state = state_.lock();
  if (const auto had = state->ids.find(instance); had != state->ids.end()) Remove(*state, had->second);
  if (std::this_thread::get_id() == thread_.get_id()) return;
  while (state->calling == instance) state.Wait(told_);
}

void Prober::Impl::Remove(State& state, uint64_t id) {
  const auto found = state.targets.find(id);
  if (found == state.targets.end()) return;
  Disarm(state, id, found->second);
  state.ids.erase(found->second.declared.instance);
  state.targets.erase(found);
}

void Prober::Impl::Disarm(State& state, uint64_t id, const Target& target) {
  const auto [begin, end] = state.timers.equal_range(target.timer);
  for (auto timer = begin; timer != end; ++timer)
    if (timer->second == id) {
      state.timers.erase(timer);
      return;
    }
}

// Sets the target's timer to whatever comes next for it.
void Prober::Impl::Arm(State& state, uint64_t id, Target& target, SteadyTime now) {
  SteadyTime next = now + std::chrono::hours(24);
  if (target.socket.valid())
    next = target.timeout_at;
  else if (!target.running && target.state.probe() != nullptr)
    next = target.state.due();
  if (const auto deadline = target.state.deadline()) next = std::min(next, *deadline);
  target.timer = next;
  state.timers.emplace(next, id);
}

void Prober::Impl::End(uint64_t id, Target& target, std::optional<std::string> failure,
                       std::vector<Change>& changes) {
  target.socket.reset();
  target.asked = false;
  target.answer.clear();
  const Probe* probe = target.state.probe();
  if (probe == nullptr) return;
  const SteadyTime now = std::chrono::steady_clock::now();
  auto change =
      failure ? target.state.Failed(now, Describe(*probe) + ": " + *failure) : target.state.Passed(now);
  if (change) changes.push_back({id, target.declared.instance, std::move(*change)});
}

void Prober::Impl::Begin(uint64_t id, Target& target, const Probe& probe, SteadyTime now,
                         std::vector<Change>& changes) {
  if (probe.kind == Probe::Kind::kRun) {
    target.running = true;
    jobs_.lock()->waiting.push_back({id, target.declared.instance, probe.command, probe.timeout});
    have_jobs_.notify_one();
    return;
  }
  target.timeout_at = now + probe.timeout;
  target.socket.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  struct sockaddr_in in {};
  in.sin_family = AF_INET;
  in.sin_port = htons(probe.port);
  ::inet_pton(AF_INET, target.declared.address.c_str(), &in.sin_addr);
  struct epoll_event event {};
  event.events = EPOLLOUT;
  event.data.u64 = id;
  if (!target.socket.valid()) return End(id, target, "no socket: " + std::string(::strerror(errno)), changes);
  if (::connect(target.socket.get(), reinterpret_cast<struct sockaddr*>(&in), sizeof in) < 0 &&
      errno != EINPROGRESS)
    return End(id, target, ::strerror(errno), changes);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, target.socket.get(), &event) < 0)
    End(id, target, ::strerror(errno), changes);
}

void Prober::Impl::OnTimer(State& state, uint64_t id, std::vector<Change>& changes) {
  Target& target = state.targets.at(id);
  const SteadyTime now = std::chrono::steady_clock::now();
  if (auto change = target.state.Begin(now))
    changes.push_back({id, target.declared.instance, std::move(*change)});
  if (auto late = target.state.Late(now)) {
    target.socket.reset();
    changes.push_back({id, target.declared.instance, std::move(*late)});
  }
  const Probe* probe = target.state.probe();
  if (target.socket.valid()) {
    if (now >= target.timeout_at && probe != nullptr)
      End(id, target, "no answer within " + RenderDuration(probe->timeout), changes);
  } else if (!target.running && probe != nullptr && now >= target.state.due()) {
    Begin(id, target, *probe, now, changes);
  }
  Arm(state, id, target, now);
}

void Prober::Impl::OnSocket(State& state, uint64_t id, std::vector<Change>& changes) {
  const auto found = state.targets.find(id);
  if (found == state.targets.end() || !found->second.socket.valid()) return;
  Target& target = found->second;
  const Probe* probe = target.state.probe();
  if (probe == nullptr) return;
  const int fd = target.socket.get();
  std::optional<std::string> failure;
  bool ended = true;
  if (!target.asked) {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
      failure = ::strerror(error);
    } else if (probe->kind == Probe::Kind::kHttp) {
      const std::string request = "GET " + probe->path + " HTTP/1.1\r\nHost: " + target.declared.address +
                                  ":" + std::to_string(probe->port) +
                                  "\r\nUser-Agent: ingot-health\r\nAccept: */*\r\nConnection: close\r\n\r\n";
      struct epoll_event event {};
      event.events = EPOLLIN;
      event.data.u64 = id;
      // It fits an empty socket buffer; a peer that lets it not is not healthy.
      if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()) ||
          ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) < 0) {
        failure = "it does not take the request";
      } else {
        target.asked = true;
        ended = false;
      }
    }
  } else {
    std::array<char, 16384> buffer;
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      ended = false;
    } else if (got <= 0) {
      failure = got == 0 ? "it closed without an answer" : ::strerror(errno);
    } else {
      target.answer.append(buffer.data(),
                           std::min(static_cast<size_t>(got), kStatusBytes - target.answer.size()));
      const int status = StatusOf(target.answer);
      if (status == 0)
        ended = false;
      else if (status < 0)
        failure = "the answer is not HTTP";
      else if (status < 200 || status > 399)
        failure = "status " + std::to_string(status);
    }
  }
  if (!ended) return;
  End(id, target, std::move(failure), changes);
  Disarm(state, id, target);
  Arm(state, id, target, std::chrono::steady_clock::now());
}

void Prober::Impl::OnFinished(State& state, std::vector<Change>& changes) {
  for (auto& [id, failure] : state.finished) {
    const auto found = state.targets.find(id);
    if (found == state.targets.end()) continue;
    found->second.running = false;
    End(id, found->second, std::move(failure), changes);
    Disarm(state, id, found->second);
    Arm(state, id, found->second, std::chrono::steady_clock::now());
  }
  state.finished.clear();
}

void Prober::Impl::Tell(const std::vector<Change>& changes) {
  for (const Change& change : changes) {
    {
      auto state = state_.lock();
      const auto found = state->ids.find(change.instance);
      if (found == state->ids.end() || found->second != change.id) continue;  // unwatched meanwhile
      state->calling = change.instance;
    }
    on_change_(change.instance, change.change.health, change.change.reason);
    state_.lock()->calling = InstanceId();
    told_.notify_all();
  }
}

void Prober::Impl::Loop() {
  std::array<struct epoll_event, 256> events;
  while (true) {
    std::vector<Change> changes;
    int timeout = -1;
    {
      auto state = state_.lock();
      if (state->closing) return;
      const SteadyTime now = std::chrono::steady_clock::now();
      while (!state->timers.empty() && state->timers.begin()->first <= now) {
        const uint64_t id = state->timers.begin()->second;
        state->timers.erase(state->timers.begin());
        OnTimer(*state, id, changes);
      }
      if (!changes.empty())
        timeout = 0;
      else if (!state->timers.empty())
        timeout = static_cast<int>(std::clamp<int64_t>(
            std::chrono::ceil<Milliseconds>(state->timers.begin()->first - now).count(), 0, 60'000));
    }
    Tell(changes);
    changes.clear();
    const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
    {
      auto state = state_.lock();
      for (int i = 0; i < n; ++i) {
        const uint64_t id = events[static_cast<size_t>(i)].data.u64;
        uint64_t count = 0;
        if (id == kWakeId)
          static_cast<void>(!::read(wake_.get(), &count, sizeof count));
        else
          OnSocket(*state, id, changes);
      }
      OnFinished(*state, changes);
    }
    Tell(changes);
  }
}

void Prober::Impl::Work() {
  while (true) {
    Job job;
    {
      auto jobs = jobs_.lock();
      while (jobs->waiting.empty() && !jobs->closing) jobs.Wait(have_jobs_);
      if (jobs->closing) return;
      job = std::move(jobs->waiting.front());
      jobs->waiting.pop_front();
    }
    const auto code = execute_ ? execute_(job.instance, job.command, job.timeout)
                               : Result<int>(Error(Code::kUnsupported, "run probes are not possible here"));
    std::optional<std::string> failure;
    if (!code)
      failure = code.error().Render();
    else if (*code != 0)
      failure = "exit code " + std::to_string(*code);
    // Judged by the prober's thread, like every other probe.
    state_.lock()->finished.emplace_back(job.id, std::move(failure));
    Wake();
  }
}

Prober::Prober(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Prober::~Prober() = default;

Result<std::unique_ptr<Prober>> Prober::Start(int router_namespace, Execute execute, OnChange on_change) {
  auto impl = std::make_unique<Impl>(std::move(execute), std::move(on_change));
  TRY(impl->Start(router_namespace));
  return std::unique_ptr<Prober>(new Prober(std::move(impl)));
}

Result<void> Prober::Watch(const ProbeTarget& target) {
  return impl_->Watch(target);
}
void Prober::Unwatch(const InstanceId& instance) {
  impl_->Unwatch(instance);
}

}  // namespace ingot::adapters
