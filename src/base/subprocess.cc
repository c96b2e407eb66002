#include "base/subprocess.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/pipe_signal.h"

extern char** environ;

namespace ingot {

namespace {

constexpr size_t kKeepBytes = size_t{16} << 20;
constexpr Milliseconds kCancelEach{100};  // how often it is looked for

constexpr std::pair<std::string_view, std::string_view> kPackages[] = {
    {"crun", "crun"},   {"conmon", "conmon"}, {"haproxy", "haproxy"}, {"mmdebstrap", "mmdebstrap"},
    {"git", "git"},     {"ip", "iproute2"},   {"apt-get", "apt"},     {"dpkg-deb", "dpkg"},
    {"nft", "nftables"}};

// Everything the child needs, laid out before vfork: after it, only async-signal-safe calls are allowed.
struct ChildPlan {
  const Command* command;
  const char* program;
  std::vector<char*> argv;
  std::vector<char*> envp;
  std::vector<std::pair<int, int>> fds;
  int status_fd;
};

[[noreturn]] void ChildFail(int status_fd, int stage) {
  const std::array<int, 2> report = {stage, errno};
  static_cast<void>(!::write(status_fd, report.data(), sizeof report));
  ::_exit(127);
}

enum Stage { kExec, kSetup, kNamespace, kUser, kDirectory };
constexpr const char* kStages[] = {"execute it", "set up its descriptors", "enter its namespace",
                                   "drop its privileges", "enter its working directory"};

[[noreturn]] void RunChild(const ChildPlan& plan) {
  const Command& command = *plan.command;
  sigset_t none;
  sigemptyset(&none);
  for (int sig = 1; sig < 32; ++sig)
    if (sig != SIGKILL && sig != SIGSTOP) ::signal(sig, SIG_DFL);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (command.die_with_parent) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (command.new_session)
    ::setsid();
  else
    ::setpgid(0, 0);
  // Two passes: first out of the way of every target number, then onto it.
  int status_fd = plan.status_fd;
  int highest = 64;
  for (const auto& [ours, theirs] : plan.fds) highest = std::max(highest, theirs + 1);
  status_fd = ::fcntl(status_fd, F_DUPFD_CLOEXEC, highest + 256);
  if (status_fd < 0) ChildFail(plan.status_fd, kSetup);
  std::array<int, 512> moved{};
  if (plan.fds.size() > moved.size()) ChildFail(status_fd, kSetup);
  for (size_t i = 0; i < plan.fds.size(); ++i) {
    moved[i] = ::fcntl(plan.fds[i].first, F_DUPFD_CLOEXEC, highest);
    if (moved[i] < 0) ChildFail(status_fd, kSetup);
  }
  // The namespaces' descriptors too: a target number may be one of theirs.
  const int network =
      command.network_namespace < 0 ? -1 : ::fcntl(command.network_namespace, F_DUPFD_CLOEXEC, highest);
  const int mounts =
      command.mount_namespace < 0 ? -1 : ::fcntl(command.mount_namespace, F_DUPFD_CLOEXEC, highest);
  // Nothing but what is listed goes on: libraries (Boost.Asio) open sockets without close-on-exec, and a
  // supervisor that outlives the daemon would keep its API's socket open, with nobody to answer there.
  if (::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0) ChildFail(status_fd, kSetup);
  for (size_t i = 0; i < plan.fds.size(); ++i)
    if (::dup2(moved[i], plan.fds[i].second) < 0) ChildFail(status_fd, kSetup);
  if (command.network_namespace >= 0 && ::setns(network, CLONE_NEWNET) < 0) ChildFail(status_fd, kNamespace);
  if (command.mount_namespace >= 0 && ::setns(mounts, CLONE_NEWNS) < 0) ChildFail(status_fd, kNamespace);
  if (command.new_mount_namespace) {
    if (::unshare(CLONE_NEWNS) < 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0)
      ChildFail(status_fd, kNamespace);
    if (command.mount_proc && ::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) < 0)
      ChildFail(status_fd, kNamespace);
  }
  for (const std::string& path : command.unmount) ::umount2(path.c_str(), MNT_DETACH);
  if (!command.cwd.empty() && ::chdir(command.cwd.c_str()) < 0) ChildFail(status_fd, kDirectory);
  if (command.user) {
    // setresuid through the raw system call: glibc's wrapper would change every thread of the vfork parent.
    if (::syscall(SYS_setgroups, 0, nullptr) < 0 ||
        ::syscall(SYS_setresgid, command.user->second, command.user->second, command.user->second) < 0 ||
        ::syscall(SYS_setresuid, command.user->first, command.user->first, command.user->first) < 0)
      ChildFail(status_fd, kUser);
  }
  ::execve(plan.program, plan.argv.data(), plan.envp.data());
  ChildFail(status_fd, kExec);
}

}  // namespace

std::string CommandResult::Describe() const {
  if (signal != 0) return "killed by signal " + std::to_string(signal);
  return "exit code " + std::to_string(exit_code);
}

Result<fs::path> FindProgram(std::string_view name) {
  if (name.find('/') != std::string_view::npos) {
    if (::access(std::string(name).c_str(), X_OK) == 0) return fs::path(name);
    return Error(Code::kNotFound, "there is no program " + std::string(name));
  }
  const char* path = ::getenv("PATH");
  std::string folders = path != nullptr ? path : "";
  folders += ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  size_t begin = 0;
  while (begin <= folders.size()) {
    const size_t end = std::min(folders.find(':', begin), folders.size());
    if (end > begin) {
      fs::path candidate = fs::path(folders.substr(begin, end - begin)) / name;
      if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    }
    begin = end + 1;
  }
  std::string message = "the program " + std::string(name) + " is not installed";
  for (const auto& [program, package] : kPackages)
    if (program == name) message += "; on Debian: apt-get install " + std::string(package);
  return Error(Code::kNotFound, message);
}

Result<Child> Spawn(const Command& command) {
  if (command.argv.empty()) return Error(Code::kInternal, "a command without a program");
  const fs::path program = TRY(FindProgram(command.argv[0]));
  ChildPlan plan{&command, program.c_str(), {}, {}, command.fds, -1};
  for (const std::string& arg : command.argv) plan.argv.push_back(const_cast<char*>(arg.c_str()));
  plan.argv.push_back(nullptr);
  std::vector<std::string> pairs;
  if (command.env) {
    for (const auto& [key, value] : *command.env) pairs.push_back(key + "=" + value);
    for (std::string& pair : pairs) plan.envp.push_back(pair.data());
    plan.envp.push_back(nullptr);
  } else {
    for (char** e = environ; *e != nullptr; ++e) plan.envp.push_back(*e);
    plan.envp.push_back(nullptr);
  }
  std::array<int, 2> status{};
  if (::pipe2(status.data(), O_CLOEXEC) < 0) return ErrnoError(errno, "make a pipe");
  Fd status_read(status[0]);
  Fd status_write(status[1]);
  plan.status_fd = status_write.get();
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  // Namespace changes are per process, so CLONE_VM without CLONE_FS and CLONE_FILES is enough and safe.
  // unshare and setns(CLONE_NEWNS) need an unshared fs_struct, which vfork's child has.
  const pid_t pid = ::vfork();
  if (pid == 0) RunChild(plan);
  const int fork_errno = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return ErrnoError(fork_errno, "start " + command.argv[0]);
  status_write.reset();
  std::array<int, 2> report{};
  if (::read(status_read.get(), report.data(), sizeof report) == static_cast<ssize_t>(sizeof report)) {
    ::waitpid(pid, nullptr, 0);
    return ErrnoError(report[1], "start " + command.argv[0] + ": cannot " + kStages[report[0]]);
  }
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) return ErrnoError(errno, "watch " + command.argv[0]);
  return Child{pid, Fd(pidfd)};
}

Result<CommandResult> Wait(Child& child, Milliseconds timeout) {
  struct pollfd p = {child.pidfd.get(), POLLIN, 0};
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    const int n = ::poll(&p, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30)));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "wait for a process");
    if (n == 0)
      return Error(Code::kTimeout, "a process did not end within " + std::to_string(timeout.count()) + " ms");
    break;
  }
  int status = 0;
  while (::waitpid(child.pid, &status, 0) < 0)
    if (errno != EINTR) return ErrnoError(errno, "collect a process");
  CommandResult result;
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

namespace {

// Whether Run has to give up, and how long it may wait before it asks again.
struct Patience {
  std::chrono::steady_clock::time_point deadline;
  const std::atomic<bool>* cancelled;
  bool Cancelled() const { return cancelled != nullptr && cancelled->load(); }
  Milliseconds Left() const {
    const auto left = deadline - std::chrono::steady_clock::now();
    return std::max(Milliseconds(0), std::chrono::ceil<Milliseconds>(left));
  }
  Milliseconds Slice() const { return cancelled == nullptr ? Left() : std::min(Left(), kCancelEach); }
};

Error GiveUp(Child& child, const std::string& name, Milliseconds timeout, const Patience& patience) {
  ::kill(-child.pid, SIGKILL);
  ::kill(child.pid, SIGKILL);
  static_cast<void>(Wait(child, std::chrono::seconds(10)).has_value());
  if (patience.Cancelled()) return Error(Code::kCancelled, name + " was not needed any more");
  return Error(Code::kTimeout, name + " did not finish within " + std::to_string(timeout.count()) + " ms");
}

}  // namespace

Result<CommandResult> Run(Command command, Milliseconds timeout, std::string_view input) {
  std::array<std::array<int, 2>, 3> pipes{};
  std::array<Fd, 3> ours;
  std::array<Fd, 3> theirs;
  for (size_t i = 0; i < 3; ++i) {
    if (::pipe2(pipes[i].data(), O_CLOEXEC) < 0) return ErrnoError(errno, "make a pipe");
    ours[i].reset(i == 0 ? pipes[i][1] : pipes[i][0]);
    theirs[i].reset(i == 0 ? pipes[i][0] : pipes[i][1]);
    ::fcntl(ours[i].get(), F_SETFL, O_NONBLOCK);
    const int number = static_cast<int>(i);
    const bool taken = std::any_of(command.fds.begin(), command.fds.end(),
                                   [&](const auto& mapping) { return mapping.second == number; });
    if (!taken) command.fds.emplace_back(theirs[i].get(), number);
  }
  Child child = TRY(Spawn(command));
  for (Fd& fd : theirs) fd.reset();
  if (input.empty()) ours[0].reset();
  CommandResult result;
  const Patience patience{std::chrono::steady_clock::now() + timeout, command.cancelled};
  std::array<std::string*, 3> sinks = {nullptr, &result.out, &result.err};
  while (ours[1].valid() || ours[2].valid()) {
    std::array<struct pollfd, 4> polls{};
    for (size_t i = 0; i < 3; ++i)
      polls[i] = {ours[i].get(), static_cast<short>(i == 0 ? POLLOUT : POLLIN), 0};
    polls[3] = {child.pidfd.get(), POLLIN, 0};
    const auto slice = static_cast<int>(std::min<int64_t>(patience.Slice().count(), 1 << 30));
    const int n = slice == 0 || patience.Cancelled() ? 0 : ::poll(polls.data(), polls.size(), slice);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 || (n == 0 && (patience.Cancelled() || patience.Left() == Milliseconds(0))))
      return GiveUp(child, command.argv[0], timeout, patience);
    if (n == 0) continue;
    if (ours[0].valid() && polls[0].revents != 0) {
      const PipeSignalHeld held;  // the child need not read all of it
      const ssize_t written = ::write(ours[0].get(), input.data(), input.size());
      if (written > 0) input.remove_prefix(static_cast<size_t>(written));
      if (input.empty() || (written < 0 && errno != EAGAIN && errno != EINTR)) ours[0].reset();
    }
    bool read_something = false;
    for (size_t i = 1; i < 3; ++i) {
      if (!ours[i].valid() || polls[i].revents == 0) continue;
      std::array<char, 65536> buffer;
      const ssize_t got = ::read(ours[i].get(), buffer.data(), buffer.size());
      if (got > 0) {
        read_something = true;
        const size_t room = kKeepBytes - std::min(kKeepBytes, sinks[i]->size());
        sinks[i]->append(buffer.data(), std::min(room, static_cast<size_t>(got)));
      } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        ours[i].reset();
      }
    }
    // A grandchild may hold the pipes open for ever: once the child itself has ended and they are dry, stop
    // reading.
    if (!read_something && (polls[3].revents & POLLIN) != 0 && polls[1].revents == 0 && polls[2].revents == 0)
      break;
  }
  auto ended = Wait(child, std::max(patience.Slice(), Milliseconds(1)));
  while (!ended && ended.error().code() == Code::kTimeout) {
    if (patience.Cancelled() || patience.Left() == Milliseconds(0))
      return GiveUp(child, command.argv[0], timeout, patience);
    ended = Wait(child, patience.Slice());
  }
  if (!ended) return std::move(ended).error().While("running " + command.argv[0]);
  result.exit_code = ended->exit_code;
  result.signal = ended->signal;
  return result;
}

Result<std::string> RunChecked(Command command, Milliseconds timeout, std::string_view input) {
  const std::string name = command.argv.empty() ? "" : command.argv[0];
  CommandResult result = TRY(Run(std::move(command), timeout, input));
  if (result.ok()) return std::move(result.out);
  std::string tail = result.err.size() > 2000 ? result.err.substr(result.err.size() - 2000) : result.err;
  while (!tail.empty() && (tail.back() == '\n' || tail.back() == ' ')) tail.pop_back();
  return Error(Code::kFailed,
               name + " failed (" + result.Describe() + ")" + (tail.empty() ? "" : ": " + tail));
}

}  // namespace ingot
