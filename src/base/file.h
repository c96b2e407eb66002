// Whole-file reading and crash-safe writing.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace ingot {

namespace fs = std::filesystem;

// The whole file. kNotFound, kPermission, kIo; kInvalid when it is larger than `limit_bytes`.
Result<std::string> ReadFile(const fs::path& path, size_t limit_bytes = size_t{1} << 30);

enum class Durability { kNone, kDurable };

// Replaces `path` atomically: writes `path` + ".tmp.<pid>.<n>", fsyncs it, renames it, fsyncs the directory
// (the two syncs only with kDurable). A reader sees the old or the new bytes; a crash leaves at most the
// temporary file.
Result<void> WriteFileAtomic(const fs::path& path, std::string_view bytes, mode_t mode = 0644,
                             Durability durability = Durability::kDurable);
// Removes temporary files of WriteFileAtomic in `directory` whose process was killed. Missing is success.
Result<void> SweepAtomicWrites(const fs::path& directory);

// Opens with O_CLOEXEC added. `doing` completes "cannot …".
Result<Fd> OpenFile(const fs::path& path, int flags, mode_t mode = 0644);
Result<void> WriteAll(int fd, std::string_view bytes);
Result<void> MakeDirectories(const fs::path& path, mode_t mode = 0755);
Result<void> SyncDirectory(const fs::path& path);
// Removes a tree without following symbolic links or crossing a mount point. Missing is success.
Result<void> RemoveTree(const fs::path& path);
// The names in a directory, sorted, without "." and "..".
Result<std::vector<std::string>> ListDirectory(const fs::path& path);

// A directory that is removed with everything in it when the object dies.
class TempDirectory {
 public:
  // Below `parent` (made if missing), named `prefix` + random.
  static Result<TempDirectory> Make(const fs::path& parent, std::string_view prefix);
  TempDirectory(TempDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TempDirectory& operator=(TempDirectory&&) = delete;
  ~TempDirectory();
  const fs::path& path() const { return path_; }

 private:
  explicit TempDirectory(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
};

// An exclusive advisory lock (flock) on a file, held until the object dies.
class FileLock {
 public:
  // Creates the file if missing. `wait` false: kConflict at once when another process holds it.
  static Result<FileLock> Take(const fs::path& path, bool wait);
  // For a child that is to hold it, too: it is free when the last of them has ended.
  int fd() const { return fd_.get(); }

 private:
  explicit FileLock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace ingot
