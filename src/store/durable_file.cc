#include "store/durable_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>

namespace ingot::store {

Result<DurableFile> DurableFile::Create(fs::path temporary, mode_t mode) {
  Fd fd = TRY(OpenFile(temporary, O_WRONLY | O_CREAT | O_EXCL, mode));
  DurableFile file(std::move(temporary), std::move(fd));
  // Whatever the umask.
  if (::fchmod(file.fd_.get(), mode) != 0)
    return ErrnoError(errno, "set the mode of " + file.temporary_.string());
  return file;
}

DurableFile::DurableFile(DurableFile&& other) noexcept
    : temporary_(std::exchange(other.temporary_, {})), fd_(std::move(other.fd_)) {}

DurableFile::~DurableFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<void> DurableFile::Write(std::string_view bytes) {
  auto written = WriteAll(fd_.get(), bytes);
  if (!written) return std::move(written).error().While("writing " + temporary_.string());
  return {};
}

Result<void> DurableFile::Publish(const fs::path& path) {
  if (::fsync(fd_.get()) != 0) return ErrnoError(errno, "sync " + temporary_.string());
  fd_.reset();
  if (::rename(temporary_.c_str(), path.c_str()) != 0)
    return ErrnoError(errno, "rename " + temporary_.string() + " to " + path.string());
  temporary_.clear();
  return {};
}

}  // namespace ingot::store
