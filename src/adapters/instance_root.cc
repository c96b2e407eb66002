#include "adapters/instance_root.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <climits>

#include "adapters/linux_mount.h"

namespace ingot::adapters {

namespace {

// The path that an open file has below its (detached) root: symbolic links resolved.
Result<std::string> RealPath(int fd) {
  std::array<char, PATH_MAX> buffer{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t n = ::readlink(link.c_str(), buffer.data(), buffer.size());
  if (n <= 0 || buffer[0] != '/') return ErrnoError(n < 0 ? errno : EIO, "find a path in the root");
  return std::string(buffer.data(), static_cast<size_t>(n));
}

// The layer of our own, filled as paths turn out to be missing in the image's layers.
class OwnLayer {
 public:
  OwnLayer(int image, const std::optional<platform::IdRange>& ids) : image_(image), ids_(ids) {}

  Result<void> NeedDirectory(const std::string& path) {
    auto found = OpenInRoot(image_, path, O_PATH | O_DIRECTORY);
    if (found) return {};
    if (found.error().code() != Code::kNotFound) return std::move(found).error();
    const auto [parent, name] = TRY(SplitPath(path));
    TRY(MakeParents(parent));
    return MakeDirectory(parent + "/" + name);
  }

  Result<void> NeedFile(const std::string& path) {
    auto found = OpenInRoot(image_, path, O_PATH);
    if (found) return {};
    if (found.error().code() != Code::kNotFound) return std::move(found).error();
    return PutFile(path, "");
  }

  Result<void> PutFile(const std::string& path, const std::string& contents) {
    const auto [parent, name] = TRY(SplitPath(path));
    TRY(MakeParents(parent));
    TRY(Ensure());
    const std::string relative = Relative(parent + "/" + name);
    const int raw = ::openat(mount_.get(), relative.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (raw < 0) return ErrnoError(errno, "make " + path + " for the instance");
    Fd fd(raw);
    TRY(WriteAll(fd.get(), contents));
    if (::fchown(fd.get(), owner(), owner()) < 0) return ErrnoError(errno, "own " + path);
    return {};
  }

  Result<void> HidePoolFolders() {
    TRY(Ensure());
    return HidePool(mount_.get());
  }

  // Invalid when nothing was missing.
  Fd& mount() { return mount_; }

 private:
  uint32_t owner() const { return ids_ ? ids_->first : 0; }
  static std::string Relative(const std::string& path) { return path.substr(path.find_first_not_of('/')); }

  Result<void> Ensure() {
    if (mount_.valid()) return {};
    mount_ = TRY(MountTmpfs(4 << 20, 0755));
    return CopyOwner("/");
  }

  // (real path of the nearest existing parent + what is missing of it, last name). An existing parent may lie
  // behind symbolic links.
  Result<std::pair<std::string, std::string>> SplitPath(const std::string& path) {
    const fs::path clean = fs::path(path).lexically_normal();
    std::string text = clean.string();
    while (text.size() > 1 && text.back() == '/') text.pop_back();
    if (text.empty() || text[0] != '/' || text == "/")
      return Error(Code::kInvalid, "\"" + path + "\" is not an absolute path inside the root");
    const fs::path whole(text);
    std::string missing;
    for (fs::path parent = whole.parent_path();; parent = parent.parent_path()) {
      auto found = OpenInRoot(image_, parent.string(), O_PATH | O_DIRECTORY);
      if (found) {
        std::string real = TRY(RealPath(found->get()));
        if (real == "/") real.clear();
        return std::pair(real + missing, whole.filename().string());
      }
      if (found.error().code() != Code::kNotFound || parent == "/") return std::move(found).error();
      missing = "/" + parent.filename().string() + missing;
    }
  }

  Result<void> MakeParents(const std::string& parent) {
    for (size_t end = parent.find('/', 1); !parent.empty(); end = parent.find('/', end + 1)) {
      TRY(MakeDirectory(parent.substr(0, end)));
      if (end == std::string::npos) break;
    }
    return {};
  }

  // A directory of ours is merged with the image's and hides its owner and mode, so it takes them over.
  Result<void> MakeDirectory(const std::string& path) {
    TRY(Ensure());
    if (::mkdirat(mount_.get(), Relative(path).c_str(), 0755) < 0) {
      if (errno == EEXIST) return {};
      return ErrnoError(errno, "make " + path + " for the instance");
    }
    return CopyOwner(path);
  }

  Result<void> CopyOwner(const std::string& path) {
    struct stat st {};
    auto original = OpenInRoot(image_, path, O_PATH | O_DIRECTORY);
    if (original) {
      if (::fstat(original->get(), &st) < 0) return ErrnoError(errno, "look at the root's " + path);
    } else if (original.error().code() == Code::kNotFound) {
      st.st_uid = st.st_gid = owner();
      st.st_mode = 0755;
    } else {
      return std::move(original).error();
    }
    const std::string name = path == "/" ? "." : Relative(path);
    const std::array<struct timespec, 2> times = {st.st_atim, st.st_mtim};
    if (::fchownat(mount_.get(), name.c_str(), st.st_uid, st.st_gid, 0) < 0 ||
        ::fchmodat(mount_.get(), name.c_str(), st.st_mode & 07777, 0) < 0 ||
        ::utimensat(mount_.get(), name.c_str(), times.data(), 0) < 0)
      return ErrnoError(errno, "take over the owner of " + path);
    return {};
  }

  int image_;
  std::optional<platform::IdRange> ids_;
  Fd mount_;
};

}  // namespace

Result<InstanceRoot> MakeRoot(const platform::RootFs& root, const std::optional<platform::IdRange>& ids,
                              const std::string& user, const RootOptions& options) {
  ::umask(0);
  Fd users;
  if (ids) users = TRY(MakeUserNamespace(*ids));
  std::vector<Fd> layers;
  Overlay overlay;
  overlay.objects = root.objects;
  Staging staging(options.staging);
  overlay.staging = &staging;
  for (const fs::path& layer : root.layers) {
    layers.push_back(TRY(MountSealedLayer(layer, users.valid() ? users.get() : -1)));
    overlay.layers.push_back(layers.back().get());
  }
  // The image alone, to see what it has; seen by nobody else.
  Fd image = TRY(MountOverlay(overlay));
  InstanceRoot made;
  made.user = TRY(LookUpUser(user, image.get()));

  OwnLayer own(image.get(), ids);
  for (const std::string& path : options.directories) TRY(own.NeedDirectory(path));
  for (const std::string& path : options.mount_files) TRY(own.NeedFile(path));
  for (const auto& [path, contents] : options.files) TRY(own.PutFile(path, contents));
  if (!root.objects.empty() && !HasDataOnlyLayers()) TRY(own.HidePoolFolders());

  if (!own.mount().valid() && !options.upper) {
    made.mount = std::move(image);
    return made;
  }
  if (own.mount().valid()) overlay.layers.push_back(own.mount().get());
  overlay.upper = options.upper;
  overlay.work = options.work;
  made.mount = TRY(MountOverlay(overlay));
  return made;
}

}  // namespace ingot::adapters
