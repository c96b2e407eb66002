#include "backup/placer.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

namespace ingot::backup {

namespace {

constexpr int kFolder = O_RDONLY | O_DIRECTORY;

// In the order in which a change of the owner takes none of it back.
Result<void> SetTimes(int fd, const TarEntry& entry) {
  const timespec times[2] = {{entry.mtime_seconds, static_cast<long>(entry.mtime_nanoseconds)},
                             {entry.mtime_seconds, static_cast<long>(entry.mtime_nanoseconds)}};
  if (::futimens(fd, times) != 0) return ErrnoError(errno, "set the time of \"" + entry.path + "\"");
  return {};
}

Error Taken(const TarEntry& entry) {
  return Error(Code::kInvalid, "\"" + entry.path + "\" is in the backup twice, or below what is no folder");
}

}  // namespace

Result<Placer> Placer::Open(const fs::path& into) {
  return Placer(TRY(OpenFile(into, kFolder | O_NOFOLLOW)));
}

Result<Fd> Placer::OpenBelow(const std::string& place, int flags) const {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags) | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  const long fd = ::syscall(SYS_openat2, folder_.get(), place.c_str(), &how, sizeof how);
  if (fd < 0) return ErrnoError(errno, "open \"" + place + "\" of the backup");
  return Fd(static_cast<int>(fd));
}

Result<Fd> Placer::ParentOf(const std::string& place, std::string& name) const {
  const size_t slash = place.rfind('/');
  name = slash == std::string::npos ? place : place.substr(slash + 1);
  if (slash == std::string::npos) return OpenBelow(".", kFolder);
  const std::string parent = place.substr(0, slash);
  auto opened = OpenBelow(parent, kFolder);
  if (opened || opened.error().code() != Code::kNotFound) return opened;
  std::string above_name;
  const Fd above = TRY(ParentOf(parent, above_name));
  if (::mkdirat(above.get(), above_name.c_str(), 0700) != 0 && errno != EEXIST)
    return ErrnoError(errno, "make the folder \"" + parent + "\"");
  return OpenBelow(parent, kFolder);
}

Result<void> Placer::Begin(const TarEntry& entry, const std::string& place, const std::string& target_place) {
  using Kind = TarEntry::Kind;
  entry_ = entry;
  file_ = Fd();
  owned_ = place.starts_with("volumes/");
  std::string name;
  auto opened = ParentOf(place, name);
  // Something that is no folder is where a folder should be.
  if (!opened && opened.error().code() == Code::kIo) return Taken(entry);
  const Fd parent = TRY(std::move(opened));
  switch (entry.kind) {
    case Kind::kFile: {
      const int fd =
          ::openat(parent.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
      if (fd < 0 && errno == EEXIST) return Taken(entry);
      if (fd < 0) return ErrnoError(errno, "make \"" + place + "\"");
      file_ = Fd(fd);
      return {};
    }
    case Kind::kDirectory:
      if (::mkdirat(parent.get(), name.c_str(), 0700) != 0)
        return errno == EEXIST ? Taken(entry) : ErrnoError(errno, "make the folder \"" + place + "\"");
      folders_.push_back({entry, place});
      return {};
    case Kind::kSymlink: {
      if (::symlinkat(entry.target.c_str(), parent.get(), name.c_str()) != 0)
        return errno == EEXIST ? Taken(entry) : ErrnoError(errno, "make the link \"" + place + "\"");
      const timespec times[2] = {{entry.mtime_seconds, static_cast<long>(entry.mtime_nanoseconds)},
                                 {entry.mtime_seconds, static_cast<long>(entry.mtime_nanoseconds)}};
      if (::fchownat(parent.get(), name.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0 ||
          ::utimensat(parent.get(), name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
        return ErrnoError(errno, "own the link \"" + place + "\"");
      return {};
    }
    case Kind::kHardLink: {
      std::string target_name;
      const Fd target_parent = TRY(ParentOf(target_place, target_name));
      struct stat st {};
      if (::fstatat(target_parent.get(), target_name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0 ||
          !S_ISREG(st.st_mode))
        return Error(Code::kInvalid, "\"" + entry.path + "\" in the backup is a link to no earlier file");
      if (::linkat(target_parent.get(), target_name.c_str(), parent.get(), name.c_str(), 0) != 0)
        return errno == EEXIST ? Taken(entry) : ErrnoError(errno, "make the link \"" + place + "\"");
      return {};
    }
  }
  return {};
}

Result<void> Placer::Data(std::string_view bytes) {
  return WriteAll(file_.get(), bytes);
}

Result<void> Placer::Attributes(int fd, const TarEntry& entry, bool owned) {
  if (owned) {
    if (::fchown(fd, entry.uid, entry.gid) != 0) return ErrnoError(errno, "own \"" + entry.path + "\"");
    for (const auto& [name, value] : entry.xattrs)
      if (::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) != 0)
        return ErrnoError(errno, "set the attribute " + name + " of \"" + entry.path + "\"");
  }
  // After the owner, which takes set-id bits away.
  if (::fchmod(fd, entry.mode) != 0) return ErrnoError(errno, "set the mode of \"" + entry.path + "\"");
  return owned ? SetTimes(fd, entry) : Result<void>();
}

Result<void> Placer::End() {
  if (!file_.valid()) return {};
  TRY(Attributes(file_.get(), entry_, owned_));
  file_ = Fd();
  return {};
}

Result<void> Placer::Finish() {
  // From within outwards, since each change within changes the time of what it is in.
  for (auto folder = folders_.rbegin(); folder != folders_.rend(); ++folder)
    TRY(Attributes(TRY(OpenBelow(folder->place, kFolder)).get(), folder->entry, true));
  folders_.clear();
  if (::syncfs(folder_.get()) != 0) return ErrnoError(errno, "write the restored files to the disk");
  return {};
}

}  // namespace ingot::backup
