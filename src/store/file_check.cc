#include "store/file_check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <new>

#include "base/sha256.h"
#include "base/sha512.h"

namespace ingot::store {
namespace {

// Stays in the second-level cache between read and hash; a multiple of any disk's block.
constexpr size_t kCheckBuffer = 256 * 1024;
constexpr size_t kDirectAlignment = 4096;

// Why a file could not be read. What fs-verity refuses reads as an I/O error; a sealed file that the disk
// cannot give back is as lost: this copy is damaged either way, and that is no mere "could not look".
Error ReadError(int fd, int error_number) {
  struct statx st {};
  if (error_number == EIO && ::statx(fd, "", AT_EMPTY_PATH, 0, &st) == 0 &&
      (st.stx_attributes & STATX_ATTR_VERITY) != 0)
    return Error(
        Code::kCorrupt,
        "the kernel refuses to read it: it is not what was sealed with fs-verity, or the disk cannot "
        "give it back");
  return ErrnoError(error_number, "read a file to check");
}

// Why it could not even be opened: the kernel does so with a sealed file whose seal is torn.
Error OpenError(const fs::path& path, int error_number) {
  struct statx st {};
  const bool torn = error_number == EINVAL || error_number == EIO || error_number == EBADMSG;
  if (torn && ::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, 0, &st) == 0 &&
      (st.stx_attributes & STATX_ATTR_VERITY) != 0)
    return Error(Code::kCorrupt, "the kernel refuses to open it: its fs-verity seal is damaged");
  return ErrnoError(error_number, "open " + path.string());
}

}  // namespace

void FileCheck::Free::operator()(char* bytes) const {
  std::free(bytes);
}

FileCheck::FileCheck(Reads reads, Pace pace)
    : reads_(reads),
      pace_(std::move(pace)),
      buffer_(static_cast<char*>(std::aligned_alloc(kDirectAlignment, kCheckBuffer))) {
  if (buffer_ == nullptr) throw std::bad_alloc();
}

Result<Fd> FileCheck::Open(const fs::path& path) const {
  constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  if (reads_ == Reads::kFromDisk) {
    Fd direct(::open(path.c_str(), kFlags | O_DIRECT));
    if (direct.valid()) return direct;
    if (errno != EINVAL) return OpenError(path, errno);
  }
  Fd fd(::open(path.c_str(), kFlags | O_NOATIME));
  if (fd.valid()) return fd;
  // Only the owner may keep the time of use.
  if (errno == EPERM) return OpenFile(path, kFlags);
  return OpenError(path, errno);
}

template <typename Hash>
Result<uint64_t> FileCheck::ReadInto(int fd, Hash& hash) {
  struct stat st {};
  if (::fstat(fd, &st) != 0) return ErrnoError(errno, "look at a file to check");
  if (!S_ISREG(st.st_mode)) return Error(Code::kCorrupt, "it is no regular file");
  uint64_t size = 0;
  while (true) {
    const ssize_t n = ::pread(fd, buffer_.get(), kCheckBuffer, static_cast<off_t>(size));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ReadError(fd, errno);
    hash.Update(std::string_view(buffer_.get(), static_cast<size_t>(n)));
    size += static_cast<uint64_t>(n);
    if (pace_ && n > 0) TRY(pace_(static_cast<size_t>(n)));
    // A short read that ends where the file does is its end.
    if (n == 0 || (static_cast<size_t>(n) < kCheckBuffer && size == static_cast<uint64_t>(st.st_size))) break;
  }
  return size;
}

Result<uint64_t> FileCheck::Object(int fd, const ObjectId& id, std::optional<uint64_t> size_bytes) {
  auto size = ReadInto(fd, hasher_);
  const ObjectId found = hasher_.Finish();
  if (!size) return size;
  if (found != id) {
    return Error(Code::kCorrupt, found.empty() ? std::string("it is empty")
                                               : "its contents have the digest " + found.Render());
  }
  if (size_bytes && *size != *size_bytes) {
    return Error(Code::kCorrupt, "a layer says that it has " + std::to_string(*size_bytes) +
                                     " bytes; it has " + std::to_string(*size));
  }
  return size;
}

Result<uint64_t> FileCheck::Object(const fs::path& path, const ObjectId& id,
                                   std::optional<uint64_t> size_bytes) {
  const Fd fd = TRY(Open(path));
  return Object(fd.get(), id, size_bytes);
}

Result<uint64_t> FileCheck::Blob(int fd, const oci::Digest& digest) {
  const auto check = [&](auto hash, const auto& digest_of) -> Result<uint64_t> {
    const uint64_t size = TRY(ReadInto(fd, hash));
    const auto bytes = hash.Finish();
    const oci::Digest found =
        digest_of(Hex(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())));
    if (found != digest) return Error(Code::kCorrupt, "its contents have the digest " + found.Render());
    return size;
  };
  if (digest.algorithm() == "sha512") return check(Sha512(), oci::Digest::FromSha512Hex);
  return check(Sha256(), oci::Digest::FromSha256Hex);
}

Result<uint64_t> FileCheck::Blob(const fs::path& path, const oci::Digest& digest) {
  const Fd fd = TRY(Open(path));
  return Blob(fd.get(), digest);
}

}  // namespace ingot::store
