#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>

namespace ingot {

Result<Fd> OpenFile(const fs::path& path, int flags, mode_t mode) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) return ErrnoError(errno, "open " + path.string());
  return Fd(fd);
}

Result<std::string> ReadFile(const fs::path& path, size_t limit_bytes) {
  Fd fd = TRY(OpenFile(path, O_RDONLY));
  struct stat st {};
  if (::fstat(fd.get(), &st) < 0) return ErrnoError(errno, "read " + path.string());
  std::string out;
  // Files of /proc and /sys claim to be empty, so the size is only a hint; a setting below /proc/sys gives
  // its value to the first read alone, however small.
  size_t capacity =
      std::max<size_t>(std::min(limit_bytes, static_cast<size_t>(std::max<off_t>(st.st_size, 0))) + 1, 256);
  size_t used = 0;
  while (true) {
    if (out.size() < used + capacity) out.resize(used + capacity);
    const ssize_t n = ::read(fd.get(), out.data() + used, out.size() - used);
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(errno, "read " + path.string());
    }
    if (n == 0) break;
    used += static_cast<size_t>(n);
    if (used > limit_bytes)
      return Error(Code::kInvalid,
                   path.string() + " is larger than " + std::to_string(limit_bytes) + " bytes");
    capacity = std::max<size_t>(capacity, 4096);
  }
  out.resize(used);
  return out;
}

Result<void> WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return ErrnoError(errno, "write");
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Result<void> SyncDirectory(const fs::path& path) {
  Fd fd = TRY(OpenFile(path, O_RDONLY | O_DIRECTORY));
  if (::fsync(fd.get()) < 0) return ErrnoError(errno, "sync " + path.string());
  return {};
}

Result<void> WriteFileAtomic(const fs::path& path, std::string_view bytes, mode_t mode,
                             Durability durability) {
  static std::atomic<unsigned> counter{0};
  const fs::path temporary =
      path.string() + ".tmp." + std::to_string(::getpid()) + "." + std::to_string(counter.fetch_add(1));
  auto write = [&]() -> Result<void> {
    Fd fd = TRY(OpenFile(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode));
    // Says to a sweep that its process lives. Where it cannot be locked, nothing is swept either.
    static_cast<void>(::flock(fd.get(), LOCK_SH | LOCK_NB));
    if (::fchmod(fd.get(), mode) < 0) return ErrnoError(errno, "set the mode of " + temporary.string());
    TRY(WriteAll(fd.get(), bytes));
    if (durability == Durability::kDurable && ::fsync(fd.get()) < 0)
      return ErrnoError(errno, "sync " + temporary.string());
    if (::rename(temporary.c_str(), path.c_str()) < 0) return ErrnoError(errno, "rename to " + path.string());
    return {};
  };
  auto written = write();
  // A sweep may have come between its making and its locking.
  if (!written && written.error().code() == Code::kNotFound) written = write();
  if (!written) {
    ::unlink(temporary.c_str());
    return std::move(written).error().While("writing " + path.string());
  }
  if (durability == Durability::kDurable)
    TRY(SyncDirectory(path.parent_path().empty() ? "." : path.parent_path()));
  return {};
}

Result<void> SweepAtomicWrites(const fs::path& directory) {
  auto names = ListDirectory(directory);
  if (!names && names.error().code() == Code::kNotFound) return {};
  for (const std::string& name : TRY(std::move(names))) {
    const size_t mark = name.rfind(".tmp.");
    if (mark == std::string::npos || name.find_first_not_of("0123456789.", mark + 5) != std::string::npos)
      continue;
    const fs::path path = directory / name;
    const Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!fd.valid() || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) continue;
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoError(errno, "remove " + path.string());
  }
  return {};
}

Result<void> MakeDirectories(const fs::path& path, mode_t mode) {
  struct stat st {};
  if (::stat(path.c_str(), &st) == 0) {
    if (S_ISDIR(st.st_mode)) return {};
    return Error(Code::kExists, path.string() + " exists and is not a directory");
  }
  if (path.has_parent_path() && path.parent_path() != path) TRY(MakeDirectories(path.parent_path(), mode));
  if (::mkdir(path.c_str(), mode) < 0 && errno != EEXIST)
    return ErrnoError(errno, "make the directory " + path.string());
  return {};
}

namespace {

Result<void> RemoveAt(int parent, const char* name, dev_t device, const fs::path& shown) {
  if (::unlinkat(parent, name, 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return ErrnoError(errno, "remove " + shown.string());
  const int raw = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (raw < 0) return ErrnoError(errno, "remove " + shown.string());
  struct stat st {};
  if (::fstat(raw, &st) == 0 && st.st_dev != device) {
    ::close(raw);
    return Error(Code::kConflict, "will not remove " + shown.string() + ": something is mounted on it");
  }
  DIR* dir = ::fdopendir(raw);
  if (dir == nullptr) {
    ::close(raw);
    return ErrnoError(errno, "list " + shown.string());
  }
  Result<void> result;
  while (struct dirent* entry = ::readdir(dir)) {
    const std::string_view child = entry->d_name;
    if (child == "." || child == "..") continue;
    result = RemoveAt(::dirfd(dir), entry->d_name, device, shown / child);
    if (!result) break;
  }
  ::closedir(dir);
  if (!result) return result;
  if (::unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
    return ErrnoError(errno, "remove " + shown.string());
  return {};
}

}  // namespace

Result<void> RemoveTree(const fs::path& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) < 0) {
    if (errno == ENOENT) return {};
    return ErrnoError(errno, "remove " + path.string());
  }
  return RemoveAt(AT_FDCWD, path.c_str(), st.st_dev, path);
}

Result<std::vector<std::string>> ListDirectory(const fs::path& path) {
  DIR* dir = ::opendir(path.c_str());
  if (dir == nullptr) return ErrnoError(errno, "list " + path.string());
  std::vector<std::string> names;
  errno = 0;
  while (struct dirent* entry = ::readdir(dir)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  const int error_number = errno;
  ::closedir(dir);
  if (error_number != 0) return ErrnoError(error_number, "list " + path.string());
  std::sort(names.begin(), names.end());
  return names;
}

Result<TempDirectory> TempDirectory::Make(const fs::path& parent, std::string_view prefix) {
  TRY(MakeDirectories(parent));
  std::string pattern = (parent / prefix).string() + "XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr)
    return ErrnoError(errno, "make a directory below " + parent.string());
  return TempDirectory(fs::path(pattern));
}

TempDirectory::~TempDirectory() {
  // Nothing to tell anybody from a destructor; what stays is swept with the store's tmp/ at the next start.
  if (!path_.empty()) static_cast<void>(RemoveTree(path_).has_value());
}

Result<FileLock> FileLock::Take(const fs::path& path, bool wait) {
  Fd fd = TRY(OpenFile(path, O_RDWR | O_CREAT, 0600));
  while (::flock(fd.get(), LOCK_EX | (wait ? 0 : LOCK_NB)) < 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) return Error(Code::kConflict, path.string() + " is held by another process");
    return ErrnoError(errno, "lock " + path.string());
  }
  return FileLock(std::move(fd));
}

}  // namespace ingot
