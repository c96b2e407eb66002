#include "store/verity.h"

#include <fcntl.h>
#include <linux/fsverity.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <cerrno>
#include <chrono>
#include <thread>

namespace ingot::store {
namespace {

// A child that another thread has just forked holds our descriptors until it is another program.
constexpr auto kWritersPatience = std::chrono::seconds(5);
// Another one that seals the same file reads all of it.
constexpr auto kSealersPatience = std::chrono::seconds(300);
constexpr auto kWritersPause = std::chrono::milliseconds(1);

}  // namespace

Result<bool> EnableVerity(const fs::path& path) {
  Fd fd = TRY(OpenFile(path, O_RDONLY | O_NOFOLLOW));
  fsverity_enable_arg arg{};
  arg.version = 1;
  arg.hash_algorithm = FS_VERITY_HASH_ALG_SHA256;
  arg.block_size = 4096;
  // The kernel refuses while anybody has the file open for writing. We have closed it.
  const auto begin = std::chrono::steady_clock::now();
  while (::ioctl(fd.get(), FS_IOC_ENABLE_VERITY, &arg) != 0 && errno != EEXIST) {
    if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL || errno == ENOSYS) return false;
    const int failed = errno;
    const auto patience = failed == EBUSY ? kSealersPatience : kWritersPatience;
    if ((failed != ETXTBSY && failed != EBUSY && failed != EINTR) ||
        std::chrono::steady_clock::now() - begin >= patience)
      return ErrnoError(failed, "enable fs-verity on " + path.string());
    std::this_thread::sleep_for(kWritersPause);
  }
  return true;
}

bool IsSealed(const fs::path& path) {
  struct statx found {};
  return ::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, 0, &found) == 0 &&
         (found.stx_attributes & STATX_ATTR_VERITY) != 0;
}

Result<bool> SealNeedsSyncfs(int fd) {
  struct statfs found {};
  if (::fstatfs(fd, &found) != 0) return ErrnoError(errno, "look at the store's file system");
  return found.f_type == BTRFS_SUPER_MAGIC;
}

}  // namespace ingot::store
