#include "adapters/haproxy_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "adapters/haproxy_cli.h"
#include "adapters/haproxy_config.h"
#include "adapters/listeners.h"

namespace ingot::adapters {

namespace {

using std::chrono::steady_clock;
constexpr Milliseconds kProbeTimeout{3000};

void Signal(const Fd& pidfd, int signal) {
  ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0);
}

bool Ended(const Fd& pidfd) {
  struct pollfd p = {pidfd.get(), POLLIN, 0};
  return ::poll(&p, 1, 0) == 1;
}

// A few deaths are made good at once; then it is not started again and again at full speed.
Milliseconds Patience(int failures) {
  if (failures <= 5) return Milliseconds(0);
  return std::min(Milliseconds(2000), Milliseconds(10) * (1 << std::min(failures - 5, 8)));
}

struct Marker {
  uint64_t generation = 0;
  std::string digest;
};

// The marker on the command line of a process of this root, role and user.
std::optional<Marker> MarkerOf(const std::string& pid, const std::string& prefix, uint32_t uid) {
  const fs::path folder = fs::path("/proc") / pid;
  struct stat st {};
  if (::stat(folder.c_str(), &st) < 0 || st.st_uid != uid) return std::nullopt;
  auto line = ReadFile(folder / "cmdline", 65536);
  if (!line) return std::nullopt;
  const std::string argument = std::string("-L") + '\0' + prefix;
  const size_t at = line->find(argument);
  if (at == std::string::npos) return std::nullopt;
  const std::string rest = line->substr(at + argument.size());
  Marker marker;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), marker.generation);
  if (error != std::errc() || *end != '.') return std::nullopt;
  marker.digest = end + 1;
  return marker;
}

}  // namespace

HaproxyProcess::HaproxyProcess(Options options)
    : options_(std::move(options)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Result<std::unique_ptr<HaproxyProcess>> HaproxyProcess::Open(Options options) {
  TRY(FindProgram("haproxy"));
  std::unique_ptr<HaproxyProcess> process(new HaproxyProcess(std::move(options)));
  if (!process->wake_.valid()) return ErrnoError(errno, "make an eventfd");
  TRY(process->FindRunning());
  process->watcher_ = std::thread([raw = process.get()] { raw->Watch(); });
  return process;
}

HaproxyProcess::~HaproxyProcess() {
  state_.lock()->closing = true;
  Wake();
  if (watcher_.joinable()) watcher_.join();
}

std::string HaproxyProcess::SocketName(uint64_t generation) const {
  // Not "e…": those are the endpoints' (EgressSocketName).
  return (options_.role == "router" ? "r" : "x") + std::to_string(generation);
}

Result<void> HaproxyProcess::FindRunning() {
  const std::string prefix = "ingot." + options_.root_key + "." + options_.role + ".";
  std::vector<Process> found;
  for (const std::string& pid : TRY(ListDirectory("/proc"))) {
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    if (!MarkerOf(pid, prefix, options_.uid)) continue;
    Process process;
    process.pid = static_cast<pid_t>(std::stol(pid));
    process.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
    if (!process.pidfd.valid()) continue;
    // Again, now that the pidfd keeps the pid from being another process.
    const auto marker = MarkerOf(pid, prefix, options_.uid);
    if (!marker || Ended(process.pidfd)) continue;
    process.generation = marker->generation;
    process.digest = marker->digest;
    process.since = steady_clock::now();
    found.push_back(std::move(process));
  }
  std::sort(found.begin(), found.end(),
            [](const Process& a, const Process& b) { return a.generation > b.generation; });
  auto state = state_.lock();
  for (Process& process : found) {
    state->last_generation = std::max(state->last_generation, process.generation);
    if (state->current) {
      Retire(*state, std::move(process));
      continue;
    }
    if (AskHaproxy(options_.directory_fd, SocketName(process.generation), "show info", kProbeTimeout)) {
      state->current = std::move(process);
    } else {
      // Newer than what serves, and silent: an earlier daemon died while it started this one.
      Signal(process.pidfd, SIGKILL);
      Forget(process);
    }
  }
  return {};
}

Result<void> HaproxyProcess::WriteFiles(const HaproxyPlan& plan) {
  TRY(WriteFileAtomic(options_.directory / (options_.role + ".cfg"), plan.config, 0644, Durability::kNone));
  TRY(WriteFileAtomic(options_.directory / (options_.role + ".map"), plan.map, 0644, Durability::kNone));
  return {};
}

Result<void> HaproxyProcess::StartNext(State& state) {
  const uint64_t generation = ++state.last_generation;
  TRY(WriteFiles(*state.plan));
  const Fd config = TRY(OpenFile(options_.directory / (options_.role + ".cfg"), O_RDONLY));
  const Fd map = TRY(OpenFile(options_.directory / (options_.role + ".map"), O_RDONLY));
  const Fd log = TRY(OpenFile(options_.directory / (options_.role + ".log"), O_WRONLY | O_CREAT | O_TRUNC));
  const Fd null = TRY(OpenFile("/dev/null", O_RDWR));
  // Closed again below: connecting to the socket of a dead process is then refused at once.
  const Fd stats =
      TRY(OpenUnixListener(options_.directory_fd, SocketName(generation), options_.uid, options_.gid));
  Command command;
  command.argv = {"haproxy",
                  "-db",
                  "-q",
                  "-f",
                  "/proc/self/fd/" + std::to_string(kConfigNumber),
                  "-L",
                  "ingot." + options_.root_key + "." + options_.role + "." + std::to_string(generation) +
                      "." + state.plan->digest};
  command.env = std::map<std::string, std::string>{{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}};
  command.cwd = "/";
  command.fds = {{null.get(), 0},
                 {null.get(), 1},
                 {log.get(), 2},
                 {config.get(), kConfigNumber},
                 {map.get(), kMapNumber},
                 {stats.get(), kStatsNumber},
                 {options_.directory_fd, kDirectoryNumber}};
  for (const auto& socket : state.plan->sockets)
    command.fds.emplace_back(socket.fd->get(), static_cast<int>(socket.number));
  command.network_namespace = options_.network_namespace;
  command.user = std::pair<uid_t, gid_t>(options_.uid, options_.gid);
  command.new_session = true;
  Child child = TRY(Spawn(command));
  Process next;
  next.pid = child.pid;
  next.pidfd = std::move(child.pidfd);
  next.generation = generation;
  next.digest = state.plan->digest;
  next.since = steady_clock::now();
  // Waits in the socket's backlog until HAProxy is up; its answer is the sign that it serves.
  if (auto question = ConnectUnix(options_.directory_fd, SocketName(generation)); question) {
    next.question = std::move(question).value();
    static_cast<void>(!::send(next.question.get(), "show info\n", 10, MSG_NOSIGNAL));
  }
  state.next = std::move(next);
  return {};
}

std::string HaproxyProcess::LastWords() const {
  auto text = ReadFile(options_.directory / (options_.role + ".log"), size_t{1} << 20);
  if (!text) return "";
  std::string words;
  size_t begin = 0;
  while (begin < text->size() && words.size() < 2000) {
    const size_t end = std::min(text->find('\n', begin), text->size());
    const std::string line = text->substr(begin, end - begin);
    if (line.find("[ALERT]") != std::string::npos) words += (words.empty() ? "" : "; ") + line.substr(0, 500);
    begin = end + 1;
  }
  return words;
}

void HaproxyProcess::Forget(Process& process) {
  // Our own children are reaped; another daemon's belong to init.
  siginfo_t info{};
  ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(process.pidfd.get()), &info, WEXITED | WNOHANG);
  ::unlinkat(options_.directory_fd, SocketName(process.generation).c_str(), 0);
}

void HaproxyProcess::Retire(State& state, Process process) {
  Signal(process.pidfd, SIGUSR1);
  // HAProxy keeps hard-stop-after itself; this is for one that hangs.
  process.kill_at = steady_clock::now() + options_.hard_stop_after + Milliseconds(5000);
  state.old.push_back(std::move(process));
}

void HaproxyProcess::Promote(State& state) {
  if (state.current) Retire(state, std::move(*state.current));
  state.next->question.reset();
  state.current = std::move(state.next);
  state.next.reset();
  state.previous.reset();
  state.error.reset();
  state.first = false;
}

void HaproxyProcess::NextFailed(State& state, Error error) {
  Forget(*state.next);
  state.next.reset();
  ++state.failures;
  state.retry_at = steady_clock::now() + Patience(state.failures);
  if (state.previous) {
    state.plan = std::move(state.previous);
    state.previous.reset();
  } else if (state.first) {
    state.plan.reset();
  }
  state.first = false;
  state.error = std::move(error);
}

void HaproxyProcess::Advance(State& state, const std::vector<int>& readable) {
  const auto now = steady_clock::now();
  const auto is = [&](const Fd& fd) {
    return fd.valid() && std::find(readable.begin(), readable.end(), fd.get()) != readable.end();
  };
  std::erase_if(state.old, [&](Process& process) {
    if (is(process.pidfd)) {
      Forget(process);
      return true;
    }
    if (now > process.kill_at) Signal(process.pidfd, SIGKILL);
    return false;
  });
  if (state.current && is(state.current->pidfd)) {
    if (now - state.current->since > std::chrono::seconds(5)) state.failures = 0;
    state.retry_at = now + Patience(++state.failures);
    Forget(*state.current);
    state.current.reset();
  }
  if (state.next && is(state.next->pidfd)) {
    const std::string words = LastWords();
    NextFailed(state, Error(Code::kFailed, "HAProxy does not start: " +
                                               (words.empty() ? "it ended without a word" : words)));
  } else if (state.next && is(state.next->question)) {
    // Readable is also the end of the stream, when it dies before its pidfd says so.
    char first = 0;
    if (::recv(state.next->question.get(), &first, 1, MSG_DONTWAIT) == 1)
      Promote(state);
    else
      state.next->question.reset();
  } else if (state.next && now - state.next->since > options_.start_timeout) {
    Signal(state.next->pidfd, SIGKILL);
    state.next->question.reset();
    state.next->since = now;
  }
  if (state.stop_current) {
    state.plan.reset();
    state.previous.reset();
    if (state.next) Signal(state.next->pidfd, SIGKILL);
    if (state.current) {
      Retire(state, std::move(*state.current));
      state.current.reset();
    }
    state.stop_current = false;
  }
  if (!state.current && !state.next && state.plan && now >= state.retry_at)
    if (auto started = StartNext(state); !started) {
      ++state.failures;
      state.retry_at = now + Milliseconds(500);
      state.error = std::move(started).error();
    }
}

void HaproxyProcess::Watch() {
  std::vector<int> readable;
  while (true) {
    std::vector<struct pollfd> polls = {{wake_.get(), POLLIN, 0}};
    int timeout = -1;
    {
      auto state = state_.lock();
      if (state->closing) return;
      Advance(*state, readable);
      const auto add = [&](const Fd& fd) {
        if (fd.valid()) polls.push_back({fd.get(), POLLIN, 0});
      };
      if (state->current) add(state->current->pidfd);
      if (state->next) {
        add(state->next->pidfd);
        add(state->next->question);
        timeout = 200;
      }
      for (const Process& process : state->old) {
        add(process.pidfd);
        timeout = 200;
      }
      if (!state->current && !state->next && state->plan)
        timeout = static_cast<int>(std::clamp<int64_t>(
            std::chrono::ceil<Milliseconds>(state->retry_at - steady_clock::now()).count(), 1, 2000));
    }
    changed_.notify_all();
    readable.clear();
    if (::poll(polls.data(), polls.size(), timeout) <= 0) continue;
    for (const auto& p : polls)
      if (p.revents != 0) readable.push_back(p.fd);
    uint64_t count = 0;
    static_cast<void>(!::read(wake_.get(), &count, sizeof count));
  }
}

void HaproxyProcess::Wake() {
  const uint64_t one = 1;
  static_cast<void>(!::write(wake_.get(), &one, sizeof one));
}

Result<void> HaproxyProcess::Run(HaproxyPlan plan, bool wait, bool force) {
  auto state = state_.lock();
  const auto deadline = steady_clock::now() + options_.start_timeout;
  while (state->next || state->stop_current) {
    if (steady_clock::now() > deadline)
      return Error(Code::kTimeout, "HAProxy is still being started; try again");
    state.WaitFor(changed_, Milliseconds(100));
  }
  if (!force && state->current && state->current->digest == plan.digest) {
    state->plan = std::move(plan);
    state->error.reset();
    return {};
  }
  std::optional<HaproxyPlan> previous = std::move(state->plan);
  state->plan = std::move(plan);
  if (auto started = StartNext(*state); !started) {
    state->plan = std::move(previous);
    return started;
  }
  state->previous = std::move(previous);
  state->first = wait && !state->previous.has_value();
  const uint64_t generation = state->next->generation;
  Wake();
  if (!wait) return {};
  while (state->next && state->next->generation == generation) state.WaitFor(changed_, Milliseconds(100));
  if (state->current && state->current->generation >= generation) return {};
  return state->error ? *state->error : Error(Code::kFailed, "HAProxy does not start");
}

void HaproxyProcess::Update(std::string config, std::string map) {
  auto state = state_.lock();
  if (!state->plan) return;
  // A process that is being started has its files already: it is waited for, so that what is told next
  // reaches it.
  while (state->next) state.WaitFor(changed_, Milliseconds(100));
  if (!state->plan) return;
  state->plan->config = std::move(config);
  state->plan->map = std::move(map);
}

void HaproxyProcess::Stop() {
  auto state = state_.lock();
  state->stop_current = true;
  Wake();
  while (state->stop_current) state.WaitFor(changed_, Milliseconds(100));
}

void HaproxyProcess::Kill() {
  Stop();
  auto state = state_.lock();
  while (state->next || !state->old.empty()) {
    if (state->next) Signal(state->next->pidfd, SIGKILL);
    for (const Process& process : state->old) Signal(process.pidfd, SIGKILL);
    state.WaitFor(changed_, Milliseconds(100));
  }
}

Result<std::string> HaproxyProcess::Ask(std::string_view command, Milliseconds timeout) {
  std::string socket;
  {
    auto state = state_.lock();
    const auto deadline = steady_clock::now() + options_.start_timeout;
    while ((!state->current && state->plan) || state->next) {
      if (steady_clock::now() > deadline)
        return state->error ? *state->error : Error(Code::kUnavailable, "HAProxy does not run");
      state.WaitFor(changed_, Milliseconds(20));
    }
    if (!state->current) return Error(Code::kUnavailable, "HAProxy does not run");
    socket = SocketName(state->current->generation);
  }
  return AskHaproxy(options_.directory_fd, socket, command, timeout);
}

std::vector<std::pair<uint64_t, std::string>> HaproxyProcess::AskOld(std::string_view command,
                                                                     Milliseconds timeout) {
  std::vector<uint64_t> generations;
  {
    auto state = state_.lock();
    for (const Process& process : state->old) generations.push_back(process.generation);
  }
  std::vector<std::pair<uint64_t, std::string>> answers;
  for (const uint64_t generation : generations)
    if (auto answer = AskHaproxy(options_.directory_fd, SocketName(generation), command, timeout); answer)
      answers.emplace_back(generation, std::move(*answer));
  return answers;
}

Result<bool> HaproxyProcess::Settled() {
  auto state = state_.lock();
  if (state->next || !state->old.empty() || state->stop_current) return false;
  if (state->error) return *state->error;
  return !state->plan || state->current.has_value();
}

bool HaproxyProcess::Running() {
  return state_.lock()->current.has_value();
}
bool HaproxyProcess::HasOld() {
  return !state_.lock()->old.empty();
}

uint64_t HaproxyProcess::generation() {
  auto state = state_.lock();
  return state->current ? state->current->generation : 0;
}

std::string HaproxyProcess::digest() {
  auto state = state_.lock();
  return state->current ? state->current->digest : "";
}

std::vector<int64_t> HaproxyProcess::Pids() {
  auto state = state_.lock();
  std::vector<int64_t> pids;
  if (state->current) pids.push_back(state->current->pid);
  if (state->next) pids.push_back(state->next->pid);
  for (const Process& process : state->old) pids.push_back(process.pid);
  return pids;
}

Result<Fd> HaproxyProcess::Take(uint32_t number) {
  auto state = state_.lock();
  if (!state->current) return Error(Code::kUnavailable, "HAProxy does not run");
  return TakeDescriptor(state->current->pidfd.get(), static_cast<int>(number));
}

}  // namespace ingot::adapters
