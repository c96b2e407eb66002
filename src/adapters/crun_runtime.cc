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
#include "adapters/conmon.h"
#include "adapters/copy_out.h"
#include "adapters/crun_config.h"
#include "adapters/crun_state.h"
#include "adapters/exit_watch.h"
#include "adapters/instance_root.h"
#include "adapters/linux_mount.h"
#include "base/subprocess.h"
#include "base/sync.h"
#include "oci/base64.h"
#include "platform/signals.h"

namespace ingot::adapters {

using platform::InstanceId;
using platform::InstanceSpec;
using platform::ProcessState;
using platform::RuntimeStatus;

namespace {

constexpr Milliseconds kEndTimeout{10'000};
constexpr Milliseconds kExecTimeout{10'000};
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

std::string HostsFile(const InstanceSpec& spec) {
  std::string out = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t" +
                    (spec.hostname.empty() ? spec.id.Short() : spec.hostname) + "\n";
  for (const auto& [name, address] : spec.hosts) out += address + "\t" + name + "\n";
  return out;
}

bool IsFileName(const std::string& name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

Result<void> Validate(const InstanceSpec& spec) {
  if (spec.process.args.empty() || spec.process.args[0].empty())
    return Error(Code::kInvalid, spec.id.Render() +
                                     " has no command: the image has neither ENTRYPOINT nor CMD; give the "
                                     "service a `command`");
  for (const auto& [name, bytes] : spec.secrets)
    if (!IsFileName(name)) return Error(Code::kInvalid, "\"" + name + "\" cannot be a secret's file name");
  for (const platform::Scratch& scratch : spec.scratch)
    if (scratch.path.size() < 2 || scratch.path[0] != '/' ||
        fs::path(scratch.path).lexically_normal().string() != scratch.path)
      return Error(Code::kInvalid, "the scratch path \"" + scratch.path + "\" is not a plain absolute path");
  for (const platform::VolumeBind& volume : spec.volumes)
    if (volume.path.size() < 2 || volume.path[0] != '/' ||
        fs::path(volume.path).lexically_normal().string() != volume.path)
      return Error(Code::kInvalid, "the volume path \"" + volume.path + "\" is not a plain absolute path");
  for (const auto& [name, address] : spec.hosts)
    if (name.find_first_of(" \t\r\n#") != std::string::npos ||
        address.find_first_of(" \t\r\n#") != std::string::npos)
      return Error(Code::kInvalid, "\"" + name + "\" cannot stand in /etc/hosts");
  return {};
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
    TRY(Validate(spec));
    if (hurry_) hurry_->Announce();
    const std::string name = spec.id.FileName();
    const fs::path bundle = bundles_ / name;
    const std::lock_guard lock(LockOf(name));
    if (::access((bundle / "config.json").c_str(), F_OK) == 0) return {};
    // Half made by a process that was killed.
    if (::access(bundle.c_str(), F_OK) == 0) TRY(RemoveLocked(name));
    auto made = mounts_->Run([&] { return Make(spec, bundle); });
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
      TRY(EndConmon(name));
      // Told to Remove, which otherwise could miss a conmon that has not yet written down its pid.
      TRY(WriteFileAtomic(bundle / "starting", "", 0600, Durability::kNone));
      ConmonStart start{name, bundle, crun_root_, exits_, LogOf(name), mounts_->descriptor()};
      auto created = CreateByConmon(start);
      ::unlink((bundle / "starting").c_str());
      if (!created) return std::move(created).error().While("starting " + id.Render());
      state = TRY(ReadCrunState(crun_root_ / name));
      if (!state) return Error(Code::kFailed, "crun made no state for " + id.Render());
      KeepFilter(name);
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

  // In the pinned mount namespace. config.json comes last: without it the bundle is not prepared.
  Result<void> Make(const InstanceSpec& spec, const fs::path& bundle) {
    ::umask(0);
    TRY(MakeDirectories(bundle, 0711));
    TRY(MakeDirectories(bundle / "rootfs", 0711));
    CrunConfig config;
    config.root = bundle / "rootfs";
    config.hostname = spec.hostname.empty() ? spec.id.Short() : spec.hostname;
    config.process = spec.process;
    for (std::string& capability : config.process.capabilities) capability = TRY(ParseCapability(capability));
    config.ids = spec.ids;
    config.limits = spec.limits;
    config.limit_swap = limit_swap_;
    for (const platform::Scratch& scratch : spec.scratch)
      if (!scratch.kept) config.scratch.push_back(scratch);
    config.network_namespace = spec.network_namespace;
    config.cgroup = Group() + "/" + spec.id.FileName();
    config.cgroup_mount = cgroups_.mode == CgroupMode::kV2;
    UseFilter(spec.id.FileName(), config);

    RootOptions options;
    options.directories = MountPoints(config);
    if (!spec.secrets.empty()) options.directories.push_back("/run/secrets");
    for (const platform::Scratch& scratch : spec.scratch)
      if (scratch.kept) options.directories.push_back(scratch.path);
    for (const platform::VolumeBind& volume : spec.volumes) options.directories.push_back(volume.path);
    const std::string contents[] = {HostsFile(spec),
                                    "# No name service: what this instance uses stands in /etc/hosts.\n",
                                    config.hostname + "\n"};
    for (const std::string& path : InstanceFiles())
      options.files.emplace_back(path, contents[options.files.size()]);
    options.staging = bundle / "rootfs";
    InstanceRoot root = TRY(MakeRoot(spec.root, spec.ids, spec.process.user, options));
    config.user = root.user;
    TRY(AttachMount(root.mount.get(), bundle / "rootfs"));
    if (!spec.secrets.empty()) {
      TRY(MakeSecrets(spec, root.user, bundle / "secrets"));
      config.binds.push_back({bundle / "secrets", "/run/secrets", false, true});
    }
    TRY(MakeKept(spec, bundle, config));
    TRY(MakeVolumes(spec, root.user, bundle, config));
    if (!spec.network_namespace.empty()) {
      // A new sysfs shows the devices of a network namespace, and only its owner may make one: not the
      // instance.
      TRY(MakeSys(spec.network_namespace, bundle / "sys"));
      config.sys = CrunConfig::Bind{bundle / "sys", "/sys", false, true};
    }
    return WriteFileAtomic(bundle / "config.json", RenderJson(RenderCrunConfig(config)), 0600,
                           Durability::kNone);
  }

  // crun compiles the seccomp profile for each container (10 ms) and leaves the result beside its state. The
  // first of a set of capabilities is the model for all others.
  void UseFilter(const std::string& name, CrunConfig& config) {
    auto filters = filters_.lock();
    const auto found = filters->compiled.find(config.process.capabilities);
    if (found != filters->compiled.end())
      config.seccomp_filter = found->second;
    else
      filters->wanted[name] = config.process.capabilities;
  }
  void KeepFilter(const std::string& name) {
    auto filters = filters_.lock();
    const auto wanted = filters->wanted.extract(name);
    if (wanted.empty()) return;
    if (auto filter = ReadFile(crun_root_ / name / "seccomp.bpf", 1 << 20); filter && !filter->empty())
      filters->compiled.emplace(wanted.mapped(), oci::RenderBase64(*filter));
  }

  static Result<void> MakeSecrets(const InstanceSpec& spec, const RootUser& user, const fs::path& target) {
    uint64_t size = 1 << 20;
    for (const auto& [name, bytes] : spec.secrets) size += (bytes.size() + 4095) / 4096 * 4096 + 4096;
    const uint32_t first = spec.ids ? spec.ids->first : 0;
    const MountFlags flags{.read_only = false, .no_exec = true};
    Fd tmpfs = TRY(MountTmpfs(size, 0755, flags));
    for (const auto& [name, bytes] : spec.secrets) {
      Fd fd(::openat(tmpfs.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400));
      if (!fd.valid()) return ErrnoError(errno, "make the secret " + name);
      TRY(WriteAll(fd.get(), bytes));
      if (::fchown(fd.get(), first + user.uid, first + user.gid) < 0)
        return ErrnoError(errno, "own the secret " + name);
    }
    if (::fchownat(tmpfs.get(), "", first, first, AT_EMPTY_PATH) < 0)
      return ErrnoError(errno, "own the secrets' directory");
    TRY(Restrict(tmpfs.get(), {.read_only = true, .no_exec = true}));
    TRY(MakeDirectories(target, 0711));
    return AttachMount(tmpfs.get(), target);
  }

  // Scratch that is to be copied out is mounted by us: what crun mounts is gone with the process.
  static Result<void> MakeKept(const InstanceSpec& spec, const fs::path& bundle, CrunConfig& config) {
    for (size_t i = 0; i < spec.scratch.size(); ++i) {
      const platform::Scratch& scratch = spec.scratch[i];
      if (!scratch.kept) continue;
      const fs::path target = KeptIn(bundle, i);
      Fd tmpfs = TRY(MountTmpfs(scratch.size_bytes, 01777, {.read_only = false, .no_exec = !scratch.exec}));
      const uint32_t first = spec.ids ? spec.ids->first : 0;
      if (::fchownat(tmpfs.get(), "", first, first, AT_EMPTY_PATH) < 0)
        return ErrnoError(errno, "own " + scratch.path);
      TRY(MakeDirectories(target, 0711));
      TRY(AttachMount(tmpfs.get(), target));
      config.binds.push_back({target, scratch.path, false, !scratch.exec, true});
    }
    return {};
  }

  // Owners are shifted by the mount: on the disk everything belongs to whom it belongs to inside, and the
  // next instance, with another range, finds it as this one left it.
  static Result<void> MakeVolumes(const InstanceSpec& spec, const RootUser& user, const fs::path& bundle,
                                  CrunConfig& config) {
    if (spec.volumes.empty()) return {};
    Fd users;
    if (spec.ids) users = TRY(MakeUserNamespace(*spec.ids));
    for (size_t i = 0; i < spec.volumes.size(); ++i) {
      const platform::VolumeBind& volume = spec.volumes[i];
      if (TRY(ListDirectory(volume.source)).empty() &&
          ::lchown(volume.source.c_str(), user.uid, user.gid) < 0)
        return ErrnoError(errno, "own " + volume.source.string());
      const fs::path target = bundle / "volumes" / std::to_string(i);
      Fd mount = TRY(CloneMount(volume.source, users.valid() ? users.get() : -1,
                                {.read_only = volume.read_only, .no_exec = true}));
      TRY(MakeDirectories(target, 0711));
      TRY(AttachMount(mount.get(), target));
      config.binds.push_back({target, volume.path, false, true, !volume.read_only});
    }
    return {};
  }

  static fs::path KeptIn(const fs::path& bundle, size_t index) {
    return bundle / "kept" / std::to_string(index);
  }

  static Result<void> MakeSys(const fs::path& network_namespace, const fs::path& target) {
    Fd network = TRY(OpenFile(network_namespace, O_RDONLY));
    if (::setns(network.get(), CLONE_NEWNET) < 0)
      return ErrnoError(errno, "enter the network namespace " + network_namespace.string());
    Fd sys = TRY(MountSysfs());
    TRY(MakeDirectories(target, 0711));
    return AttachMount(sys.get(), target);
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

  // conmon ends by itself when its container has; one that does not is killed.
  Result<void> EndConmon(const std::string& name) {
    const fs::path bundle = bundles_ / name;
    auto conmon = OpenConmon(bundle, name);
    if (!conmon && ::access((bundle / "starting").c_str(), F_OK) == 0) conmon = FindConmon(bundle);
    if (!conmon) return {};
    ::syscall(SYS_pidfd_send_signal, conmon->get(), SIGKILL, nullptr, 0);
    if (!WaitFor(conmon->get(), kEndTimeout))
      return Error(Code::kTimeout, "conmon of " + name + " does not end after SIGKILL");
    return {};
  }

  // Every step may have been done before. The bundle, which is what makes us know of it, goes last.
  Result<void> RemoveLocked(const std::string& name) {
    const fs::path bundle = bundles_ / name;
    const std::string group = Group() + "/" + name;
    if (watch_) watch_->Forget(name);
    filters_.lock()->wanted.erase(name);
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
    TRY(doing(EndConmon(name)));
    TRY(doing(KillCgroup(cgroups_, group, kEndTimeout)));
    TRY(doing(RemoveCgroup(cgroups_, group, kEndTimeout)));
    if (::access(bundle.c_str(), F_OK) == 0)
      TRY(doing(mounts_->Run([&]() -> Result<void> {
        for (const char* mount : {"rootfs", "secrets", "sys"}) TRY(Unmount(bundle / mount));
        for (const char* several : {"kept", "volumes"}) {
          auto mounts = ListDirectory(bundle / several);
          if (!mounts && mounts.error().code() != Code::kNotFound) return std::move(mounts).error();
          if (mounts)
            for (const std::string& mount : *mounts) TRY(Unmount(bundle / several / mount));
        }
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
  struct Filters {
    std::map<std::vector<std::string>, std::string> compiled;  // by capabilities
    std::map<std::string, std::vector<std::string>>
        wanted;  // by instance: to be kept when it has been created
  };
  Sync<Filters> filters_;
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
