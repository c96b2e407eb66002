#include <sys/stat.h>

#include "registry/byte_range.h"
#include "registry/names.h"
#include "registry/requests.h"

namespace ingot::registry {
namespace {

std::string UploadLocation(const std::string& repository, const std::string& id) {
  return "/v2/" + repository + "/blobs/uploads/" + id;
}

// Where an upload is and what it has: the last byte's position, as the specification wants it ("0-0" also
// when there is none yet, as Docker's registry says it).
Response& WithPlace(Response& response, const Route& route, const std::string& id, uint64_t size_bytes) {
  return response.With("Location", UploadLocation(route.repository, id))
      .With("Range", "0-" + std::to_string(size_bytes == 0 ? 0 : size_bytes - 1))
      .With("Docker-Upload-UUID", id);
}

Response NotUsable(const Error& error) {
  switch (error.code()) {
    case Code::kNotFound:
      return ErrorAnswer(ErrorCode::kBlobUploadUnknown, error.message());
    case Code::kConflict:
      return ErrorAnswer(409, ErrorCode::kBlobUploadInvalid, error.message());
    default:
      return ErrorAnswer(error);
  }
}

Response BlobCreated(const Route& route, const oci::Digest& digest) {
  Response response;
  response.status = 201;
  response.With("Location", BlobLocation(route.repository, digest)).With(kDigestHeader, digest.Render());
  return response;
}

Response NotThisDigest(const oci::Digest& digest, const oci::Digest& found) {
  return ErrorAnswer(ErrorCode::kDigestInvalid, "the content's digest is " + found.Render() + ", and not " +
                                                    digest.Render() + "; the upload has been dropped");
}

Result<void> PutBlobRow(RegistryState& state, const std::string& repository, const oci::Digest& digest,
                        uint64_t size_bytes) {
  return state.store.catalog().WriteTogether([&](store::CatalogRows& rows) -> Result<void> {
    return rows.PutRepositoryBlob({repository, digest, size_bytes, state.clock.Now()});
  });
}

// PATCH and PUT of an upload, and the POST of a whole blob: bytes are appended; with a digest, the blob is
// made.
class UploadWrite final : public Exchange {
 public:
  struct Expected {
    std::optional<uint64_t> bytes;  // how many this request brings
    std::optional<oci::Digest> digest;
  };
  UploadWrite(RegistryState& state, Route route, Uploads::Use use, Expected expected)
      : state_(state),
        route_(std::move(route)),
        use_(std::move(use)),
        expected_(std::move(expected)),
        begin_(use_->Here()) {}
  // What the request brought is not kept longer than it.
  ~UploadWrite() override { use_->Settle(); }

  bool Blocks() const override { return true; }
  bool WantsBody() const override { return true; }
  bool Write(std::string_view bytes, std::shared_ptr<const void> keep) override {
    if (expected_.bytes && use_->size_bytes() - begin_.size_bytes + bytes.size() > *expected_.bytes) {
      wrong_ = ErrorAnswer(ErrorCode::kSizeInvalid, "the body is longer than Content-Range says");
      return false;
    }
    if (auto written = use_->Write(bytes, std::move(keep)); !written) wrong_ = ErrorAnswer(written.error());
    return !wrong_.has_value();
  }
  Response Finish() override {
    const uint64_t came = use_->size_bytes() - begin_.size_bytes;
    if (!wrong_ && expected_.bytes && came != *expected_.bytes)
      wrong_ = ErrorAnswer(ErrorCode::kSizeInvalid, "the body is shorter than Content-Range says");
    if (wrong_) {
      // The client can send this chunk again.
      if (auto rewound = use_->Rewind(begin_); !rewound) use_.End();
      return *std::move(wrong_);
    }
    if (expected_.digest) return AnswerOf(Complete(*expected_.digest));
    Response response;
    response.status = 202;
    return std::move(WithPlace(response, route_, use_.id(), use_->size_bytes()));
  }

 private:
  // Only when file, name and row are durable the client is told so.
  Result<Response> Complete(const oci::Digest& digest) {
    const oci::Digest found = TRY(use_->DigestBy(digest.algorithm()));
    use_.End();
    if (found != digest) return NotThisDigest(digest, found);
    TRY(use_->Sync());
    store::Lease lease = TRY(state_.store.TakeLease("registry: a blob is pushed"));
    TRY(state_.store.AdoptBlob(digest, use_->path(), lease));
    use_->Release();
    struct stat st {};
    if (::stat(state_.store.BlobPath(digest).c_str(), &st) == 0) state_.trust.Trust(digest, st);
    TRY(PutBlobRow(state_, route_.repository, digest, use_->size_bytes()));
    return BlobCreated(route_, digest);
  }

  RegistryState& state_;
  Route route_;
  Uploads::Use use_;
  Expected expected_;
  Upload::Mark begin_;
  std::optional<Response> wrong_;
};

Result<Response> NewUpload(RegistryState& state, const Route& route) {
  auto id = state.uploads->Add(route.repository);
  if (!id && id.error().code() == Code::kConflict)
    return ErrorAnswer(ErrorCode::kTooManyRequests, id.error().message());
  if (!id) return std::move(id).error();
  Response response;
  response.status = 202;
  return std::move(WithPlace(response, route, *id, 0));
}

// POST ?digest=: an upload of one request, which ends with it.
std::unique_ptr<Exchange> WholeBlob(RegistryState& state, const Route& route, const std::string& text) {
  const auto digest = oci::Digest::Parse(text);
  if (!digest) return Ready(ErrorAnswer(ErrorCode::kDigestInvalid, digest.error().message()));
  auto id = state.uploads->Add(route.repository);
  if (!id && id.error().code() == Code::kConflict)
    return Ready(ErrorAnswer(ErrorCode::kTooManyRequests, id.error().message()));
  if (!id) return Ready(ErrorAnswer(id.error()));
  auto use = state.uploads->Begin(route.repository, *id);
  if (!use) return Ready(NotUsable(use.error()));
  use->End();
  UploadWrite::Expected expected{std::nullopt, *digest};
  return std::make_unique<UploadWrite>(state, route, std::move(*use), std::move(expected));
}

// The blob where it may be mounted from: a repository, or any when none is named.
Result<std::optional<store::RepositoryBlob>> FindPushed(RegistryState& state, const std::string& from,
                                                        const oci::Digest& digest) {
  std::optional<store::RepositoryBlob> row;
  TRY(state.store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    row = TRY(from.empty() ? rows.FindRepositoryBlob(digest) : rows.FindRepositoryBlob(from, digest));
    return {};
  }));
  return row;
}

// 201 when the blob is there, else 202 with an upload, as the specification wants it.
Result<Response> Mount(RegistryState& state, const Route& route, const oci::Digest& digest,
                       const std::string& from) {
  store::Lease lease = TRY(state.store.TakeLease("registry: a blob is mounted"));
  uint64_t size_bytes = 0;
  if (const auto pushed = TRY(FindPushed(state, from, digest))) {
    size_bytes = pushed->size_bytes;
  } else {
    const auto local = from.empty() ? std::nullopt : TRY(state.local.FindBlob(from, digest));
    if (!local) return NewUpload(state, route);
    TRY(state.local.Materialize(*local, lease));
    size_bytes = local->size_bytes;
  }
  if (!TRY(state.store.KeepBlob(digest, lease))) return NewUpload(state, route);
  TRY(PutBlobRow(state, route.repository, digest, size_bytes));
  return BlobCreated(route, digest);
}

std::unique_ptr<Exchange> MountRequest(RegistryState& state, const Route& route, const std::string& text,
                                       const std::string& from) {
  const auto digest = oci::Digest::Parse(text);
  if (!digest) return Ready(ErrorAnswer(ErrorCode::kDigestInvalid, digest.error().message()));
  if (!from.empty() && !IsRepositoryName(from))
    return Ready(ErrorAnswer(ErrorCode::kNameInvalid, "the repository to mount from has no valid name"));
  return std::make_unique<Answer>(Answer::Work::kBlocks, [&state, route, digest = *digest, from] {
    return Mount(state, route, digest, from);
  });
}

// A chunk in the wrong place: 416, with where the upload stands.
std::optional<Response> CheckChunk(const Request& request, const Route& route, Uploads::Use& use,
                                   UploadWrite::Expected& expected) {
  if (request.content_range.empty()) return std::nullopt;
  const auto chunk = ParseChunkRange(request.content_range);
  if (!chunk) {
    return ErrorAnswer(ErrorCode::kBlobUploadInvalid,
                       "Content-Range is the first and last byte's position: 0-1023");
  }
  if (chunk->offset != use->size_bytes()) {
    Response response =
        ErrorAnswer(416, ErrorCode::kBlobUploadInvalid,
                    "chunks come in order; the next byte is " + std::to_string(use->size_bytes()));
    return std::move(WithPlace(response, route, use.id(), use->size_bytes()));
  }
  if (request.content_length && *request.content_length != chunk->size_bytes)
    return ErrorAnswer(ErrorCode::kSizeInvalid, "Content-Range and Content-Length differ");
  expected.bytes = chunk->size_bytes;
  return std::nullopt;
}

std::unique_ptr<Exchange> WriteRequest(RegistryState& state, const Route& route, const Request& request,
                                       Uploads::Use use) {
  UploadWrite::Expected expected;
  if (request.method == "PUT") {
    const auto digest = oci::Digest::Parse(request.Parameter("digest").value_or(""));
    if (!digest) return Ready(ErrorAnswer(ErrorCode::kDigestInvalid, digest.error().message()));
    expected.digest = *digest;
  }
  if (auto refused = CheckChunk(request, route, use, expected)) return Ready(*std::move(refused));
  return std::make_unique<UploadWrite>(state, route, std::move(use), std::move(expected));
}

}  // namespace

std::unique_ptr<Exchange> UploadsRequest(RegistryState& state, const Route& route, const Request& request) {
  if (request.method != "POST")
    return Ready(ErrorAnswer(ErrorCode::kUnsupported, "uploads are begun with POST"));
  const auto algorithm = request.Parameter("digest-algorithm");
  if (algorithm && *algorithm != "sha256" && *algorithm != "sha512")
    return Ready(ErrorAnswer(ErrorCode::kDigestInvalid, "digests are sha256 or sha512"));
  if (const auto mount = request.Parameter("mount"))
    return MountRequest(state, route, *mount, request.Parameter("from").value_or(""));
  if (const auto digest = request.Parameter("digest")) return WholeBlob(state, route, *digest);
  return std::make_unique<Answer>(Answer::Work::kBlocks, [&state, route] { return NewUpload(state, route); });
}

std::unique_ptr<Exchange> UploadRequest(RegistryState& state, const Route& route, const Request& request) {
  const std::string& method = request.method;
  if (method != "GET" && method != "PATCH" && method != "PUT" && method != "DELETE")
    return Ready(ErrorAnswer(ErrorCode::kUnsupported, "an upload has GET, PATCH, PUT and DELETE"));
  if (!IsUploadId(route.reference))
    return Ready(ErrorAnswer(ErrorCode::kBlobUploadUnknown, "there is no such upload"));
  auto use = state.uploads->Begin(route.repository, route.reference);
  if (!use) return Ready(NotUsable(use.error()));
  if (method == "PATCH" || method == "PUT") return WriteRequest(state, route, request, std::move(*use));
  Response response;
  response.status = 204;
  if (method == "DELETE") {
    use->End();
  } else {
    WithPlace(response, route, use->id(), (*use)->size_bytes());
  }
  return Ready(std::move(response));
}

}  // namespace ingot::registry
