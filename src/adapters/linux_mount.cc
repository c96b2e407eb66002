#include "adapters/linux_mount.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

namespace ingot::adapters {

namespace {

uint64_t Attributes(const MountFlags& flags) {
  return (flags.read_only ? MOUNT_ATTR_RDONLY : 0u) | (flags.no_exec ? MOUNT_ATTR_NOEXEC : 0u) |
         (flags.no_suid ? MOUNT_ATTR_NOSUID : 0u) | (flags.no_dev ? MOUNT_ATTR_NODEV : 0u);
}

Result<Fd> OpenFileSystem(const char* type) {
  const int fd = ::fsopen(type, FSOPEN_CLOEXEC);
  if (fd >= 0) return Fd(fd);
  if (errno == ENODEV)
    return Error(Code::kUnsupported, std::string("this kernel has no ") + type +
                                         " file system; install a Debian kernel (linux-image-amd64) or load "
                                         "the module with: modprobe " +
                                         type);
  if (errno == EPERM) return Error(Code::kPermission, "mounting needs root; run as root");
  return ErrnoError(errno, std::string("open the file system ") + type);
}

Result<Fd> FinishMount(int context, uint64_t attributes, const std::string& what) {
  const int fd = ::fsmount(context, FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes));
  if (fd < 0) return ErrnoError(errno, "mount " + what);
  return Fd(fd);
}

// The mount of `source` as EROFS; 0 or the errno of the step that failed.
int TryErofs(const char* source, Fd& out, Error& error) {
  auto context = OpenFileSystem("erofs");
  if (!context) {
    error = std::move(context).error();
    return ENODEV;
  }
  if (::fsconfig(context->get(), FSCONFIG_SET_STRING, "source", source, 0) < 0 ||
      ::fsconfig(context->get(), FSCONFIG_SET_FLAG, "ro", nullptr, 0) < 0 ||
      ::fsconfig(context->get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0)
    return errno;
  const int fd =
      ::fsmount(context->get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME);
  if (fd < 0) return errno;
  out.reset(fd);
  return 0;
}

// A read-only loop device over `file`, which goes away with its last user.
Result<std::pair<Fd, std::string>> MakeLoop(const fs::path& file) {
  const auto missing = [](const Error& cause) {
    return Error(Code::kUnsupported,
                 "this kernel mounts EROFS only from a block device, and loop devices are not usable (" +
                     cause.message() + "); load them with: modprobe loop");
  };
  auto control = OpenFile("/dev/loop-control", O_RDWR);
  if (!control) return missing(control.error());
  Fd backing = TRY(OpenFile(file, O_RDONLY));
  for (int attempt = 0; attempt < 64; ++attempt) {
    const int number = ::ioctl(control->get(), LOOP_CTL_GET_FREE);
    if (number < 0) return missing(ErrnoError(errno, "get a free loop device"));
    const std::string name = "/dev/loop" + std::to_string(number);
    auto device = OpenFile(name, O_RDONLY);
    if (!device) {
      // Without udev (a container) the node has to be made.
      ::mknod(name.c_str(), S_IFBLK | 0600, ::makedev(7, static_cast<unsigned>(number)));
      device = OpenFile(name, O_RDONLY);
      if (!device) return missing(device.error());
    }
    struct loop_config config {};
    config.fd = static_cast<unsigned>(backing.get());
    config.block_size = 4096;
    config.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
    std::strncpy(reinterpret_cast<char*>(config.info.lo_file_name), file.filename().c_str(),
                 sizeof config.info.lo_file_name - 1);
    if (::ioctl(device->get(), LOOP_CONFIGURE, &config) == 0)
      return std::pair<Fd, std::string>(std::move(*device), name);
    if (errno != EBUSY) return missing(ErrnoError(errno, "set up " + name));
  }
  return Error(Code::kNoSpace, "no loop device could be had in 64 attempts");
}

Error LayerError(int error_number, const fs::path& layer) {
  if (error_number == EINVAL || error_number == EUCLEAN)
    return Error(Code::kCorrupt,
                 layer.string() + " is not a sealed layer this kernel can mount; run: ingot verify");
  if (error_number == ENOTBLK)
    return Error(Code::kUnsupported, "this kernel mounts EROFS only from a block device (Linux before 6.12)");
  return ErrnoError(error_number, "mount the sealed layer " + layer.string());
}

Result<void> ShiftOwners(int mount, int user_namespace, const fs::path& layer) {
  struct mount_attr attributes {};
  attributes.attr_set = MOUNT_ATTR_IDMAP;
  attributes.userns_fd = static_cast<uint64_t>(user_namespace);
  if (::mount_setattr(mount, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0) return {};
  if (errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS)
    return Error(
        Code::kUnsupported,
        "this kernel cannot shift the owners of EROFS mounts (idmapped mounts, Linux 5.19); install a newer "
        "one");
  return ErrnoError(errno, "shift the owners of " + layer.string());
}

struct UserNamespaceChild {
  int wait_fd;
  pid_t parent;
};

// Shares our memory, so it does nothing but wait for the end of the pipe. It dies with us: its copy of our
// descriptors would keep that pipe open, and with it our lock and our socket, so that no daemon could follow.
int WaitForEnd(void* argument) {
  const auto* child = static_cast<UserNamespaceChild*>(argument);
  char byte = 0;
  ::syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (::syscall(SYS_getppid) == child->parent) ::syscall(SYS_read, child->wait_fd, &byte, 1);
  ::syscall(SYS_exit, 0);
  return 0;
}

Result<void> WriteProc(const std::string& path, const std::string& text) {
  Fd fd = TRY(OpenFile(path, O_WRONLY));
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return ErrnoError(errno, "write " + path);
  return {};
}

}  // namespace

Result<Fd> MakeUserNamespace(const platform::IdRange& ids) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) < 0) return ErrnoError(errno, "make a pipe");
  Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  constexpr size_t kStack = 16384;
  std::vector<char> stack(kStack);
  UserNamespaceChild child{read_end.get(), ::getpid()};
  // Its own copy of the descriptor table (no CLONE_FILES) would keep the pipe's write end open: it shares
  // ours. Signals stay blocked, so that no handler of ours runs in it.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const int pid =
      ::clone(&WaitForEnd, stack.data() + kStack, CLONE_VM | CLONE_FILES | CLONE_NEWUSER | SIGCHLD, &child);
  const int clone_error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) {
    if (clone_error == ENOSPC || clone_error == EPERM || clone_error == EUSERS)
      return Error(Code::kUnsupported,
                   "user namespaces are not allowed on this host; allow them with: sysctl "
                   "user.max_user_namespaces=15000");
    return ErrnoError(clone_error, "make a user namespace");
  }
  const auto finish = [&]() -> Result<Fd> {
    const std::string proc = "/proc/" + std::to_string(pid);
    const std::string map = "0 " + std::to_string(ids.first) + " " + std::to_string(ids.count);
    TRY(WriteProc(proc + "/uid_map", map));
    TRY(WriteProc(proc + "/gid_map", map));
    return OpenFile(proc + "/ns/user", O_RDONLY);
  };
  auto result = finish();
  write_end.reset();
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return result;
}

Result<Fd> CloneMount(const fs::path& directory, int user_namespace, const MountFlags& flags) {
  const int raw = ::open_tree(AT_FDCWD, directory.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (raw < 0) return ErrnoError(errno, "mount " + directory.string());
  Fd mount(raw);
  struct mount_attr attributes {};
  attributes.attr_set = Attributes(flags);
  if (user_namespace >= 0) {
    attributes.attr_set |= MOUNT_ATTR_IDMAP;
    attributes.userns_fd = static_cast<uint64_t>(user_namespace);
  }
  if (::mount_setattr(mount.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0) return mount;
  if (user_namespace >= 0 && (errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS))
    return Error(
        Code::kUnsupported,
        "the file system of " + directory.string() +
            " cannot shift the owners of files (idmapped mounts), so an instance could not own what it "
            "writes; mount one that can (ext4, xfs, btrfs; Linux 5.12) above it, before the daemon "
            "starts, and bring the data over with: cp -a");
  return ErrnoError(errno, "shift the owners of " + directory.string());
}

Result<Fd> MountSealedLayer(const fs::path& layer, int user_namespace, LayerWay way) {
  Fd mount;
  Error error(Code::kInternal, "");
  int failed = ENOTBLK;
  if (way != LayerWay::kLoop) failed = TryErofs(layer.c_str(), mount, error);
  if (failed == ENODEV) return error;
  if (failed == ENOTBLK && way != LayerWay::kFile) {
    auto loop = TRY(MakeLoop(layer));
    failed = TryErofs(loop.second.c_str(), mount, error);
    if (failed == ENODEV) return error;
  }
  if (failed != 0) return LayerError(failed, layer);
  if (user_namespace >= 0) TRY(ShiftOwners(mount.get(), user_namespace, layer));
  return mount;
}

Result<Fd> MountTmpfs(uint64_t size_bytes, mode_t mode, const MountFlags& flags) {
  Fd context = TRY(OpenFileSystem("tmpfs"));
  std::array<char, 16> octal{};
  std::snprintf(octal.data(), octal.size(), "%o", mode);
  const std::string size = std::to_string(size_bytes);
  if (::fsconfig(context.get(), FSCONFIG_SET_STRING, "size", size.c_str(), 0) < 0 ||
      ::fsconfig(context.get(), FSCONFIG_SET_STRING, "mode", octal.data(), 0) < 0)
    return ErrnoError(errno, "set up a tmpfs");
  // Secrets must not reach a swap device; kernels before 6.4 do not know the option.
  static_cast<void>(::fsconfig(context.get(), FSCONFIG_SET_FLAG, "noswap", nullptr, 0));
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0)
    return ErrnoError(errno, "make a tmpfs");
  return FinishMount(context.get(), Attributes(flags), "a tmpfs");
}

Result<Fd> MountSysfs() {
  Fd context = TRY(OpenFileSystem("sysfs"));
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0)
    return ErrnoError(errno, "make a sysfs");
  return FinishMount(context.get(),
                     MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, "a sysfs");
}

Result<void> Restrict(int mount, const MountFlags& flags) {
  struct mount_attr attributes {};
  attributes.attr_set = Attributes(flags);
  if (::mount_setattr(mount, "", AT_EMPTY_PATH, &attributes, sizeof attributes) < 0)
    return ErrnoError(errno, "restrict a mount");
  return {};
}

Result<void> AttachMount(int mount, const fs::path& target) {
  if (::move_mount(mount, "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) < 0)
    return ErrnoError(errno, "mount on " + target.string());
  return {};
}

Result<void> Unmount(const fs::path& path) {
  // Not mounted is EINVAL; each turn takes the topmost mount away.
  for (int i = 0; i < 1000; ++i) {
    if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
    if (errno == EINVAL || errno == ENOENT) return {};
    return ErrnoError(errno, "unmount " + path.string());
  }
  return Error(Code::kIo, path.string() + " is still mounted after 1000 times unmounting it");
}

Result<bool> IsMountPoint(const fs::path& path) {
  struct statx st {};
  if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &st) < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return ErrnoError(errno, "look at " + path.string());
  }
  if ((st.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) == 0)
    return Error(Code::kUnsupported, "this kernel does not say what a mount point is (Linux before 5.8)");
  return (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

Result<void> OnThread(const std::function<Result<void>()>& work) {
  Result<void> outcome;
  std::thread thread([&] {
    if (::unshare(CLONE_FS) < 0)
      outcome = ErrnoError(errno, "leave the process's file system context");
    else
      outcome = work();
  });
  thread.join();
  return outcome;
}

}  // namespace ingot::adapters
