#include "registry/checked_blob.h"

#include <algorithm>

namespace ingot::registry {

CheckedBlob::CheckedBlob(ImageSource& source, const oci::Descriptor& blob, const std::atomic<bool>* cancelled)
    : source_(source), blob_(blob), cancelled_(cancelled) {
  if (blob.digest.algorithm() == "sha512") hash_.emplace<Sha512>();
}

Result<void> CheckedBlob::Read(uint64_t offset, const ByteSink& sink) {
  // What was never hashed cannot be left out.
  if (offset > hashed_bytes_)
    return Error(Code::kInternal, "a blob is read from where nobody has been before");
  uint64_t at = offset;
  TRY(source_.GetBlob(
      blob_, offset,
      [&](std::string_view piece) -> Result<void> {
        if (piece.size() > blob_.size_bytes - at) {
          return Error(Code::kInvalid, "The blob " + blob_.digest.Render() + " is longer than the " +
                                           std::to_string(blob_.size_bytes) +
                                           " bytes that its descriptor says.");
        }
        const uint64_t known = std::min<uint64_t>(hashed_bytes_ - at, piece.size());
        const std::string_view fresh = piece.substr(known);
        if (!fresh.empty()) std::visit([&](auto& hash) { hash.Update(fresh); }, hash_);
        at += piece.size();
        hashed_bytes_ += fresh.size();
        return sink(piece);
      },
      cancelled_));
  if (at != blob_.size_bytes) {
    return Error(Code::kInvalid, "The blob " + blob_.digest.Render() + " ends after " + std::to_string(at) +
                                     " of the " + std::to_string(blob_.size_bytes) +
                                     " bytes that its descriptor says.");
  }
  return Check();
}

Result<void> CheckedBlob::Check() {
  if (right_) return {};
  std::string found;
  std::visit(
      [&](auto& hash) {
        const auto bytes = hash.Finish();
        found = std::string(blob_.digest.algorithm()) + ":" +
                Hex(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
      },
      hash_);
  if (found != blob_.digest.Render()) {
    return Error(Code::kInvalid,
                 "The blob " + blob_.digest.Render() + " has other contents: their digest is " + found + ".");
  }
  right_ = true;
  return {};
}

}  // namespace ingot::registry
