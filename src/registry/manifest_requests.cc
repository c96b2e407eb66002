#include "base/json.h"
#include "oci/manifest.h"
#include "registry/conditional.h"
#include "registry/names.h"
#include "registry/record.h"
#include "registry/requests.h"

namespace ingot::registry {
namespace {

Response ManifestUnknown(const Route& route) {
  return ErrorAnswer(ErrorCode::kManifestUnknown,
                     "this repository has no manifest " + route.reference.substr(0, 200));
}

// What a tag or digest leads to in a repository.
struct Resolved {
  oci::Digest digest;
  std::string media_type;  // empty: of an image that was built here, see its document
};

// Local images come first: what was built here is what a tag of its name means.
Result<std::optional<Resolved>> Resolve(const store::CatalogRows& rows, const std::string& repository,
                                        const std::string& reference) {
  const auto found = [](oci::Digest digest, std::string media_type) {
    return std::optional<Resolved>(Resolved{std::move(digest), std::move(media_type)});
  };
  if (reference.find(':') == std::string::npos) {
    if (const auto local = TRY(rows.FindTag(repository, reference))) return found(local->digest, "");
    const auto tag = TRY(rows.FindRepositoryTag(repository, reference));
    if (!tag) return std::optional<Resolved>();
    auto row = TRY(rows.FindRepositoryManifest(repository, tag->digest));
    if (!row)
      return Error(Code::kCorrupt, "store.db has a tag without its manifest. Restore it from a backup.");
    return found(tag->digest, row->media_type);
  }
  const oci::Digest digest = TRY(oci::Digest::Parse(reference));
  if (auto row = TRY(rows.FindRepositoryManifest(repository, digest))) return found(digest, row->media_type);
  for (const store::Tag& tag : TRY(rows.ListTags(repository)))
    if (tag.digest == digest) return found(digest, "");
  return std::optional<Resolved>();
}

Result<std::shared_ptr<const KeptManifest>> ReadManifest(RegistryState& state, const oci::Digest& digest) {
  if (auto kept = state.manifests.Find(digest)) return kept;
  KeptManifest manifest;
  manifest.bytes = TRY(state.store.GetBlob(digest, oci::kMaxManifestBytes));
  if (const auto json = ParseJson(manifest.bytes); json && json->is_object())
    manifest.media_type = StringOr(json->as_object(), "mediaType", "");
  auto kept = std::make_shared<const KeptManifest>(std::move(manifest));
  state.manifests.Put(digest, kept);
  return kept;
}

Result<Response> AnswerManifest(RegistryState& state, const Route& route, bool head,
                                const std::string& if_none_match) {
  std::optional<Resolved> resolved;
  TRY(state.store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    resolved = TRY(Resolve(rows, route.repository, route.reference));
    return {};
  }));
  if (!resolved) return ManifestUnknown(route);
  if (IsKnown(if_none_match, resolved->digest)) return NotModified(resolved->digest);
  const auto manifest = TRY(ReadManifest(state, resolved->digest));
  if (!head) state.pulls.Note(route.repository, resolved->digest, state.clock.Now());
  if (resolved->media_type.empty())
    resolved->media_type = manifest->media_type.empty() ? oci::kManifestType : manifest->media_type;
  Response response;
  response.With("Content-Type", std::move(resolved->media_type))
      .With(kDigestHeader, resolved->digest.Render())
      .With("ETag", EntityTag(resolved->digest));
  if (head) {
    response.head_bytes = manifest->bytes.size();
  } else {
    response.text = manifest->bytes;
  }
  return response;
}

Result<Response> DeleteManifest(RegistryState& state, const Route& route, const Doer& doer) {
  bool removed = false;
  std::optional<Resolved> left;
  const bool by_tag = route.reference.find(':') == std::string::npos;
  TRY(state.store.catalog().Write([&](store::CatalogRows& rows) -> Result<void> {
    removed =
        by_tag
            ? TRY(rows.RemoveRepositoryTag(route.repository, route.reference))
            : TRY(rows.RemoveRepositoryManifest(route.repository, TRY(oci::Digest::Parse(route.reference))));
    if (!removed) left = TRY(Resolve(rows, route.repository, route.reference));
    return {};
  }));
  if (left)
    return ErrorAnswer(ErrorCode::kDenied,
                       "this is an image that was built on this host, whose tags only a "
                       "build moves");
  if (!removed) return ManifestUnknown(route);
  RecordDone(state, doer, by_tag ? "registry.untagged" : "registry.deleted",
             {{"repository", route.repository}, {by_tag ? "tag" : "digest", route.reference}});
  Response response;
  response.status = 202;
  return response;
}

}  // namespace

std::unique_ptr<Exchange> ManifestRequest(RegistryState& state, const Route& route, const Request& request) {
  const bool head = request.method == "HEAD";
  if (!head && request.method != "GET" && request.method != "DELETE")
    return Ready(ErrorAnswer(ErrorCode::kUnsupported, "a manifest has GET, HEAD, PUT and DELETE"));
  if (route.reference.find(':') != std::string::npos) {
    if (const auto digest = oci::Digest::Parse(route.reference); !digest)
      return Ready(ErrorAnswer(ErrorCode::kDigestInvalid, digest.error().message()));
  } else if (!IsTagName(route.reference)) {
    return Ready(ErrorAnswer(ErrorCode::kManifestUnknown, "no tag can have this name"));
  }
  if (request.method == "DELETE") {
    return std::make_unique<Answer>(Answer::Work::kBlocks, [&state, route, doer = Doer::Of(request)] {
      return DeleteManifest(state, route, doer);
    });
  }
  return std::make_unique<Answer>(Answer::Work::kQuick, [&state, route, head, known = request.if_none_match] {
    return AnswerManifest(state, route, head, known);
  });
}

}  // namespace ingot::registry
