// Requests for a repository that is a cache of another registry's: from here if it is here, else fetched.
#include <algorithm>

#include "base/json.h"
#include "registry/byte_range.h"
#include "registry/names.h"
#include "registry/requests.h"

namespace ingot::registry {
namespace {

Response UpstreamError(const Error& error, ErrorCode unknown) {
  switch (error.code()) {
    case Code::kNotFound:
      return ErrorAnswer(unknown, error.Render());
    case Code::kPermission:
      return ErrorAnswer(ErrorCode::kDenied, error.Render());
    case Code::kNoSpace:
    case Code::kConflict:
      return ErrorAnswer(error);
    default: {
      // The other registry's failure, and not this one's.
      Response response = ErrorAnswer(error);
      response.status = error.code() == Code::kTimeout ? 504 : error.code() == Code::kCancelled ? 503 : 502;
      return response;
    }
  }
}

// The whole or a part of a blob that is on its way.
Result<Response> GrowingAnswer(const std::shared_ptr<UpstreamFetch>& fetch, const oci::Digest& digest,
                               const std::string& range) {
  const uint64_t size_bytes = TRY(fetch->WaitForSize());
  Response response;
  response.With("Content-Type", "application/octet-stream")
      .With("Accept-Ranges", "bytes")
      .With(kDigestHeader, digest.Render());
  const auto part = AnswerRange(range, size_bytes, response);
  if (!part) return response;
  response.growing = std::make_unique<GrowingBody>(GrowingBody{fetch, part->offset, part->size_bytes});
  return response;
}

// What is here; where that is nothing (404), what `otherwise` says. Only what neither blocks nor waits for
// the other registry is answered on the caller's thread.
std::unique_ptr<Exchange> HereOrElse(std::unique_ptr<Exchange> here,
                                     std::function<Result<Response>()> otherwise) {
  if (!here->Blocks()) {
    Response response = here->Finish();
    if (response.status != 404) return Ready(std::move(response));
    return std::make_unique<Answer>(Answer::Work::kWaitsForOthers, std::move(otherwise));
  }
  return std::make_unique<Answer>(Answer::Work::kWaitsForOthers,
                                  [here = std::shared_ptr<Exchange>(std::move(here)),
                                   otherwise = std::move(otherwise)]() -> Result<Response> {
                                    Response response = here->Finish();
                                    if (response.status != 404) return response;
                                    return otherwise();
                                  });
}

std::unique_ptr<Exchange> UpstreamBlob(RegistryState& state, const Upstream& upstream, const Route& route,
                                       const Request& request) {
  const auto digest = oci::Digest::Parse(route.reference);
  if (!digest) return Ready(ErrorAnswer(ErrorCode::kDigestInvalid, digest.error().message()));
  const bool head = request.method == "HEAD";
  return HereOrElse(
      OwnRequest(state, route, request),
      [&state, &upstream, route, request, digest = *digest, head]() -> Result<Response> {
        if (head) {
          if (upstream.offline)
            return UpstreamError(state.upstreams->Offline(upstream), ErrorCode::kBlobUnknown);
          auto size = state.upstreams->client().StatBlob(upstream.ReferenceOf(route.repository), digest,
                                                         state.upstreams->stopping());
          if (!size) return UpstreamError(size.error(), ErrorCode::kBlobUnknown);
          Response response;
          response.With("Content-Type", "application/octet-stream").With(kDigestHeader, digest.Render());
          response.head_bytes = *size;
          return response;
        }
        auto fetch = state.upstreams->FetchBlob(upstream, route.repository, digest);
        if (!fetch) return UpstreamError(fetch.error(), ErrorCode::kBlobUnknown);
        if (*fetch == nullptr) return OwnRequest(state, route, request)->Finish();
        auto response = GrowingAnswer(*fetch, digest, request.range);
        if (!response) return UpstreamError(response.error(), ErrorCode::kBlobUnknown);
        return response;
      });
}

Response ManifestHere(RegistryState& state, const Route& route, const Request& request,
                      const oci::Digest& digest) {
  Route exact = route;
  exact.reference = digest.Render();
  return OwnRequest(state, exact, request)->Finish();
}

std::unique_ptr<Exchange> UpstreamManifest(RegistryState& state, const Upstream& upstream, const Route& route,
                                           const Request& request) {
  auto ask = [&state, &upstream, route, request]() -> Result<Response> {
    const auto resolved = state.upstreams->ResolveManifest(upstream, route.repository, route.reference);
    if (!resolved) return UpstreamError(resolved.error(), ErrorCode::kManifestUnknown);
    Response response = ManifestHere(state, route, request, resolved->digest);
    if (resolved->stale) {
      response.With("Warning", "110 - \"Response is Stale\"")
          .With("Age", std::to_string(resolved->stale->count() / 1000));
    }
    return response;
  };
  if (route.reference.find(':') != std::string::npos)
    return HereOrElse(OwnRequest(state, route, request), std::move(ask));
  if (!IsTagName(route.reference))
    return Ready(ErrorAnswer(ErrorCode::kManifestUnknown, "no tag can have this name"));
  const auto fresh = state.upstreams->FindFresh(upstream, route.repository, route.reference);
  if (!fresh) return Ready(ErrorAnswer(fresh.error()));
  if (*fresh) return Ready(ManifestHere(state, route, request, **fresh));
  return std::make_unique<Answer>(Answer::Work::kWaitsForOthers, std::move(ask));
}

// What the other registry has to say; what is known here when it says nothing.
std::unique_ptr<Exchange> UpstreamTags(RegistryState& state, const Upstream& upstream, const Route& route,
                                       const Request& request) {
  if (upstream.offline) return OwnRequest(state, route, request);
  return std::make_unique<Answer>(
      Answer::Work::kWaitsForOthers, [&state, &upstream, route, request]() -> Result<Response> {
        auto tags = state.upstreams->client().ListTags(upstream.ReferenceOf(route.repository),
                                                       state.upstreams->stopping());
        if (!tags) {
          const Code code = tags.error().code();
          if (code == Code::kUnavailable || code == Code::kTimeout)
            return OwnRequest(state, route, request)->Finish();
          return UpstreamError(tags.error(), ErrorCode::kNameUnknown);
        }
        std::sort(tags->begin(), tags->end());
        JsonArray listed;
        for (const std::string& tag : *tags)
          if (IsTagName(tag) && tag > request.Parameter("last").value_or("")) listed.emplace_back(tag);
        Response response;
        response.With("Content-Type", "application/json");
        response.text = RenderJson(JsonObject{{"name", route.repository}, {"tags", std::move(listed)}});
        return response;
      });
}

std::unique_ptr<Exchange> UpstreamReferrers(RegistryState& state, const Upstream& upstream,
                                            const Route& route, const Request& request) {
  const auto subject = oci::Digest::Parse(route.reference);
  if (upstream.offline || !subject) return OwnRequest(state, route, request);
  return std::make_unique<Answer>(
      Answer::Work::kWaitsForOthers,
      [&state, &upstream, route, request, subject = *subject]() -> Result<Response> {
        const auto listed = state.upstreams->client().ListReferrers(upstream.ReferenceOf(route.repository),
                                                                    subject, state.upstreams->stopping());
        if (!listed) return OwnRequest(state, route, request)->Finish();
        const auto type = request.Parameter("artifactType");
        JsonArray manifests;
        for (const oci::Descriptor& referrer : *listed)
          if (!type || referrer.artifact_type == *type) manifests.push_back(RenderDescriptor(referrer));
        Response response;
        response.With("Content-Type", std::string(oci::kIndexType));
        if (type) response.With("OCI-Filters-Applied", "artifactType");
        response.text = RenderJson(JsonObject{{"schemaVersion", 2},
                                              {"mediaType", std::string(oci::kIndexType)},
                                              {"manifests", std::move(manifests)}});
        return response;
      });
}

}  // namespace

std::unique_ptr<Exchange> UpstreamRequest(RegistryState& state, const Upstream& upstream, const Route& route,
                                          const Request& request) {
  const bool reads = request.method == "GET" || request.method == "HEAD";
  const bool content = route.endpoint == Endpoint::kBlob || route.endpoint == Endpoint::kManifest;
  // Deleting makes room; it is fetched again when it is asked for.
  if (content && request.method == "DELETE") return OwnRequest(state, route, request);
  if (!reads) {
    return Ready(ErrorAnswer(ErrorCode::kDenied, "this repository is a copy of " + upstream.registry +
                                                     "'s, which nobody pushes to; push there"));
  }
  switch (route.endpoint) {
    case Endpoint::kBlob:
      return UpstreamBlob(state, upstream, route, request);
    case Endpoint::kManifest:
      return UpstreamManifest(state, upstream, route, request);
    case Endpoint::kTags:
      return UpstreamTags(state, upstream, route, request);
    case Endpoint::kReferrers:
      return UpstreamReferrers(state, upstream, route, request);
    default:
      return OwnRequest(state, route, request);
  }
}

}  // namespace ingot::registry
