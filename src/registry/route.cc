#include "registry/route.h"

#include <utility>

namespace ingot::registry {
namespace {

constexpr std::string_view kBasePath = "/v2/";

// Cuts the last component off.
std::string_view TakeLast(std::string_view& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return std::exchange(path, {});
  const std::string_view last = path.substr(slash + 1);
  path = path.substr(0, slash);
  return last;
}

}  // namespace

Route Route::Of(std::string_view path) {
  if (path == "/v2" || path == kBasePath) return {Endpoint::kBase, "", ""};
  if (!path.starts_with(kBasePath)) return {};
  path.remove_prefix(kBasePath.size());
  // "NAME/blobs/uploads" with and without a last slash
  const std::string_view uploads = path.substr(0, path.size() - (path.ends_with('/') ? 1 : 0));
  if (uploads.ends_with("/blobs/uploads"))
    return {Endpoint::kUploads, std::string(uploads.substr(0, uploads.size() - 14)), ""};
  if (path.ends_with("/tags/list"))
    return {Endpoint::kTags, std::string(path.substr(0, path.size() - 10)), ""};
  const std::string reference(TakeLast(path));
  const std::string_view kind = TakeLast(path);
  const auto route = [&](Endpoint endpoint) { return Route{endpoint, std::string(path), reference}; };
  if (kind == "manifests") return route(Endpoint::kManifest);
  if (kind == "referrers") return route(Endpoint::kReferrers);
  if (kind == "blobs") return route(Endpoint::kBlob);
  if (kind == "uploads" && TakeLast(path) == "blobs") return route(Endpoint::kUpload);
  return {};
}

}  // namespace ingot::registry
