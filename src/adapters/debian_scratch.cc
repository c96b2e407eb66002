#include "adapters/debian_scratch.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <string>

namespace ingot::adapters {
namespace {

void Sweep(const fs::path& parent, std::string_view prefix) {
  const auto names = ListDirectory(parent);
  if (!names) return;
  for (const std::string& name : *names) {
    if (!name.starts_with(prefix)) continue;
    auto directory = OpenFile(parent / name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!directory || ::flock(directory->get(), LOCK_EX | LOCK_NB) < 0) continue;
    // What cannot be removed now is tried again by the next.
    static_cast<void>(RemoveTree(parent / name).has_value());
  }
}

}  // namespace

Result<DebianScratch> DebianScratch::Make(const fs::path& parent, std::string_view prefix) {
  TRY(MakeDirectories(parent, 0755));
  // Nobody sweeps between the making of a directory and its locking.
  const FileLock making = TRY(FileLock::Take(parent / ".scratch.lock", true));
  Sweep(parent, prefix);
  TempDirectory directory = TRY(TempDirectory::Make(parent, prefix));
  Fd lock = TRY(OpenFile(directory.path(), O_RDONLY | O_DIRECTORY));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) < 0)
    return ErrnoError(errno, "lock " + directory.path().string());
  return DebianScratch(std::move(directory), std::move(lock));
}

}  // namespace ingot::adapters
