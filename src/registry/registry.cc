#include "registry/registry.h"

#include "registry/access.h"
#include "registry/names.h"
#include "registry/registry_state.h"
#include "registry/requests.h"

namespace ingot::registry {
namespace {

constexpr size_t kManifestCacheBytes = size_t{8} << 20;
constexpr size_t kManifestMemoryBytes = size_t{32} << 20;

std::unique_ptr<Exchange> BaseRequest(const Request& request) {
  if (request.method != "GET" && request.method != "HEAD")
    return Ready(ErrorAnswer(ErrorCode::kUnsupported, "only GET of /v2/"));
  Response response;
  response.With("Content-Type", "application/json").text = "{}";
  return Ready(std::move(response));
}

std::unique_ptr<Exchange> Dispatch(RegistryState& state, const Request& request) {
  const Route route = Route::Of(request.path);
  if (route.endpoint == Endpoint::kUnknown)
    return Ready(ErrorAnswer(404, ErrorCode::kUnsupported, "there is no such endpoint"));
  if (route.endpoint == Endpoint::kBase) return BaseRequest(request);
  if (!IsRepositoryName(route.repository))
    return Ready(ErrorAnswer(ErrorCode::kNameInvalid, "the repository's name breaks the grammar of names"));
  if (state.upstreams) {
    if (const Upstream* upstream = state.upstreams->Find(route.repository))
      return UpstreamRequest(state, *upstream, route, request);
  }
  return OwnRequest(state, route, request);
}

}  // namespace

std::unique_ptr<Exchange> OwnRequest(RegistryState& state, const Route& route, const Request& request) {
  switch (route.endpoint) {
    case Endpoint::kBlob:
      return BlobRequest(state, route, request);
    case Endpoint::kUploads:
      return UploadsRequest(state, route, request);
    case Endpoint::kUpload:
      return UploadRequest(state, route, request);
    case Endpoint::kManifest:
      return request.method == "PUT" ? ManifestPutRequest(state, route, request)
                                     : ManifestRequest(state, route, request);
    case Endpoint::kTags:
      return TagsRequest(state, route, request);
    default:
      return ReferrersRequest(state, route, request);
  }
}

Registry::Registry(std::unique_ptr<RegistryState> state) : state_(std::move(state)) {}
Registry::~Registry() {
  static_cast<void>(state_->pulls.Flush(state_->store.catalog()).has_value());
}

Result<std::unique_ptr<Registry>> Registry::Open(store::Store& store, const Clock& clock,
                                                 const Options& options) {
  auto uploads = TRY(Uploads::Open(options.uploads, options.upload_limits, clock, store.budget()));
  std::unique_ptr<RegistryState> state(
      new RegistryState{store, clock, options, std::move(uploads), LocalImages(store),
                        ManifestCache(kManifestCacheBytes), MemoryBudget(kManifestMemoryBytes)});
  if (!options.upstreams.empty() && options.upstream_client != nullptr)
    state->upstreams =
        std::make_unique<Upstreams>(store, clock, *options.upstream_client, options.upstreams, options.log);
  return std::unique_ptr<Registry>(new Registry(std::move(state)));
}

std::unique_ptr<Exchange> Registry::Begin(const Request& request) {
  RegistryState& state = *state_;
  if (state.options.access == nullptr) return Dispatch(state, request);
  return state.options.access->Guard(request,
                                     [&state](const Request& next) { return Dispatch(state, next); });
}

Result<void> Registry::Refresh() {
  return state_->options.access == nullptr ? Result<void>() : state_->options.access->Refresh();
}

void Registry::Interrupt() {
  if (state_->upstreams) state_->upstreams->Stop();
}

void Registry::Housekeep() {
  static_cast<void>(state_->uploads->Expire());
  // What cannot be written now is written at the next turn.
  static_cast<void>(state_->pulls.Flush(state_->store.catalog()).has_value());
}

}  // namespace ingot::registry
