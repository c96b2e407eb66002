#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <array>
#include <atomic>
#include <cerrno>

#include "adapters/linux_mount.h"

namespace ingot::adapters {

namespace {

std::string FdPath(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

// The kernel's own words about the last failure on a file system context, if it has any.
std::string KernelMessage(int context) {
  std::string out;
  std::array<char, 512> line{};
  for (int i = 0; i < 16; ++i) {
    const ssize_t n = ::read(context, line.data(), line.size());
    if (n <= 0) break;
    std::string_view text(line.data(), static_cast<size_t>(n));
    if (text.size() > 2 && text[1] == ' ') text.remove_prefix(2);
    while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
    out += (out.empty() ? "" : "; ") + std::string(text);
  }
  return out;
}

class Context {
 public:
  static Result<Context> Open() {
    const int fd = ::fsopen("overlay", FSOPEN_CLOEXEC);
    if (fd < 0 && errno == ENODEV)
      return Error(
          Code::kUnsupported,
          "this kernel has no overlay file system; load it with: modprobe overlay, or install a Debian "
          "kernel");
    if (fd < 0 && errno == EPERM) return Error(Code::kPermission, "mounting needs root; run as root");
    if (fd < 0) return ErrnoError(errno, "open the overlay file system");
    return Context{Fd(fd)};
  }
  // Options are strings of at most 255 bytes, which is why layers are named by descriptor.
  void Set(const char* key, const std::string& value) {
    if (failed_ == 0 && ::fsconfig(fd_.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) < 0) Fail(key);
  }
  void Flag(const char* key) {
    if (failed_ == 0 && ::fsconfig(fd_.get(), FSCONFIG_SET_FLAG, key, nullptr, 0) < 0) Fail(key);
  }
  Result<Fd> Mount(bool read_only) {
    if (failed_ == 0 && ::fsconfig(fd_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) < 0) Fail("create");
    if (failed_ == 0) {
      const int mount =
          ::fsmount(fd_.get(), FSMOUNT_CLOEXEC, (read_only ? MOUNT_ATTR_RDONLY : 0u) | MOUNT_ATTR_NODEV);
      if (mount >= 0) return Fd(mount);
      Fail("mount");
    }
    std::string doing = std::string("mount an overlay (") + step_ + ")";
    const std::string words = KernelMessage(fd_.get());
    Error error = ErrnoError(failed_, doing);
    return words.empty() ? error : Error(error.code(), error.message() + " (the kernel says: " + words + ")");
  }
  int failed() const { return failed_; }

 private:
  explicit Context(Fd fd) : fd_(std::move(fd)) {}
  void Fail(const char* step) {
    failed_ = errno;
    step_ = step;
  }
  Fd fd_;
  int failed_ = 0;
  const char* step_ = "";
};

struct Attempt {
  Result<Fd> mount;
  int error_number;
};

Attempt Try(const Overlay& overlay, int objects, int upper, int work, bool layer_by_layer) {
  auto opened = Context::Open();
  if (!opened) return {std::move(opened).error(), ENODEV};
  Context& context = *opened;
  if (layer_by_layer) {
    for (auto layer = overlay.layers.rbegin(); layer != overlay.layers.rend(); ++layer)
      context.Set("lowerdir+", FdPath(*layer));
    if (objects >= 0) context.Set("datadir+", FdPath(objects));
  } else {
    // Short names, so that many layers fit: the calling thread stands in /proc/self/fd.
    std::string lower;
    for (auto layer = overlay.layers.rbegin(); layer != overlay.layers.rend(); ++layer)
      lower += (lower.empty() ? "" : ":") + std::to_string(*layer);
    if (objects >= 0) lower += ":" + std::to_string(objects);
    context.Set("lowerdir", lower);
  }
  if (upper >= 0) {
    context.Set("upperdir", layer_by_layer ? FdPath(upper) : std::to_string(upper));
    context.Set("workdir", layer_by_layer ? FdPath(work) : std::to_string(work));
    // A build step that loses power is run again; its upper directory is never mounted twice.
    context.Flag("volatile");
  }
  context.Set("metacopy", "on");
  context.Set("redirect_dir", "on");
  auto mount = context.Mount(upper < 0);
  return {std::move(mount), context.failed()};
}

Result<void> Empty(const fs::path& directory) {
  for (const std::string& name : TRY(ListDirectory(directory))) TRY(RemoveTree(directory / name));
  return {};
}

Result<Fd> TryStaged(const Overlay& overlay, int objects, int upper, int work, bool layer_by_layer) {
  // Learnt by the first overlay of the process, so that the kernel need not complain of each.
  static std::atomic<bool> takes_only_attached{false};
  if (takes_only_attached.load() && overlay.staging != nullptr) overlay.staging->Attach(overlay.layers);
  Attempt attempt = Try(overlay, objects, upper, work, layer_by_layer);
  if (attempt.mount || attempt.error_number != EINVAL || overlay.staging == nullptr)
    return std::move(attempt.mount);
  if (!overlay.staging->Attach(overlay.layers)) return std::move(attempt.mount);
  // The kernel writes into the work directory that it is volatile before it looks at the layers, and takes no
  // directory that says so.
  if (upper >= 0) TRY(Empty(overlay.work));
  attempt = Try(overlay, objects, upper, work, layer_by_layer);
  if (attempt.mount) takes_only_attached.store(true);
  return std::move(attempt.mount);
}

}  // namespace

Staging::~Staging() {
  for (size_t i = 0; i < attached_.size(); ++i) ::umount2(directory_.c_str(), MNT_DETACH);
}

bool Staging::Attach(const std::vector<int>& mounts) {
  bool any = false;
  for (const int mount : mounts) {
    if (attached_.contains(mount)) continue;
    if (::move_mount(mount, "", AT_FDCWD, directory_.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) continue;
    attached_.insert(mount);
    any = true;
  }
  return any;
}

bool HasDataOnlyLayers() {
  // 0 unknown, 1 no, 2 yes. The kernel does not change under us.
  static std::atomic<int> known{0};
  int answer = known.load();
  if (answer != 0) return answer == 2;
  const int fd = ::fsopen("overlay", FSOPEN_CLOEXEC);
  if (fd < 0) return false;
  const Fd context(fd);
  answer = ::fsconfig(fd, FSCONFIG_SET_STRING, "datadir+", "/", 0) == 0 ? 2 : 1;
  // Kernels before 6.5 collect any option here and refuse it only at creation; those before 6.8 want a lower
  // first.
  if (answer == 2 || errno == EINVAL) {
    const int second = ::fsopen("overlay", FSOPEN_CLOEXEC);
    const Fd probe(second);
    const bool lower = ::fsconfig(second, FSCONFIG_SET_STRING, "lowerdir+", "/proc", 0) == 0;
    const bool data = lower && ::fsconfig(second, FSCONFIG_SET_STRING, "datadir+", "/proc", 0) == 0;
    // A kernel that only collects options accepts this one as well.
    const bool collects = ::fsconfig(second, FSCONFIG_SET_STRING, "no_such_option", "1", 0) == 0;
    answer = data && !collects ? 2 : 1;
  }
  known.store(answer);
  return answer == 2;
}

Result<void> HidePool(int directory) {
  for (int i = 0; i < 256; ++i) {
    std::array<char, 4> name{};
    std::snprintf(name.data(), name.size(), "%02x", static_cast<unsigned>(i));
    if (::mknodat(directory, name.data(), S_IFCHR | 0600, ::makedev(0, 0)) < 0 && errno != EEXIST)
      return ErrnoError(errno, "hide the object pool's folders");
  }
  return {};
}

Result<Fd> MountOverlay(const Overlay& overlay) {
  Fd objects;
  Fd upper;
  Fd work;
  if (!overlay.objects.empty()) objects = TRY(OpenFile(overlay.objects, O_PATH | O_DIRECTORY));
  if (overlay.upper) {
    upper = TRY(OpenFile(*overlay.upper, O_PATH | O_DIRECTORY));
    work = TRY(OpenFile(overlay.work, O_PATH | O_DIRECTORY));
  }
  if (overlay.layers.empty())
    return Error(Code::kInvalid, "a root file system needs at least one sealed layer");
  if (overlay.way == OverlayWay::kLayers || (overlay.way == OverlayWay::kAny && HasDataOnlyLayers()))
    return TryStaged(overlay, objects.get(), upper.get(), work.get(), true);
  // An overlay needs two lowers or an upper; the pool makes the second.
  if (::chdir("/proc/self/fd") < 0) return ErrnoError(errno, "enter /proc/self/fd");
  return TryStaged(overlay, objects.get(), upper.get(), work.get(), false);
}

}  // namespace ingot::adapters
