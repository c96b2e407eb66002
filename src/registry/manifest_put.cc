// PUT of a manifest: kept verbatim once everything it names is there.
#include <algorithm>

#include "oci/manifest.h"
#include "registry/memory_budget.h"
#include "registry/names.h"
#include "registry/pushed_manifest.h"
#include "registry/record.h"
#include "registry/requests.h"

namespace ingot::registry {
namespace {

constexpr size_t kMostTags = 100;

// What a push asks for, checked.
struct ManifestTarget {
  std::string repository;
  std::optional<oci::Digest> digest;  // as the path says
  std::vector<std::string> tags;
  std::string content_type;  // without parameters
  Doer doer;
};

class ManifestPut final : public Exchange {
 public:
  ManifestPut(RegistryState& state, ManifestTarget target)
      : state_(state), target_(std::move(target)), reserved_(state.manifest_memory) {}

  bool Blocks() const override { return true; }
  bool WantsBody() const override { return true; }
  bool Write(std::string_view bytes, std::shared_ptr<const void>) override {
    if (bytes_.size() + bytes.size() > oci::kMaxManifestBytes) {
      wrong_ = ErrorAnswer(413, ErrorCode::kSizeInvalid, "a manifest has at most 4 MiB");
    } else if (!reserved_.Add(bytes.size())) {
      wrong_ = ErrorAnswer(ErrorCode::kTooManyRequests, "too many manifests are being pushed at once");
    } else {
      bytes_.append(bytes);
    }
    return !wrong_.has_value();
  }
  Response Finish() override { return wrong_ ? *std::move(wrong_) : AnswerOf(Put()); }

 private:
  Result<Response> Put() {
    oci::Digest digest = oci::Digest::Of(bytes_);
    if (target_.digest) {
      digest = TRY(oci::Digest::Of(target_.digest->algorithm(), bytes_));
      if (digest != *target_.digest)
        return ErrorAnswer(ErrorCode::kDigestInvalid, "the manifest's digest is " + digest.Render());
    }
    auto manifest = PushedManifest::Parse(bytes_, digest, target_.content_type);
    if (!manifest) return ErrorAnswer(ErrorCode::kManifestInvalid, manifest.error().Render());

    store::Lease lease = TRY(state_.store.TakeLease("registry: a manifest is pushed"));
    TRY(AdoptLocalBlobs(manifest->blobs, lease));
    TRY(state_.store.PutBlobAs(digest, bytes_, lease));
    std::optional<Response> refused;
    auto put = state_.store.catalog().Write([&](store::CatalogRows& rows) -> Result<void> {
      refused = TRY(Refusal(rows, digest, *manifest));
      if (refused) return {};
      return PutRows(rows, digest, *manifest);
    });
    if (refused) return *std::move(refused);
    // Of all that is done there only tags are refused.
    if (!put && put.error().code() == Code::kRefused)
      return ErrorAnswer(ErrorCode::kDenied, put.error().message());
    TRY(std::move(put));
    JsonArray tags(target_.tags.begin(), target_.tags.end());
    RecordDone(state_, target_.doer, "registry.pushed",
               {{"repository", target_.repository},
                {"digest", digest.Render()},
                {"tags", std::move(tags)},
                {"media_type", manifest->media_type}});
    return Created(digest, *manifest);
  }

  // Blobs of images that were built here under this name become blobs of the repository, so that they stay
  // when the image's own tag moves on.
  Result<void> AdoptLocalBlobs(const std::vector<oci::Digest>& blobs, store::Lease& lease) {
    for (const oci::Digest& digest : blobs) {
      bool pushed = false;
      TRY(state_.store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
        pushed = TRY(rows.FindRepositoryBlob(target_.repository, digest)).has_value();
        return {};
      }));
      if (pushed) continue;
      const auto local = TRY(state_.local.FindBlob(target_.repository, digest));
      if (!local) continue;
      TRY(state_.local.Materialize(*local, lease));
      if (!TRY(state_.store.KeepBlob(digest, lease))) continue;
      TRY(state_.store.catalog().Write([&](store::CatalogRows& rows) -> Result<void> {
        return rows.PutRepositoryBlob({target_.repository, digest, local->size_bytes, state_.clock.Now()});
      }));
    }
    return {};
  }

  // In the transaction that would keep it: what speaks against it.
  Result<std::optional<Response>> Refusal(const store::CatalogRows& rows, const oci::Digest& digest,
                                          const PushedManifest& manifest) const {
    const auto unknown = [](const oci::Digest& missing) {
      return std::optional<Response>(ErrorAnswer(
          ErrorCode::kManifestBlobUnknown,
          "the manifest names what this repository does not have: " + missing.Render() + "; push it first"));
    };
    if (!state_.options.accept_sparse) {
      for (const oci::Digest& blob : manifest.blobs)
        if (!TRY(rows.FindRepositoryBlob(target_.repository, blob))) return unknown(blob);
      for (const oci::Digest& child : manifest.manifests)
        if (!TRY(rows.FindRepositoryManifest(target_.repository, child))) return unknown(child);
    }
    for (const std::string& tag : target_.tags) {
      const auto local = TRY(rows.FindTag(target_.repository, tag));
      if (local && local->digest != digest) {
        return std::optional<Response>(
            ErrorAnswer(ErrorCode::kDenied, target_.repository + ":" + tag +
                                                " is an image that was built on this host, whose tags only "
                                                "a build moves; push under another name"));
      }
    }
    return std::optional<Response>();
  }

  Result<void> PutRows(store::CatalogRows& rows, const oci::Digest& digest,
                       const PushedManifest& manifest) const {
    store::RepositoryManifest row;
    row.repository = target_.repository;
    row.digest = digest;
    row.media_type = manifest.media_type;
    row.size_bytes = bytes_.size();
    row.subject = manifest.subject;
    row.artifact_type = manifest.artifact_type;
    row.descriptor = manifest.descriptor;
    row.created = state_.clock.Now();
    TRY(rows.PutRepositoryManifest(row));
    for (const std::string& tag : target_.tags) {
      const store::Tag named{target_.repository, tag, digest, row.created};
      TRY(store::AdmitTag(rows, state_.store.tag_rules(), named));
      TRY(rows.PutRepositoryTag(named));
    }
    return {};
  }

  Response Created(const oci::Digest& digest, const PushedManifest& manifest) const {
    Response response;
    response.status = 201;
    response.With("Location", "/v2/" + target_.repository + "/manifests/" + digest.Render())
        .With(kDigestHeader, digest.Render());
    if (manifest.subject) response.With("OCI-Subject", manifest.subject->Render());
    if (target_.digest)
      for (const std::string& tag : target_.tags) response.With("OCI-Tag", tag);
    return response;
  }

  RegistryState& state_;
  ManifestTarget target_;
  MemoryBudget::Share reserved_;
  std::string bytes_;
  std::optional<Response> wrong_;
};

}  // namespace

std::unique_ptr<Exchange> ManifestPutRequest(RegistryState& state, const Route& route,
                                             const Request& request) {
  ManifestTarget target;
  target.repository = route.repository;
  target.doer = Doer::Of(request);
  target.content_type = request.content_type.substr(0, request.content_type.find(';'));
  target.content_type.erase(target.content_type.find_last_not_of(" \t") + 1);
  if (route.reference.find(':') != std::string::npos) {
    const auto digest = oci::Digest::Parse(route.reference);
    if (!digest) return Ready(ErrorAnswer(ErrorCode::kDigestInvalid, digest.error().message()));
    target.digest = *digest;
    for (const auto& [key, value] : request.query)
      if (key == "tag") target.tags.push_back(value);
  } else {
    target.tags.push_back(route.reference);
  }
  if (target.tags.size() > kMostTags)
    return Ready(ErrorAnswer(414, ErrorCode::kUnsupported, "at most 100 tags at once"));
  if (!std::all_of(target.tags.begin(), target.tags.end(), [](const auto& tag) { return IsTagName(tag); }))
    return Ready(ErrorAnswer(ErrorCode::kManifestInvalid, "the tag's name breaks the grammar of tags"));
  if (request.content_length.value_or(0) > oci::kMaxManifestBytes)
    return Ready(ErrorAnswer(413, ErrorCode::kSizeInvalid, "a manifest has at most 4 MiB"));
  return std::make_unique<ManifestPut>(state, std::move(target));
}

}  // namespace ingot::registry
