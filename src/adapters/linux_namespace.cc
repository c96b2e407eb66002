#include "adapters/linux_namespace.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <future>
#include <optional>
#include <thread>

#include "adapters/cgroup.h"
#include "adapters/linux_mount.h"

namespace ingot::adapters {

namespace {

// A tmpfs of its own at `path`, so that what is pinned in it is gone after a restart of the host.
Result<void> EnsureTmpfs(const fs::path& path, unsigned long propagation) {
  if (TRY(IsMountPoint(path))) return {};
  TRY(MakeDirectories(path, 0711));
  Fd tmpfs = TRY(MountTmpfs(4 << 20, 0711));
  TRY(AttachMount(tmpfs.get(), path));
  if (::mount(nullptr, path.c_str(), nullptr, propagation, nullptr) < 0) {
    const int error = errno;
    static_cast<void>(Unmount(path).has_value());
    return ErrnoError(error, "set the propagation of " + path.string());
  }
  return {};
}

bool IsNamespaceFile(int fd) {
  struct statfs st {};
  return ::fstatfs(fd, &st) == 0 && st.f_type == NSFS_MAGIC;
}

// On a thread: a copy of the host's mounts that follows the host, without the second cgroup hierarchy of
// hybrid hosts.
Result<void> EnterNewMounts() {
  if (::unshare(CLONE_NEWNS) < 0) return ErrnoError(errno, "make a mount namespace (this needs root)");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) < 0)
    return ErrnoError(errno, "make the new mount namespace follow the host's");
  TRY(HideSecondCgroupTree());
  return ProtectNull();
}

// Runs the calling thread there, if it may; where a number comes from is all that depends on it.
void MoveToCpu(unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  ::sched_setaffinity(0, sizeof set, &set);
}

// `refused`: by EINVAL, that the new namespace has a smaller number than ours.
Result<void> TryPin(const fs::path& file, std::optional<unsigned> cpu, bool& refused) {
  std::promise<Result<pid_t>> entered;
  std::promise<void> pinned;
  std::thread thread([&] {
    if (cpu) MoveToCpu(*cpu);
    auto result = EnterNewMounts();
    if (result)
      entered.set_value(static_cast<pid_t>(::syscall(SYS_gettid)));
    else
      entered.set_value(std::move(result).error());
    pinned.get_future().wait();
  });
  auto tid = entered.get_future().get();
  Result<void> outcome;
  if (!tid) {
    outcome = std::move(tid).error();
  } else {
    // From outside: a namespace cannot hold a mount of itself.
    const std::string source = "/proc/self/task/" + std::to_string(*tid) + "/ns/mnt";
    if (::mount(source.c_str(), file.c_str(), nullptr, MS_BIND, nullptr) < 0) {
      refused = errno == EINVAL;
      outcome = ErrnoError(errno, "pin the mount namespace at " + file.string());
    }
  }
  pinned.set_value();
  thread.join();
  return outcome;
}

// A namespace may hold mounts only of those with a larger number than its own (mnt_ns_loop in fs/namespace.c:
// so there are no circles). Linux gives numbers out per processor, so that in another namespace than the
// first, as of a systemd unit with PrivateTmp, a new one may have a smaller number than ours: then another is
// made.
Result<void> MakePin(const fs::path& file) {
  constexpr unsigned kMostTries = 512;
  Fd made = TRY(OpenFile(file, O_RDONLY | O_CREAT, 0600));
  const unsigned cpus = std::max(std::thread::hardware_concurrency(), 1U);
  bool refused = false;
  auto outcome = TryPin(file, std::nullopt, refused);
  for (unsigned tries = 0; !outcome && refused && tries < kMostTries; ++tries) {
    refused = false;
    outcome = TryPin(file, tries % cpus, refused);
  }
  return outcome;
}

}  // namespace

Result<void> HideSecondCgroupTree() {
  if (TRY(LookAtCgroups()).mode != CgroupMode::kHybrid) return {};
  TRY(Unmount(kSecondCgroupTree));
  Fd tmpfs = TRY(MountTmpfs(4 << 20, 0755));
  return AttachMount(tmpfs.get(), kSecondCgroupTree);
}

Result<void> ProtectNull() {
  constexpr const char* kNull = "/dev/null";
  if (::mount(kNull, kNull, nullptr, MS_BIND, nullptr) < 0 ||
      ::mount(nullptr, kNull, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC, nullptr) < 0)
    return ErrnoError(errno, "protect /dev/null");
  return {};
}

Result<fs::path> PinnedMounts::OpenNamespaceDirectory(const fs::path& run_dir) {
  TRY(MakeDirectories(run_dir, 0711));
  const FileLock lock = TRY(FileLock::Take(run_dir / "mounts.lock", true));
  TRY(EnsureTmpfs(run_dir / "ns", MS_SHARED));
  return run_dir / "ns";
}

Result<std::unique_ptr<PinnedMounts>> PinnedMounts::Open(const fs::path& run_dir) {
  // Before the copy of the mounts is made, so that it is in it.
  TRY(OpenNamespaceDirectory(run_dir));
  const FileLock lock = TRY(FileLock::Take(run_dir / "mounts.lock", true));
  TRY(EnsureTmpfs(run_dir / "pin", MS_PRIVATE));
  const fs::path file = run_dir / "pin" / "mnt";
  Fd fd;
  if (auto found = OpenFile(file, O_RDONLY); found && IsNamespaceFile(found->get())) {
    fd = std::move(*found);
  } else {
    TRY(MakePin(file));
    fd = TRY(OpenFile(file, O_RDONLY));
    if (!IsNamespaceFile(fd.get()))
      return Error(Code::kInternal, file.string() + " is not a pinned namespace");
  }
  return std::unique_ptr<PinnedMounts>(new PinnedMounts(std::move(fd)));
}

Result<void> PinnedMounts::Teardown(const fs::path& run_dir) {
  TRY(Unmount(run_dir / "pin" / "mnt"));
  TRY(Unmount(run_dir / "pin"));
  TRY(Unmount(run_dir / "ns"));
  for (const char* name : {"pin", "ns"})
    if (::rmdir((run_dir / name).c_str()) < 0 && errno != ENOENT)
      return ErrnoError(errno, "remove " + (run_dir / name).string());
  ::unlink((run_dir / "mounts.lock").c_str());
  return {};
}

Result<void> PinnedMounts::Run(const std::function<Result<void>()>& work) const {
  return OnThread([&]() -> Result<void> {
    if (::setns(fd_.get(), CLONE_NEWNS) < 0) return ErrnoError(errno, "enter the pinned mount namespace");
    return work();
  });
}

}  // namespace ingot::adapters
