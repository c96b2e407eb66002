#include "registry/upload.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/sha512.h"

namespace ingot::registry {
namespace {

// Below this, handing the bytes to another thread costs more than hashing them here.
constexpr size_t kHashAheadWorth = size_t{128} << 10;
// The disk is kept busy while the rest arrives, so that the sync at the end is short.
constexpr uint64_t kFlushEvery = uint64_t{8} << 20;

Result<void> WriteAt(int fd, std::string_view bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "write an upload");
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Upload>> Upload::Create(const fs::path& path, HashAhead& hashing,
                                               store::DiskBudget& budget) {
  // Its mode is that of the blob it becomes; the descriptor may write all the same.
  Fd fd = TRY(OpenFile(path, O_RDWR | O_CREAT | O_EXCL, 0444));
  std::unique_ptr<Upload> upload(new Upload(path, std::move(fd), hashing, budget));
  if (::fchmod(upload->fd_.get(), 0444) != 0) return ErrnoError(errno, "set the mode of " + path.string());
  return upload;
}

Upload::~Upload() {
  Settle();
  if (!path_.empty()) ::unlink(path_.c_str());
}

Result<void> Upload::Write(std::string_view bytes, std::shared_ptr<const void> keep) {
  // At most one piece behind.
  Settle();
  TRY(share_.Grow(size_bytes_ + bytes.size()));
  if (bytes.size() < kHashAheadWorth || !keep || !hashing_.Idle()) {
    TRY(WriteAt(fd_.get(), bytes, size_bytes_));
    hash_.Update(bytes);
  } else {
    const Sha256 before = hash_;
    hashing_task_.emplace(hashing_, [this, bytes, keep = std::move(keep)] { hash_.Update(bytes); });
    if (auto written = WriteAt(fd_.get(), bytes, size_bytes_); !written) {
      Settle();
      hash_ = before;
      return written;
    }
  }
  size_bytes_ += bytes.size();
  if (size_bytes_ - flushed_bytes_ >= kFlushEvery) {
    // Only a hint: what it could not do, Sync reports.
    static_cast<void>(::sync_file_range(fd_.get(), static_cast<off_t>(flushed_bytes_),
                                        static_cast<off_t>(size_bytes_ - flushed_bytes_),
                                        SYNC_FILE_RANGE_WRITE));
    flushed_bytes_ = size_bytes_;
  }
  return {};
}

Result<void> Upload::Rewind(const Mark& mark) {
  Settle();
  size_bytes_ = mark.size_bytes;
  hash_ = mark.hash;
  flushed_bytes_ = std::min(flushed_bytes_, size_bytes_);
  if (::ftruncate(fd_.get(), static_cast<off_t>(size_bytes_)) == 0) return {};
  return ErrnoError(errno, "shorten an upload");
}

Result<oci::Digest> Upload::DigestBy(std::string_view algorithm) {
  Settle();
  if (algorithm == "sha256") {
    Sha256 hash = hash_;
    return oci::Digest::FromSha256Hex(Hex(hash.Finish()));
  }
  Sha512 hash;
  std::string buffer(1 << 20, '\0');
  uint64_t offset = 0;
  while (offset < size_bytes_) {
    const ssize_t n = ::pread(fd_.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "read an upload");
    if (n == 0) return Error(Code::kIo, "an upload is shorter than what was written to it");
    hash.Update(std::string_view(buffer.data(), static_cast<size_t>(n)));
    offset += static_cast<uint64_t>(n);
  }
  const Sha512::Bytes digest = hash.Finish();
  return oci::Digest::FromSha512Hex(
      Hex(std::string_view(reinterpret_cast<const char*>(digest.data()), digest.size())));
}

Result<void> Upload::Sync() {
  // A write that failed in its middle has left more than what counts.
  if (::ftruncate(fd_.get(), static_cast<off_t>(size_bytes_)) != 0) return ErrnoError(errno, "cut an upload");
  if (::fsync(fd_.get()) != 0) return ErrnoError(errno, "sync an upload");
  return {};
}

}  // namespace ingot::registry
