#include "adapters/crun_runtime.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "adapters/attach_hurry.h"
#include "adapters/cgroup.h"
#include "adapters/compiled_filters.h"
#include "adapters/conmon.h"
#include "adapters/copy_out.h"
#include "adapters/crun_bundle.h"
#include "adapters/crun_config.h"
#include "adapters/crun_state.h"
#include "adapters/exit_watch.h"
#include "adapters/linux_mount.h"
#include "base/subprocess.h"
#include "base/sync.h"
#include "platform/signals.h"

namespace ingot::adapters {

using platform::InstanceId;
using platform::InstanceSpec;
using platform::ProcessState;
using platform::RuntimeStatus;

namespace {

constexpr Milliseconds kEndTimeout{10'000};
constexpr Milliseconds kExecTimeout{10'000};
constexpr const char* kStartLock = "start.lock";  // in a bundle: ConmonStart::lock
constexpr std::string_view kSandboxPrefix = "sb-";

bool WaitFor(int pidfd, Milliseconds timeout) {
  struct pollfd p = {pidfd, POLLIN, 0};
  return ::poll(&p, 1, static_cast<int>(timeout.count())) > 0;
}

// What /proc/PID/exe points at; it changes at execve.
std::string ProgramOf(pid_t pid) {
  std::array<char, PATH_MAX> buffer{};
  const std::string link = "/proc/" + std::to_string(pid) + "/exe";
  const ssize_t n = ::readlink(link.c_str(), buffer.data(), buffer.size());
  return n > 0 ? std::string(buffer.data(), static_cast<size_t>(n)) : std::string();
}

}  // namespace

class CrunRuntime::Impl {
 public:
  explicit Impl(Options options)
      : options_(std::move(options)),
        bundles_(options_.run_dir / "i"),
        exits_(options_.run_dir / "exits"),
        crun_root_(options_.run_dir / "crun") {}

  Result<void> Open() {
    for (const char* program : {"crun", "conmon"})
      if (auto found = FindProgram(program); !found)
        return Error(Code::kUnavailable, found.error().message());
    TRY(MakeDirectories(bundles_, 0711));
    TRY(MakeDirectories(exits_, 0700));
    TRY(MakeDirectories(crun_root_, 0700));
    TRY(MakeDirectories(options_.log_dir, 0755));
    cgroups_ = TRY(LookAtCgroups());
    const fs::path memory = cgroups_.Directory("memory", "");
    limit_swap_ = cgroups_.mode == CgroupMode::kV2 ||
                  (!memory.empty() && ::access((memory / "memory.memsw.limit_in_bytes").c_str(), F_OK) == 0);
    mounts_ = TRY(PinnedMounts::Open(options_.run_dir));
    return {};
  }

  // Apart from Open, since Teardown needs no watch.
  Result<void> StartWatch() {
    watch_ = TRY(ExitWatch::Start(exits_, [this](const std::string& name) {
      auto id = InstanceId::ParseFileName(name);
      if (id && options_.on_exit) options_.on_exit(*id);
    }));
    for (const std::string& name : TRY(Bundles())) Watch(name);
    hurry_.emplace(cgroups_);
    return {};
  }

  Result<void> Prepare(const InstanceSpec& spec) {
    TRY(CheckForBundle(spec));
    if (hurry_) hurry_->Announce();
    const std::string name = spec.id.FileName();
    const fs::path bundle = bundles_ / name;
    const std::lock_guard lock(LockOf(name));
    if (::access((bundle / "config.json").c_str(), F_OK) == 0) return {};
    // Half made by a process that was killed.
    if (::access(bundle.c_str(), F_OK) == 0) TRY(RemoveLocked(name));
    CrunConfig config;
    config.process = spec.process;
    for (std::string& capability : config.process.capabilities) capability = TRY(ParseCapability(capability));
    config.limit_swap = limit_swap_;
    config.cgroup = Group() + "/" + name;
    config.cgroup_mount = cgroups_.mode == CgroupMode::kV2;
    config.seccomp_filter = filters_.For(name, config.process.capabilities);
    auto made = mounts_->Run([&] { return MakeBundle(spec, bundle, std::move(config)); });
    if (!made) static_cast<void>(RemoveLocked(name).has_value());
    return made;
  }

  Result<void> Start(const InstanceId& id) {
    const std::string name = id.FileName();
    const std::lock_guard lock(LockOf(name));
    const fs::path bundle = bundles_ / name;
    if (::access((bundle / "config.json").c_str(), F_OK) != 0)
      return Error(Code::kNotFound, "instance " + id.Render() + " is not prepared");
    auto state = TRY(ReadCrunState(crun_root_ / name));
    if (TRY(ReadExitCode(exits_, name))) return {};  // It ran and ended: an instance is never started twice.
    const bool exists = state && OpenProcess(*state);
    if (exists && !state->waiting) return {};
    if (state && !exists) return {};
    if (!exists) {
      TRY(EndStart(name));
      // Free now, but for a child of another thread that has not yet executed its program.
      const FileLock started = TRY(FileLock::Take(bundle / kStartLock, true));
      ConmonStart start{name, bundle, crun_root_, exits_, LogOf(name), mounts_->descriptor(), started.fd()};
      auto created = CreateByConmon(start);
      if (!created) return std::move(created).error().While("starting " + id.Render());
      state = TRY(ReadCrunState(crun_root_ / name));
      if (!state) return Error(Code::kFailed, "crun made no state for " + id.Render());
      filters_.Keep(name, crun_root_ / name);
    }
    auto running = Release(name, *state);
    Watch(name);
    if (!running) return std::move(running).error().While("starting " + id.Render());
    return {};
  }

  Result<void> Signal(const InstanceId& id, const std::string& signal) {
    const int number = TRY(platform::ParseSignal(signal));
    auto state = TRY(ReadCrunState(crun_root_ / id.FileName()));
    auto process = state ? OpenProcess(*state) : std::nullopt;
    if (!process || state->waiting)
      return Error(Code::kNotFound, "instance " + id.Render() + " does not run");
    if (::syscall(SYS_pidfd_send_signal, process->get(), number, nullptr, 0) < 0) {
      if (errno == ESRCH) return Error(Code::kNotFound, "instance " + id.Render() + " does not run");
      return ErrnoError(errno, "send " + signal + " to " + id.Render());
    }
    return {};
  }

  Result<void> Remove(const InstanceId& id) {
    const std::string name = id.FileName();
    const std::lock_guard lock(LockOf(name));
    return RemoveLocked(name);
  }

  Result<platform::CopiedOut> CopyOut(const InstanceId& id, const std::vector<platform::Scratch>& scratch,
                                      const fs::path& target) {
    const std::string name = id.FileName();
    const std::lock_guard lock(LockOf(name));
    auto state = TRY(ReadCrunState(crun_root_ / name));
    // What it still writes would be copied by halves.
    if (auto process = state ? OpenProcess(*state) : std::nullopt) {
      ::syscall(SYS_pidfd_send_signal, process->get(), SIGKILL, nullptr, 0);
      if (!WaitFor(process->get(), kEndTimeout))
        return Error(Code::kTimeout, "the process of " + name + " does not end after SIGKILL");
    }
    TRY(RemoveTree(target));
    platform::CopiedOut out;
    for (size_t i = 0; i < scratch.size(); ++i) {
      if (!scratch[i].kept) continue;
      const fs::path kept = KeptIn(bundles_ / name, i);
      Fd from;
      TRY(mounts_->Run([&]() -> Result<void> {
        from = TRY(OpenFile(kept, O_RDONLY | O_DIRECTORY));
        return {};
      }));
      TRY(CopyTreeOut(from.get(), target, scratch[i].path, scratch[i].size_bytes, out));
    }
    return out;
  }

  Result<std::vector<RuntimeStatus>> Observe() {
    std::vector<RuntimeStatus> out;
    for (const std::string& name : TRY(Bundles())) {
      auto id = InstanceId::ParseFileName(name);
      if (!id || ::access((bundles_ / name / "config.json").c_str(), F_OK) != 0) continue;
      RuntimeStatus status = TRY(StatusOf(name));
      // Removed while we looked.
      if (::access((bundles_ / name / "config.json").c_str(), F_OK) != 0) continue;
      status.id = *id;
      out.push_back(std::move(status));
    }
    return out;
  }

  Result<platform::InstanceUsage> Usage(const InstanceId& id) {
    const CgroupUsage usage = TRY(UsageOf(cgroups_, Group() + "/" + id.FileName()));
    return platform::InstanceUsage{usage.cpu_us, usage.memory_bytes, std::nullopt};
  }

  Result<int> Exec(const InstanceId& id, const std::vector<std::string>& args, Milliseconds timeout) {
    if (args.empty()) return Error(Code::kInvalid, "a command without a program");
    const std::string name = id.FileName();
    auto state = TRY(ReadCrunState(crun_root_ / name));
    if (!state || state->waiting || !OpenProcess(*state))
      return Error(Code::kNotFound, "instance " + id.Render() + " does not run");
    TempDirectory scratch = TRY(TempDirectory::Make(options_.run_dir / "exec", "x"));
    const fs::path pid_file = scratch.path() / "pid";
    Command command;
    command.argv = {"crun", "--root=" + crun_root_.string(),   "--cgroup-manager=cgroupfs",
                    "exec", "--pid-file=" + pid_file.string(), name};
    command.argv.insert(command.argv.end(), args.begin(), args.end());
    command.mount_namespace = mounts_->descriptor();
    auto result = Run(std::move(command), timeout);
    if (!result && result.error().code() == Code::kTimeout) {
      // crun itself is dead; what it started inside is not its child.
      if (auto pid = ReadFile(pid_file, 64); pid && std::atoi(pid->c_str()) > 0)
        ::kill(std::atoi(pid->c_str()), SIGKILL);
      return Error(Code::kTimeout, "the command inside " + id.Render() + " did not end within " +
                                       std::to_string(timeout.count()) + " ms");
    }
    if (!result) return std::move(result).error();
    if (result->signal != 0) return 128 + result->signal;
    return result->exit_code;
  }

  Result<void> Sweep() {
    std::set<std::string> known;
    for (const std::string& name : TRY(Bundles())) {
      if (::access((bundles_ / name / "config.json").c_str(), F_OK) == 0) {
        known.insert(name);
        continue;
      }
      // Prepare holds the lock while it makes one, so this is a rest.
      const std::lock_guard lock(LockOf(name));
      if (::access((bundles_ / name / "config.json").c_str(), F_OK) == 0)
        known.insert(name);
      else
        TRY(RemoveLocked(name));
    }
    std::set<std::string> strays;
    for (const std::string& name : TRY(ListDirectory(crun_root_))) strays.insert(name);
    for (const std::string& name : TRY(ListDirectory(exits_))) strays.insert(name);
    for (const std::string& name : TRY(ChildrenOf(cgroups_, Group()))) strays.insert(name);
    for (const std::string& name : strays) {
      if (known.contains(name) || name.starts_with(kSandboxPrefix) || !InstanceId::ParseFileName(name))
        continue;
      const std::lock_guard lock(LockOf(name));
      if (::access((bundles_ / name).c_str(), F_OK) != 0) TRY(RemoveLocked(name));
    }
    return RemoveTree(options_.run_dir / "exec");
  }

  Result<void> RotateLogs(uint64_t limit_bytes, int keep) {
    for (const std::string& file : TRY(ListDirectory(options_.log_dir))) {
      if (!file.ends_with(".log")) continue;
      struct stat st {};
      const fs::path log = options_.log_dir / file;
      if (::stat(log.c_str(), &st) < 0) continue;
      if (static_cast<uint64_t>(st.st_size) <= limit_bytes) continue;
      TRY(RotateLog(log, bundles_ / file.substr(0, file.size() - 4), keep));
    }
    return {};
  }

  fs::path LogOf(const std::string& name) const { return options_.log_dir / (name + ".log"); }

  Result<void> RemoveEverything() {
    for (const std::string& name : TRY(Bundles())) {
      const std::lock_guard lock(LockOf(name));
      TRY(RemoveLocked(name));
    }
    TRY(Sweep());
    TRY(KillCgroup(cgroups_, Group(), kEndTimeout));
    TRY(RemoveCgroup(cgroups_, Group(), kEndTimeout));
    mounts_.reset();
    TRY(PinnedMounts::Teardown(options_.run_dir));
    for (const fs::path& path : {bundles_, exits_, crun_root_}) TRY(RemoveTree(path));
    return {};
  }

 private:
  std::string Group() const { return "/ingot-" + options_.root_key; }
  std::mutex& LockOf(const std::string& name) {
    return locks_[std::hash<std::string>()(name) % locks_.size()];
  }

  // Lets the created container go and waits until its program runs.
  Result<void> Release(const std::string& name, const CrunState& state) {
    auto process = OpenProcess(state);
    if (!process) return Error(Code::kFailed, "its process ended before it was started");
    const std::string before = ProgramOf(state.pid);
    auto released = ReleaseExecFifo(crun_root_ / name);
    if (!released && released.error().code() == Code::kConflict) {
      // Let go by a process of ours that was killed right then.
      ::unlink((crun_root_ / name / "exec.fifo").c_str());
      return {};
    }
    TRY(std::move(released));
    const auto deadline = std::chrono::steady_clock::now() + kExecTimeout;
    auto pause = std::chrono::microseconds(100);
    while (!WaitFor(process->get(), Milliseconds(0))) {
      const std::string now = ProgramOf(state.pid);
      if (!now.empty() && now != before) return {};
      if (std::chrono::steady_clock::now() > deadline)
        return Error(Code::kTimeout, "its program was not executed within 10 s");
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 2, std::chrono::microseconds(1000));
    }
    // It ended so soon that we did not see it run, or crun could not execute it.
    const auto exit_deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    while (!TRY(ReadExitCode(exits_, name)) && std::chrono::steady_clock::now() < exit_deadline)
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    const std::string tail = TailOfLog(LogOf(name), 4096);
    constexpr std::string_view kCannot = "exec container process";
    if (const size_t at = tail.find(kCannot); at != std::string::npos)
      return Error(Code::kFailed, "its program cannot be executed: " +
                                      tail.substr(at, std::min<size_t>(tail.find('\n', at) - at, 500)));
    return {};
  }

  void Watch(const std::string& name) {
    if (!watch_) return;
    auto state = ReadCrunState(crun_root_ / name);
    if (!state || !*state || (*state)->waiting) return;
    auto process = OpenProcess(**state);
    auto conmon = OpenConmon(bundles_ / name, name);
    watch_->Add(name, process ? std::move(*process) : Fd(), conmon ? std::move(*conmon) : Fd());
  }

  Result<std::vector<std::string>> Bundles() const { return ListDirectory(bundles_); }

  Result<RuntimeStatus> StatusOf(const std::string& name) {
    RuntimeStatus status;
    struct stat st {};
    if (::stat((bundles_ / name / "pid").c_str(), &st) == 0)
      status.started = WallTime(Milliseconds(st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1'000'000));
    auto state = TRY(ReadCrunState(crun_root_ / name));
    status.exit_code = TRY(ReadExitCode(exits_, name));
    if (!state && !status.exit_code) return status;
    if (!status.exit_code) {
      if (OpenProcess(*state)) {
        status.pid = state->pid;
        status.state = state->waiting ? ProcessState::kCreated : ProcessState::kRunning;
        return status;
      }
      // conmon is about to write the code, unless it is dead.
      for (int i = 0; i < 100 && !status.exit_code && OpenConmon(bundles_ / name, name); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        status.exit_code = TRY(ReadExitCode(exits_, name));
      }
      if (!status.exit_code) status.exit_code = TRY(ReadExitCode(exits_, name));
    }
    status.state = ProcessState::kExited;
    status.out_of_memory = TRY(HadOutOfMemory(cgroups_, Group() + "/" + name));
    return status;
  }

  Result<void> EndConmon(const std::string& name, const std::optional<Fd>& conmon) {
    if (!conmon) return {};
    ::syscall(SYS_pidfd_send_signal, conmon->get(), SIGKILL, nullptr, 0);
    if (!WaitFor(conmon->get(), kEndTimeout))
      return Error(Code::kTimeout, "conmon of " + name + " does not end after SIGKILL");
    return {};
  }

  // Until nobody is left of a start: conmon, which ends by itself when its container has, crun, and what a
  // process of ours that was killed had forked and that would begin only now.
  Result<void> EndStart(const std::string& name) {
    const fs::path bundle = bundles_ / name;
    TRY(EndConmon(name, OpenConmon(bundle, name)));
    // Nothing was ever started. It is not made here: a full disk must not keep an instance from being
    // removed.
    if (::access((bundle / kStartLock).c_str(), F_OK) != 0) return {};
    const auto deadline = std::chrono::steady_clock::now() + kEndTimeout;
    while (true) {
      auto lock = FileLock::Take(bundle / kStartLock, false);
      if (lock) return {};
      if (lock.error().code() != Code::kConflict) return std::move(lock).error();
      TRY(EndConmon(name, FindConmon(bundle)));
      TRY(KillCgroup(cgroups_, Group() + "/" + name, kEndTimeout));
      if (std::chrono::steady_clock::now() > deadline)
        return Error(Code::kTimeout, "what started " + name + " does not end after SIGKILL");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  // Every step may have been done before. The bundle, which is what makes us know of it, goes last.
  Result<void> RemoveLocked(const std::string& name) {
    const fs::path bundle = bundles_ / name;
    const std::string group = Group() + "/" + name;
    if (watch_) watch_->Forget(name);
    filters_.Forget(name);
    const auto doing = [&](Result<void> result) -> Result<void> {
      if (!result) return std::move(result).error().While("removing instance " + name);
      return {};
    };
    auto state = ReadCrunState(crun_root_ / name);
    std::optional<Fd> process = state && *state ? OpenProcess(**state) : std::nullopt;
    auto conmon = OpenConmon(bundle, name);
    if (!process && conmon) {
      // Nothing to log any more, or crun is at work for a process of ours that was killed: it must not go on.
      static_cast<void>(WaitFor(conmon->get(), Milliseconds(20)));
    }
    if (process) {
      ::syscall(SYS_pidfd_send_signal, process->get(), SIGKILL, nullptr, 0);
      if (!WaitFor(process->get(), kEndTimeout))
        return Error(Code::kTimeout,
                     "the process of " + name + " does not end after SIGKILL; it waits for the kernel");
      // The last lines of its log.
      if (conmon) static_cast<void>(WaitFor(conmon->get(), Milliseconds(1000)));
    }
    TRY(doing(EndStart(name)));
    TRY(doing(KillCgroup(cgroups_, group, kEndTimeout)));
    TRY(doing(RemoveCgroup(cgroups_, group, kEndTimeout)));
    if (::access(bundle.c_str(), F_OK) == 0)
      TRY(doing(mounts_->Run([&]() -> Result<void> {
        TRY(UnmountBundle(bundle));
        // What crun took for a cgroup there.
        if (cgroups_.mode == CgroupMode::kHybrid) return RemoveTree(kSecondCgroupTree + group);
        return {};
      })));
    TRY(doing(RemoveTree(crun_root_ / name)));
    ::unlink((exits_ / name).c_str());
    ::unlink((bundle / "config.json").c_str());
    return doing(RemoveTree(bundle));
  }

  Options options_;
  fs::path bundles_;
  fs::path exits_;
  fs::path crun_root_;
  CgroupHost cgroups_;
  bool limit_swap_ = false;
  std::unique_ptr<PinnedMounts> mounts_;
  std::array<std::mutex, 64> locks_;
  CompiledFilters filters_;
  std::optional<AttachHurry> hurry_;
  std::unique_ptr<ExitWatch> watch_;  // last: its thread uses the others
};

CrunRuntime::CrunRuntime(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CrunRuntime::~CrunRuntime() = default;

Result<std::unique_ptr<CrunRuntime>> CrunRuntime::Open(Options options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  TRY(impl->Open());
  TRY(impl->StartWatch());
  return std::unique_ptr<CrunRuntime>(new CrunRuntime(std::move(impl)));
}

Result<void> CrunRuntime::Teardown(const Options& options) {
  Impl impl(options);
  TRY(impl.Open());
  return impl.RemoveEverything();
}

Result<void> CrunRuntime::Prepare(const InstanceSpec& spec) {
  return impl_->Prepare(spec);
}
Result<void> CrunRuntime::Start(const InstanceId& id) {
  return impl_->Start(id);
}
Result<void> CrunRuntime::Signal(const InstanceId& id, const std::string& signal) {
  return impl_->Signal(id, signal);
}
Result<void> CrunRuntime::Remove(const InstanceId& id) {
  return impl_->Remove(id);
}
Result<platform::CopiedOut> CrunRuntime::CopyOut(const InstanceId& id,
                                                 const std::vector<platform::Scratch>& scratch,
                                                 const fs::path& target) {
  return impl_->CopyOut(id, scratch, target);
}
Result<std::vector<RuntimeStatus>> CrunRuntime::Observe() {
  return impl_->Observe();
}
Result<platform::InstanceUsage> CrunRuntime::Usage(const InstanceId& id) {
  return impl_->Usage(id);
}
Result<int> CrunRuntime::Exec(const InstanceId& id, const std::vector<std::string>& args,
                              Milliseconds timeout) {
  return impl_->Exec(id, args, timeout);
}
Result<void> CrunRuntime::Sweep() {
  return impl_->Sweep();
}
Result<void> CrunRuntime::RotateLogs(uint64_t limit_bytes, int keep) {
  return impl_->RotateLogs(limit_bytes, keep);
}
fs::path CrunRuntime::LogFile(const InstanceId& id) const {
  return impl_->LogOf(id.FileName());
}

}  // namespace ingot::adapters
