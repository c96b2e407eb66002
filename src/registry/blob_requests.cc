#include <sys/stat.h>

#include <cerrno>

#include "registry/byte_range.h"
#include "registry/conditional.h"
#include "registry/record.h"
#include "registry/requests.h"

namespace ingot::registry {
namespace {

Response BlobUnknown(const oci::Digest& digest) {
  return ErrorAnswer(ErrorCode::kBlobUnknown, "this repository has no blob " + digest.Render());
}

// A blob that a repository has: a file, or made when it is read.
struct FoundBlob {
  uint64_t size_bytes = 0;
  Fd fd;
  std::optional<LocalImages::Blob> made;
};

Result<std::optional<FoundBlob>> FindBlob(RegistryState& state, const Route& route,
                                          const oci::Digest& digest) {
  std::optional<store::RepositoryBlob> row;
  TRY(state.store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    row = TRY(rows.FindRepositoryBlob(route.repository, digest));
    return {};
  }));
  FoundBlob found;
  if (!row) {
    std::optional<LocalImages::Blob> local = TRY(state.local.FindBlob(route.repository, digest));
    if (!local) return std::optional<FoundBlob>();
    found.size_bytes = local->size_bytes;
    if (local->made_from) {
      found.made = std::move(local);
      return std::optional<FoundBlob>(std::move(found));
    }
  } else {
    found.size_bytes = row->size_bytes;
  }
  found.fd = TRY(state.store.OpenBlob(digest));
  struct stat st {};
  if (::fstat(found.fd.get(), &st) != 0) return ErrnoError(errno, "look at a blob");
  if (static_cast<uint64_t>(st.st_size) != found.size_bytes) {
    return Error(Code::kCorrupt, "The blob " + digest.Render() + " has " + std::to_string(st.st_size) +
                                     " bytes and should have " + std::to_string(found.size_bytes) +
                                     ". Push it again.");
  }
  return std::optional<FoundBlob>(std::move(found));
}

Result<Response> ReadBlob(RegistryState& state, const Route& route, const oci::Digest& digest,
                          const std::string& range, const std::string& if_none_match, bool head) {
  std::optional<FoundBlob> blob = TRY(FindBlob(state, route, digest));
  if (!blob) return BlobUnknown(digest);
  if (IsKnown(if_none_match, digest)) return NotModified(digest);
  Response response;
  response.With("Content-Type", "application/octet-stream")
      .With("Accept-Ranges", "bytes")
      .With(kDigestHeader, digest.Render())
      .With("ETag", EntityTag(digest));
  if (head) {
    response.head_bytes = blob->size_bytes;
    return response;
  }
  const auto part = AnswerRange(range, blob->size_bytes, response);
  if (!part) return response;
  if (blob->made) {
    response.made = std::make_unique<MadeBody>(state.local.MakePart(*blob->made, *part));
  } else {
    TRY(state.trust.Check(digest, blob->fd.get()));
    response.file = std::make_unique<FileBody>(FileBody{std::move(blob->fd), part->offset, part->size_bytes});
  }
  return response;
}

Result<Response> DeleteBlob(RegistryState& state, const Route& route, const oci::Digest& digest,
                            const Doer& doer) {
  bool removed = false;
  TRY(state.store.catalog().Write([&](store::CatalogRows& rows) -> Result<void> {
    removed = TRY(rows.RemoveRepositoryBlob(route.repository, digest));
    return {};
  }));
  if (!removed) {
    if (TRY(state.local.FindBlob(route.repository, digest)))
      return ErrorAnswer(ErrorCode::kDenied, "the blob belongs to an image that was built on this host");
    return BlobUnknown(digest);
  }
  RecordDone(state, doer, "registry.blob_deleted",
             {{"repository", route.repository}, {"digest", digest.Render()}});
  Response response;
  response.status = 202;
  return response;
}

}  // namespace

std::unique_ptr<Exchange> BlobRequest(RegistryState& state, const Route& route, const Request& request) {
  const auto digest = oci::Digest::Parse(route.reference);
  if (!digest) return Ready(ErrorAnswer(ErrorCode::kDigestInvalid, digest.error().message()));
  const bool head = request.method == "HEAD";
  if (head || request.method == "GET") {
    // Its first reader waits until it is known to be what it should be.
    const bool quick = head || state.trust.Knows(*digest);
    return std::make_unique<Answer>(
        quick ? Answer::Work::kQuick : Answer::Work::kBlocks,
        [&state, route, digest = *digest, range = request.range, known = request.if_none_match, head] {
          return ReadBlob(state, route, digest, range, known, head);
        });
  }
  if (request.method == "DELETE") {
    return std::make_unique<Answer>(Answer::Work::kBlocks,
                                    [&state, route, digest = *digest, doer = Doer::Of(request)] {
                                      return DeleteBlob(state, route, digest, doer);
                                    });
  }
  return Ready(ErrorAnswer(ErrorCode::kUnsupported, "a blob has GET, HEAD and DELETE"));
}

}  // namespace ingot::registry
