#include "adapters/crun_sandbox.h"

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
#include <future>
#include <optional>
#include <thread>

#include "adapters/cgroup.h"
#include "adapters/crun_config.h"
#include "adapters/id_ranges.h"
#include "adapters/instance_root.h"
#include "adapters/linux_mount.h"
#include "adapters/linux_namespace.h"
#include "adapters/linux_netlink.h"
#include "adapters/stream_carrier.h"
#include "base/subprocess.h"

namespace ingot::adapters {

using platform::SandboxSpec;

namespace {

// Apart from the instances' group, so that it can be removed without a look at what the daemon is starting.
std::string GroupOf(const CrunSandbox::Options& options) {
  return "/ingot-" + options.root_key + "-sb";
}

// The group of all sandboxes, once the last one is gone. Called with sb.lock held: nobody makes a group in it
// now.
void RemoveEmptyParent(const CrunSandbox::Options& options, const CgroupHost& host) {
  auto left = ListDirectory(options.run_dir / "sb");
  if (!left ||
      std::any_of(left->begin(), left->end(), [](const auto& name) { return name.ends_with(".lock"); }))
    return;
  for (const auto& hierarchy : host.hierarchies)
    ::rmdir((hierarchy.mount.string() + GroupOf(options)).c_str());
}

bool HasGroup(const CgroupHost& host, const std::string& group) {
  return std::any_of(host.hierarchies.begin(), host.hierarchies.end(), [&](const auto& hierarchy) {
    return ::access((hierarchy.mount.string() + group).c_str(), F_OK) == 0;
  });
}

constexpr Milliseconds kSandboxEndTimeout{10'000};
constexpr const char* kHostName = "ingot-build";
constexpr size_t kTail = 4096;

bool IsLabel(const std::string& name) {
  return !name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

constexpr const char* kInterrupted = "interrupted";

bool IsReadable(int fd) {
  struct pollfd p = {fd, POLLIN, 0};
  return fd >= 0 && ::poll(&p, 1, 0) > 0;
}

Error KernelError(int error_number, const char* doing) {
  return ErrnoError(error_number, std::string(doing) + " (this needs root)");
}

}  // namespace

// One run. A thread of ours makes the mounts in a mount namespace of its own and starts crun as the first
// process of a pid namespace of its own, told to die with that thread: when we end, in whatever way, all of
// it does.
class SandboxRun {
 public:
  SandboxRun(const CrunSandbox::Options& options, const SandboxSpec& spec)
      : options_(options),
        spec_(spec),
        bundle_(options.run_dir / "sb" / spec.name),
        group_(GroupOf(options) + "/" + spec.name),
        ids_({.directory = "/run/ingot-ids",
              .subuid = "/etc/subuid",
              .subgid = "/etc/subgid",
              .root_key = options.root_key + "-sb",
              .root = options.run_dir}) {}

  SandboxRun(const SandboxRun&) = delete;
  SandboxRun& operator=(const SandboxRun&) = delete;

  ~SandboxRun() {
    Kill();
    if (thread_.joinable()) thread_.join();
    if (claimed_) static_cast<void>(Clean().has_value());
  }

  Result<void> Start() {
    if (!IsLabel(spec_.name)) return Error(Code::kInvalid, "\"" + spec_.name + "\" cannot name a sandbox");
    if (spec_.process.args.empty()) return Error(Code::kInvalid, "a sandbox without a command");
    if (IsReadable(options_.interrupt)) return Error(Code::kCancelled, kInterrupted);
    if (auto found = FindProgram("crun"); !found) return Error(Code::kUnavailable, found.error().message());
    host_ = TRY(LookAtCgroups());
    TRY(MakeDirectories(options_.run_dir / "sb", 0711));
    TRY(MakeDirectories(CrunRoot(), 0700));
    const FileLock all = TRY(FileLock::Take(options_.run_dir / "sb.lock", true));
    auto lock = FileLock::Take(bundle_.string() + ".lock", false);
    if (!lock)
      return lock.error().code() == Code::kConflict
                 ? Error(Code::kConflict, "a sandbox named " + spec_.name + " is running")
                 : std::move(lock).error();
    lock_ = std::move(*lock);
    claimed_ = true;
    TRY(CleanRests());
    TRY(MakeDirectories(bundle_, 0711));
    TRY(MakeDirectories(bundle_ / "rootfs", 0711));
    if (spec_.upper) {
      // One that a killed run left is refused by the kernel (it was mounted volatile).
      TRY(RemoveTree(Work()));
      TRY(MakeDirectories(Work(), 0700));
    }
    if (!IsBuild()) range_ = TRY(ids_.Acquire(spec_.name));

    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) < 0) return ErrnoError(errno, "make a pipe");
    output_.reset(ends[0]);
    write_end_.reset(ends[1]);
    if (spec_.streams) carrier_ = TRY(StreamCarrier::Make(*spec_.streams));
    std::promise<Result<void>> started;
    auto outcome = started.get_future();
    thread_ = std::thread([this, &started] { Host(started); });
    return outcome.get();
  }

  // Reads output until it ends or `deadline`. kTimeout, kCancelled.
  Result<void> Pump(std::chrono::steady_clock::time_point deadline, int wake = -1) {
    std::array<char, 65536> buffer;
    bool open = true;
    while (true) {
      std::array<struct pollfd, 4> p = {{{open ? output_.get() : -1, POLLIN, 0},
                                         {child_.pidfd.get(), POLLIN, 0},
                                         {wake, POLLIN, 0},
                                         {options_.interrupt, POLLIN, 0}}};
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
      const int n =
          left <= 0 ? 0 : ::poll(p.data(), p.size(), static_cast<int>(std::min<int64_t>(left, 1 << 30)));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, "wait for a sandbox");
      if (n == 0)
        return Error(Code::kTimeout,
                     "it did not end within " + std::to_string(spec_.timeout.count()) + " ms");
      if (p[3].revents != 0) return Error(Code::kCancelled, kInterrupted);
      if (p[2].revents != 0) return {};
      if (p[0].revents != 0) {
        const ssize_t got = ::read(output_.get(), buffer.data(), buffer.size());
        if (got > 0) {
          Take(std::string_view(buffer.data(), static_cast<size_t>(got)));
          continue;
        }
        if (got == 0) open = false;
        if (got < 0 && errno != EINTR) return ErrnoError(errno, "read a sandbox's output");
      } else if (p[1].revents != 0) {
        return {};
      }
    }
  }

  // Pump for SandboxSpec::streams.
  Result<void> Carry(std::chrono::steady_clock::time_point deadline) {
    const auto signal = [this](int number) {
      ::syscall(SYS_pidfd_send_signal, child_.pidfd.get(), number, nullptr, 0);
    };
    if (!TRY(carrier_->Run(child_.pidfd.get(), deadline, signal)))
      return Error(Code::kTimeout, "it did not end within " + std::to_string(spec_.timeout.count()) + " ms");
    return {};
  }

  // After Pump: the exit code of what ran.
  Result<int> Finish() {
    auto ended = Wait(child_, kSandboxEndTimeout);
    child_.pid = -1;
    auto cleaned = Clean();
    if (!ended) return std::move(ended).error();
    TRY(std::move(cleaned));
    if (!crun_error_.empty())
      return Error(Code::kFailed, "crun cannot run " + spec_.process.args[0] + ": " + crun_error_);
    return ended->signal != 0 ? 128 + ended->signal : ended->exit_code;
  }

  void Kill() {
    if (child_.pid > 0) ::syscall(SYS_pidfd_send_signal, child_.pidfd.get(), SIGKILL, nullptr, 0);
  }
  bool Ended() const {
    struct pollfd p = {child_.pidfd.get(), POLLIN, 0};
    return ::poll(&p, 1, 0) > 0;
  }
  int network() const { return network_.get(); }
  const std::string& tail() const { return tail_; }

 private:
  bool IsBuild() const { return spec_.host_network || spec_.upper; }
  // Shared by all, since crun keeps the compiled seccomp profile there: 10 ms the first time, none after.
  fs::path CrunRoot() const { return options_.run_dir / "sb-crun"; }
  fs::path Work() const { return spec_.upper->string() + ".work"; }

  void Take(std::string_view bytes) {
    if (spec_.output) spec_.output(bytes);
    tail_ += bytes;
    if (tail_.size() > 2 * kTail) tail_.erase(0, tail_.size() - kTail);
  }

  // The thread: lives as long as crun, which dies with it.
  void Host(std::promise<Result<void>>& started) {
    auto made = Prepare();
    const bool ok = made.has_value();
    // `started` belongs to a caller that goes on as soon as it is set.
    std::optional<Fd> watch;
    if (ok) {
      if (auto copy = child_.pidfd.Duplicate()) watch = std::move(*copy);
    }
    started.set_value(std::move(made));
    if (!watch) return;
    struct pollfd p = {watch->get(), POLLIN, 0};
    while (::poll(&p, 1, -1) < 0 && errno == EINTR) {
    }
    // Now, not when the kernel comes to take this thread's namespace away: the caller is about to read
    // `upper`.
    if (::umount2((bundle_ / "rootfs").c_str(), UMOUNT_NOFOLLOW) < 0)
      static_cast<void>(Unmount(bundle_ / "rootfs").has_value());
  }

  Result<void> Prepare() {
    if (::unshare(CLONE_NEWNS | CLONE_FS) < 0) return KernelError(errno, "make a mount namespace");
    ::umask(0);
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0)
      return ErrnoError(errno, "make the mount namespace private");
    TRY(HideSecondCgroupTree());
    TRY(ProtectNull());
    CrunConfig config = TRY(Configure());
    TRY(WriteFileAtomic(bundle_ / "config.json", RenderJson(RenderCrunConfig(config)), 0600,
                        Durability::kNone));
    if (::unshare(CLONE_NEWPID) < 0) return KernelError(errno, "make a pid namespace");
    return Launch();
  }

  Result<CrunConfig> Configure() {
    CrunConfig config;
    config.root = bundle_ / "rootfs";
    config.read_only = !spec_.upper;
    config.hostname = kHostName;  // what a step writes must not depend on which run it was
    config.process = spec_.process;
    for (std::string& capability : config.process.capabilities) capability = TRY(ParseCapability(capability));
    if (IsBuild())
      for (const std::string& capability : BuildCapabilities())
        config.process.capabilities.push_back(capability);
    config.ids = range_;
    config.limits = spec_.limits;
    config.scratch = spec_.scratch;
    config.host_network = spec_.host_network;
    config.cgroup = group_;
    config.cgroup_mount = host_.mode == CgroupMode::kV2;
    for (const auto& [source, target] : spec_.binds) config.binds.push_back({source, target, true});

    RootOptions options;
    options.upper = spec_.upper;
    if (spec_.upper) options.work = Work();
    options.staging = bundle_ / "rootfs";
    options.directories = MountPoints(config);
    for (const auto& [source, target] : spec_.binds) {
      std::error_code ignored;
      (fs::is_directory(source, ignored) ? options.directories : options.mount_files).push_back(target);
    }
    TRY(NameFiles(config, options));
    InstanceRoot root = TRY(MakeRoot(spec_.root, config.ids, spec_.process.user, options));
    config.user = root.user;
    TRY(AttachMount(root.mount.get(), bundle_ / "rootfs"));
    if (!spec_.host_network) TRY(MakeNetwork(config));
    return config;
  }

  // /etc/hosts and /etc/resolv.conf. A build step may write to its own copies; they never reach the image.
  Result<void> NameFiles(CrunConfig& config, RootOptions& options) {
    const std::string hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t" +
                              config.hostname + "\n";
    std::string resolver;
    if (spec_.host_network) resolver = ReadFile("/etc/resolv.conf", 1 << 20).value_or("");
    for (const auto& [name, text] : {std::pair{"hosts", hosts}, std::pair{"resolv.conf", resolver}}) {
      const std::string target = std::string("/etc/") + name;
      if (!IsBuild()) {
        options.files.emplace_back(target, text);
        continue;
      }
      TRY(WriteFileAtomic(bundle_ / name, text, 0644, Durability::kNone));
      options.mount_files.push_back(target);
      CrunConfig::Bind bind{bundle_ / name, target};
      bind.writable = true;
      config.binds.push_back(std::move(bind));
    }
    return {};
  }

  // Loopback only, made by us, so that it can be probed while it lives.
  Result<void> MakeNetwork(CrunConfig& config) {
    if (::unshare(CLONE_NEWNET) < 0) return KernelError(errno, "make a network namespace");
    Netlink netlink = TRY(Netlink::Open());
    TRY(netlink.SetUp("lo"));
    Fd unprivileged = TRY(OpenFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", O_WRONLY));
    TRY(WriteAll(unprivileged.get(), "0"));
    constexpr const char* kOwn = "/proc/thread-self/ns/net";
    network_ = TRY(OpenFile(kOwn, O_RDONLY));
    TRY(OpenFile(bundle_ / "net", O_RDONLY | O_CREAT, 0600));
    if (::mount(kOwn, (bundle_ / "net").c_str(), nullptr, MS_BIND, nullptr) < 0)
      return ErrnoError(errno, "pin the sandbox's network namespace");
    config.network_namespace = bundle_ / "net";
    Fd sys = TRY(MountSysfs());
    TRY(MakeDirectories(bundle_ / "sys", 0711));
    TRY(AttachMount(sys.get(), bundle_ / "sys"));
    config.sys = CrunConfig::Bind{bundle_ / "sys", "/sys", false, true};
    return {};
  }

  Result<void> Launch() {
    // In this mount namespace, where it cannot be given away.
    Fd null = TRY(OpenFile("/dev/null", O_RDWR));
    Command command;
    command.argv = {"crun",
                    "--root=" + CrunRoot().string(),
                    "--cgroup-manager=cgroupfs",
                    "--log=file:" + (bundle_ / "crun.log").string(),
                    "run",
                    "--bundle=" + bundle_.string(),
                    "sb-" + spec_.name};
    command.env = std::map<std::string, std::string>{
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}};
    command.cwd = "/";
    command.fds = {{null.get(), 0}, {write_end_.get(), 1}, {write_end_.get(), 2}};
    if (carrier_) command.fds = {{carrier_->input(), 0}, {carrier_->output(), 1}, {carrier_->error(), 2}};
    command.new_mount_namespace = true;
    command.mount_proc = true;
    command.die_with_parent = true;
    child_ = TRY(Spawn(command));
    write_end_.reset();
    if (carrier_) carrier_->CloseTheirs();
    return {};
  }

  // What a run of this name left that was killed with its process.
  Result<void> CleanRests() {
    TRY(KillCgroup(host_, group_, kSandboxEndTimeout));
    TRY(RemoveCgroup(host_, group_, kSandboxEndTimeout));
    TRY(RemoveTree(CrunRoot() / ("sb-" + spec_.name)));
    return RemoveTree(bundle_);
  }

  Result<void> Clean() {
    claimed_ = false;
    if (child_.pid > 0) {
      static_cast<void>(Wait(child_, kSandboxEndTimeout).has_value());
      child_.pid = -1;
    }
    // The thread holds the mount namespace, and that the upper directory.
    if (thread_.joinable()) thread_.join();
    network_.reset();
    crun_error_ = ReadFile(bundle_ / "crun.log", 1 << 20).value_or("");
    while (!crun_error_.empty() && crun_error_.back() == '\n') crun_error_.pop_back();
    TRY(CleanRests());
    if (spec_.upper) TRY(RemoveTree(Work()));
    if (range_) TRY(ids_.Release(spec_.name));
    const FileLock all = TRY(FileLock::Take(options_.run_dir / "sb.lock", true));
    ::unlink((bundle_.string() + ".lock").c_str());
    RemoveEmptyParent(options_, host_);
    return {};
  }

  const CrunSandbox::Options& options_;
  const SandboxSpec& spec_;
  fs::path bundle_;
  std::string group_;
  IdRanges ids_;
  CgroupHost host_;
  std::optional<FileLock> lock_;
  bool claimed_ = false;
  std::optional<platform::IdRange> range_;
  Fd output_;
  Fd write_end_;
  std::optional<StreamCarrier> carrier_;
  Fd network_;
  Child child_;
  std::string tail_;
  std::string crun_error_;
  std::thread thread_;
};

Result<int> CrunSandbox::Run(const SandboxSpec& spec) {
  TRY(Sweep());
  SandboxRun run(options_, spec);
  TRY(run.Start());
  const auto deadline = std::chrono::steady_clock::now() + spec.timeout;
  auto pumped = spec.streams ? run.Carry(deadline) : run.Pump(deadline);
  if (!pumped) run.Kill();
  auto code = run.Finish();
  if (!pumped) return std::move(pumped).error().While("running " + spec.process.args[0]);
  return code;
}

Result<void> CrunSandbox::With(const SandboxSpec& spec, const WhileRunning& while_running) {
  TRY(Sweep());
  SandboxRun run(options_, spec);
  TRY(run.Start());
  if (spec.host_network) return Error(Code::kInvalid, "a sandbox on the host's network cannot be probed");
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0) return ErrnoError(errno, "make a pipe");
  Fd done(ends[0]);
  Fd tell(ends[1]);
  Result<void> pumped;
  std::thread pump([&] {
    pumped = run.Pump(std::chrono::steady_clock::now() + spec.timeout, done.get());
    // `while_running` sees that it has ended.
    if (!pumped && pumped.error().code() == Code::kCancelled) run.Kill();
  });
  auto outcome = while_running(run.network(), [&run] { return run.Ended(); });
  const bool ended = run.Ended();
  tell.reset();
  pump.join();
  run.Kill();
  const std::string last = run.tail();
  auto code = run.Finish();
  if (!pumped && pumped.error().code() == Code::kCancelled) return pumped;
  if (!ended) return outcome;
  if (!code) return std::move(code).error();
  return Error(Code::kFailed,
               spec.process.args[0] + " ended with exit code " + std::to_string(*code) +
                   " while it was tested; its last output: " +
                   (last.empty() ? "(none)" : last.substr(last.size() - std::min(last.size(), kTail))));
}

Result<void> CrunSandbox::Sweep() const {
  const fs::path directory = options_.run_dir / "sb";
  auto files = ListDirectory(directory);
  if (!files && files.error().code() != Code::kNotFound) return std::move(files).error();
  if (!files) files = std::vector<std::string>();
  auto looked = LookAtCgroups();
  // Without any nothing has ever run here.
  if (!looked && looked.error().code() == Code::kUnsupported && files->empty()) return {};
  const CgroupHost host = TRY(std::move(looked));
  const std::vector<std::string> groups = TRY(ChildrenOf(host, GroupOf(options_)));
  // Also when no group is below: the one of all may be left.
  if (files->empty() && groups.empty() && !HasGroup(host, GroupOf(options_))) return {};
  // A lock file is made and unlinked under this lock alone, so that nobody holds one that has no name any
  // more.
  TRY(MakeDirectories(directory, 0711));
  const FileLock all = TRY(FileLock::Take(options_.run_dir / "sb.lock", true));
  for (const std::string& file : *files) {
    if (!file.ends_with(".lock")) continue;
    if (::access((directory / file).c_str(), F_OK) != 0) continue;
    const std::string name = file.substr(0, file.size() - 5);
    auto lock = FileLock::Take(directory / file, false);
    if (!lock) continue;  // It runs.
    const std::string group = GroupOf(options_) + "/" + name;
    TRY(KillCgroup(host, group, kSandboxEndTimeout));
    TRY(RemoveCgroup(host, group, kSandboxEndTimeout));
    TRY(RemoveTree(options_.run_dir / "sb-crun" / ("sb-" + name)));
    TRY(RemoveTree(directory / name));
    const IdRanges ids({.directory = "/run/ingot-ids",
                        .subuid = "/etc/subuid",
                        .subgid = "/etc/subgid",
                        .root_key = options_.root_key + "-sb",
                        .root = options_.run_dir});
    TRY(ids.Release(name));
    ::unlink((directory / file).c_str());
  }
  // Those of which not even a lock is left (somebody removed the root): one that runs has processes, and is
  // not removed.
  for (const std::string& name : groups)
    if (::access((directory / (name + ".lock")).c_str(), F_OK) != 0)
      static_cast<void>(RemoveCgroup(host, GroupOf(options_) + "/" + name, Milliseconds(0)).has_value());
  RemoveEmptyParent(options_, host);
  return {};
}

}  // namespace ingot::adapters
