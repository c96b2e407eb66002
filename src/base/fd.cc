#include "base/fd.h"

#include <fcntl.h>

#include <cerrno>

namespace ingot {

Result<Fd> Fd::Duplicate() const {
  const int copy = ::fcntl(fd_, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return ErrnoError(errno, "duplicate a file descriptor");
  return Fd(copy);
}

}  // namespace ingot
