#include "adapters/volume_quota.h"

#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <random>

namespace ingot::adapters {

namespace {

constexpr int kProjects = 2;  // PRJQUOTA
constexpr uint64_t kBlock = 1024;

int Quota(int fd, int command, uint32_t id, void* argument) {
#ifdef SYS_quotactl_fd
  return static_cast<int>(::syscall(SYS_quotactl_fd, fd, QCMD(command, kProjects), id, argument));
#else
  return static_cast<int>(::syscall(443, fd, QCMD(command, kProjects), id, argument));
#endif
}

// A number that nothing on this file system counts by.
Result<uint32_t> FreeProject(int fd) {
  std::random_device random;
  for (int i = 0; i < 100; ++i) {
    const uint32_t id = (random() & 0x3fffffffu) | 0x40000000u;
    struct if_dqblk block {};
    if (Quota(fd, Q_GETQUOTA, id, &block) == 0 &&
        (block.dqb_curspace != 0 || block.dqb_curinodes != 0 || block.dqb_bhardlimit != 0))
      continue;
    return id;
  }
  return Error(Code::kNoSpace, "no free project number was found for a quota");
}

Result<void> SetLimit(int fd, uint32_t project, uint64_t size_bytes) {
  struct if_dqblk block {};
  block.dqb_bhardlimit = (size_bytes + kBlock - 1) / kBlock;
  block.dqb_valid = QIF_BLIMITS;
  if (Quota(fd, Q_SETQUOTA, project, &block) < 0) return ErrnoError(errno, "limit the size of a volume");
  return {};
}

// That its files are counted by; 0: none, which is also what a file system without projects says.
uint32_t ProjectOf(int fd) {
  struct fsxattr attributes {};
  return ::ioctl(fd, FS_IOC_FSGETXATTR, &attributes) < 0 ? 0 : attributes.fsx_projid;
}

}  // namespace

std::string QuotaMissing(const fs::path& directory) {
  auto fd = OpenFile(directory, O_RDONLY | O_DIRECTORY);
  if (!fd) return fd.error().message();
  struct fs_quota_statv state {};
  state.qs_version = FS_QSTATV_VERSION1;
  if (Quota(fd->get(), Q_XGETQSTATV, 0, &state) == 0 && (state.qs_flags & FS_QUOTA_PDQ_ENFD) != 0) return "";
  return "the file system of " + directory.string() +
         " has no project quotas in force; put it on xfs mounted with prjquota, or on ext4 with the features "
         "quota and project, mounted with prjquota";
}

Result<void> LimitDirectory(const fs::path& directory, uint64_t size_bytes) {
  if (const std::string missing = QuotaMissing(directory); !missing.empty())
    return Error(Code::kUnsupported, missing);
  Fd fd = TRY(OpenFile(directory, O_RDONLY | O_DIRECTORY));
  const uint32_t project = TRY(FreeProject(fd.get()));
  TRY(SetLimit(fd.get(), project, size_bytes));
  struct fsxattr attributes {};
  if (::ioctl(fd.get(), FS_IOC_FSGETXATTR, &attributes) < 0)
    return ErrnoError(errno, "read the project of " + directory.string());
  attributes.fsx_projid = project;
  attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
  if (::ioctl(fd.get(), FS_IOC_FSSETXATTR, &attributes) < 0)
    return ErrnoError(errno, "set the project of " + directory.string());
  return {};
}

Result<void> ChangeLimit(const fs::path& directory, uint64_t size_bytes) {
  Fd fd = TRY(OpenFile(directory, O_RDONLY | O_DIRECTORY));
  const uint32_t project = ProjectOf(fd.get());
  return project == 0 ? Result<void>() : SetLimit(fd.get(), project, size_bytes);
}

Result<std::optional<uint64_t>> UsedBy(const fs::path& directory) {
  Fd fd = TRY(OpenFile(directory, O_RDONLY | O_DIRECTORY));
  const uint32_t project = ProjectOf(fd.get());
  if (project == 0) return std::optional<uint64_t>();
  struct if_dqblk block {};
  if (Quota(fd.get(), Q_GETQUOTA, project, &block) < 0)
    return ErrnoError(errno, "read what " + directory.string() + " takes");
  return std::optional<uint64_t>(block.dqb_curspace);
}

}  // namespace ingot::adapters
