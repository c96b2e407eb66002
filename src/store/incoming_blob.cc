#include "store/incoming_blob.h"

#include <fcntl.h>

#include "store/store.h"
#include "store/store_state.h"

namespace ingot::store {

Result<IncomingBlob> Store::ReceiveBlob(const oci::Digest& digest, uint64_t size_bytes, Lease& lease) {
  TRY(CheckLease(lease));
  if (digest.algorithm() != "sha256")
    return Error(Code::kUnsupported, "The store keeps blobs by SHA-256 only, not " + digest.Render());
  TRY(state_->claims->Claim(ClaimKind::kBlob, {ClaimBytes(digest)}, []() -> Result<void> { return {}; }));
  const fs::path path = BlobPath(digest);
  DurableFile file = TRY(DurableFile::Create(TRY(state_->claims->TemporaryFor(path)), 0444));
  DiskShare share(state_->budget.get());
  // At once: a blob that does not fit is refused before its first byte.
  TRY(share.Grow(size_bytes));
  return IncomingBlob(digest, size_bytes, path, std::move(file), std::move(share));
}

Result<void> IncomingBlob::Write(std::string_view bytes) {
  if (bytes.size() > size_bytes_ - received_bytes_) {
    return Error(Code::kInvalid, "The blob " + digest_.Render() + " is longer than the " +
                                     std::to_string(size_bytes_) + " bytes that its descriptor says.");
  }
  received_bytes_ += bytes.size();
  hash_.Update(bytes);
  return file_.Write(bytes);
}

Result<void> IncomingBlob::Check() {
  if (checked_) return {};
  if (received_bytes_ < size_bytes_) {
    return Error(Code::kInvalid, "The blob " + digest_.Render() + " is shorter than the " +
                                     std::to_string(size_bytes_) + " bytes that its descriptor says.");
  }
  const auto found = oci::Digest::FromSha256Hex(Hex(hash_.Finish()));
  if (found != digest_) {
    return Error(Code::kInvalid, "The blob " + digest_.Render() + " has other contents: their digest is " +
                                     found.Render() + ".");
  }
  checked_ = true;
  return {};
}

Result<Fd> IncomingBlob::Open() const {
  if (!checked_) return Error(Code::kInternal, "a blob is read before its digest is known to be right");
  return OpenFile(file_.temporary(), O_RDONLY);
}

Result<Fd> IncomingBlob::OpenUnchecked() const {
  return OpenFile(file_.temporary(), O_RDONLY);
}

Result<void> IncomingBlob::Publish() {
  if (!checked_) return Error(Code::kInternal, "a blob is kept before its digest is known to be right");
  const uint64_t replaced = BlocksOf(path_);
  TRY(file_.Publish(path_));
  share_.Keep(replaced);
  return SyncDirectory(path_.parent_path());
}

}  // namespace ingot::store
