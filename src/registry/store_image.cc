#include "registry/store_image.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/json.h"
#include "oci/manifest.h"
#include "store/tar_writer.h"

namespace ingot::registry {
namespace {

constexpr size_t kStorePiece = size_t{1} << 20;

}  // namespace

Result<RemoteManifest> StoreSource::GetManifest(const std::optional<oci::Digest>& digest,
                                                const std::atomic<bool>*) {
  RemoteManifest manifest;
  manifest.digest = digest.value_or(digest_);
  // What is being copied stays while it is.
  auto kept = lease_.KeepImage(manifest.digest);
  if (!kept && kept.error().code() != Code::kNotFound) return std::move(kept).error();
  if (!TRY(store_.KeepBlob(manifest.digest, lease_)))
    return Error(Code::kNotFound, "the store has no manifest " + manifest.digest.Render());
  manifest.bytes = TRY(store_.GetBlob(manifest.digest, oci::kMaxManifestBytes));
  manifest.media_type = MediaTypeOf(manifest.bytes);
  return manifest;
}

Result<void> StoreSource::GetBlob(const oci::Descriptor& blob, uint64_t offset, const ByteSink& sink,
                                  const std::atomic<bool>* cancelled) {
  if (TRY(store_.KeepBlob(blob.digest, lease_))) {
    const Fd fd = TRY(store_.OpenBlob(blob.digest));
    if (::lseek(fd.get(), static_cast<off_t>(offset), SEEK_SET) < 0)
      return ErrnoError(errno, "read the blob " + blob.digest.Render());
    const ByteSource source = SourceOf(fd.get());
    std::string buffer(kStorePiece, '\0');
    while (const size_t n = TRY(source(buffer.data(), buffer.size()))) {
      if (cancelled != nullptr && cancelled->load()) return Error(Code::kCancelled, "not needed any more");
      TRY(sink(std::string_view(buffer.data(), n)));
    }
    return {};
  }
  std::optional<store::LayerId> layer;
  TRY(store_.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    for (const store::Layer& row : TRY(rows.FindLayers(blob.digest)))
      if (!row.blob) layer = row.id;
    return {};
  }));
  if (!layer)
    return Error(Code::kNotFound, "the store has no blob " + blob.digest.Render() + "; pull the image again");
  const store::Tree tree = TRY(store_.ReadLayer(*layer));
  uint64_t at = 0;
  return store::WriteTar(tree, store_.objects(), [&](std::string_view piece) -> Result<void> {
    if (cancelled != nullptr && cancelled->load()) return Error(Code::kCancelled, "not needed any more");
    const uint64_t skip = std::min<uint64_t>(piece.size(), offset > at ? offset - at : 0);
    at += piece.size();
    piece.remove_prefix(skip);
    return piece.empty() ? Result<void>() : sink(piece);
  });
}

Result<std::vector<oci::Descriptor>> StoreSource::ListReferrers(const oci::Digest& subject) {
  std::vector<oci::Descriptor> referrers;
  if (repository_.empty()) return referrers;
  TRY(store_.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    for (const store::RepositoryManifest& row : TRY(rows.ListReferrers(repository_, subject))) {
      const Json json = TRY(ParseJson(row.descriptor));
      referrers.push_back(TRY(oci::ParseDescriptor(json, "a referrer")));
    }
    return {};
  }));
  return referrers;
}

}  // namespace ingot::registry
