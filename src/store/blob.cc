// Store's blobs: bytes by their digest, in blobs/sha256/<64 hex> and blobs/sha512/<128 hex>.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/sha256.h"
#include "store/durable_file.h"
#include "store/store.h"
#include "store/store_state.h"

namespace ingot::store {

fs::path Store::BlobPath(const oci::Digest& digest) const {
  return state_->paths.blobs / digest.algorithm() / digest.hex();
}

Result<bool> Store::HasBlob(const oci::Digest& digest) const {
  const fs::path path = BlobPath(digest);
  if (::access(path.c_str(), F_OK) == 0) return true;
  if (errno == ENOENT) return false;
  return ErrnoError(errno, "look for the blob " + path.string());
}

Result<oci::Digest> Store::PutBlob(std::string_view bytes, Lease& lease) {
  TRY(CheckLease(lease));
  const oci::Digest digest = oci::Digest::Of(bytes);
  TRY(state_->PutFile(ClaimKind::kBlob, ClaimBytes(digest), BlobPath(digest), bytes));
  TRY(SyncDirectory(BlobPath(digest).parent_path()));
  return digest;
}

Result<void> Store::PutBlobAs(const oci::Digest& digest, std::string_view bytes, Lease& lease) {
  TRY(CheckLease(lease));
  if (const oci::Digest found = TRY(oci::Digest::Of(digest.algorithm(), bytes)); found != digest) {
    return Error(Code::kInvalid, "The blob " + digest.Render() + " has other contents: their digest is " +
                                     found.Render() + ".");
  }
  TRY(state_->PutFile(ClaimKind::kBlob, ClaimBytes(digest), BlobPath(digest), bytes));
  return SyncDirectory(BlobPath(digest).parent_path());
}

Result<void> Store::AdoptBlob(const oci::Digest& digest, const fs::path& file, Lease& lease) {
  TRY(CheckLease(lease));
  // Whatever is there is replaced: it has the same contents, or is damaged. It is held open, so that its
  // blocks are not freed within the rename: 0.15 s for 512 MB.
  const fs::path path = BlobPath(digest);
  Fd before(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  TRY(state_->claims->Claim(ClaimKind::kBlob, {ClaimBytes(digest)}, [&]() -> Result<void> {
    const uint64_t replaced = BlocksOf(path);
    if (::rename(file.c_str(), path.c_str()) == 0) {
      state_->budget->Gone(replaced);
      return {};
    }
    return ErrnoError(errno, "rename " + file.string() + " to " + path.string());
  }));
  state_->replaced.Close(std::move(before));
  return digest.algorithm() == "sha256" ? state_->blob_names.Wait() : SyncDirectory(path.parent_path());
}

Result<bool> Store::KeepBlob(const oci::Digest& digest, Lease& lease) {
  TRY(CheckLease(lease));
  bool present = false;
  TRY(state_->claims->Claim(ClaimKind::kBlob, {ClaimBytes(digest)}, [&]() -> Result<void> {
    present = TRY(HasBlob(digest));
    return {};
  }));
  return present;
}

Result<Fd> Store::OpenBlob(const oci::Digest& digest) const {
  auto opened = OpenFile(BlobPath(digest), O_RDONLY | O_NOFOLLOW);
  if (!opened && opened.error().code() == Code::kNotFound) return NotInStore("blob", digest.Render());
  return opened;
}

Result<void> Store::PutBlobStream(const oci::Digest& digest, const ByteSource& source, uint64_t limit_bytes,
                                  Lease& lease) {
  TRY(CheckLease(lease));
  if (digest.algorithm() != "sha256")
    return Error(Code::kUnsupported, "A stream is kept as a blob by SHA-256 only, not " + digest.Render());
  TRY(state_->claims->Claim(ClaimKind::kBlob, {ClaimBytes(digest)}, []() -> Result<void> { return {}; }));
  const fs::path path = BlobPath(digest);
  DurableFile file = TRY(DurableFile::Create(TRY(state_->claims->TemporaryFor(path)), 0444));
  Sha256 hash;
  uint64_t size = 0;
  DiskShare share(state_->budget.get());
  std::string buffer(1 << 20, '\0');
  while (const size_t n = TRY(source(buffer.data(), buffer.size()))) {
    const std::string_view bytes(buffer.data(), n);
    size += n;
    if (size > limit_bytes) {
      return Error(Code::kInvalid, "The blob " + digest.Render() + " is longer than the " +
                                       std::to_string(limit_bytes) + " bytes that its descriptor says.");
    }
    hash.Update(bytes);
    TRY(share.Grow(size));
    TRY(file.Write(bytes));
  }
  const auto found = oci::Digest::FromSha256Hex(Hex(hash.Finish()));
  if (found != digest) {
    return Error(Code::kInvalid, "The blob " + digest.Render() + " has other contents: their digest is " +
                                     found.Render() + ".");
  }
  const uint64_t replaced = BlocksOf(path);
  TRY(file.Publish(path));
  share.Keep(replaced);
  return SyncDirectory(path.parent_path());
}

Result<std::string> Store::GetBlob(const oci::Digest& digest, size_t limit_bytes) const {
  auto bytes = ReadFile(BlobPath(digest), limit_bytes);
  if (!bytes) {
    if (bytes.error().code() == Code::kNotFound) return NotInStore("blob", digest.Render());
    return bytes;
  }
  if (TRY(oci::Digest::Of(digest.algorithm(), *bytes)) != digest) {
    return Error(Code::kCorrupt, "The blob " + BlobPath(digest).string() +
                                     " is damaged: its contents are not what its name promises. `ingot build "
                                     "--no-cache` makes it again.");
  }
  return bytes;
}

}  // namespace ingot::store
