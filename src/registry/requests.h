// One function per endpoint family. Names in the route have been checked, except references. Internal to
// registry/.
#pragma once

#include <memory>

#include "registry/message.h"
#include "registry/registry_state.h"
#include "registry/route.h"

namespace ingot::registry {

// registry.cc: any of the following, by the route
std::unique_ptr<Exchange> OwnRequest(RegistryState& state, const Route& route, const Request& request);
// upstream_requests.cc: of a repository that is a cache
std::unique_ptr<Exchange> UpstreamRequest(RegistryState& state, const Upstream& upstream, const Route& route,
                                          const Request& request);

// blob_requests.cc: GET, HEAD, DELETE of a blob
std::unique_ptr<Exchange> BlobRequest(RegistryState& state, const Route& route, const Request& request);
// upload_requests.cc: POST for a new upload, a whole blob or a mount
std::unique_ptr<Exchange> UploadsRequest(RegistryState& state, const Route& route, const Request& request);
// upload_requests.cc: GET, PATCH, PUT, DELETE of one upload
std::unique_ptr<Exchange> UploadRequest(RegistryState& state, const Route& route, const Request& request);
// manifest_requests.cc: GET, HEAD, DELETE
std::unique_ptr<Exchange> ManifestRequest(RegistryState& state, const Route& route, const Request& request);
// manifest_put.cc
std::unique_ptr<Exchange> ManifestPutRequest(RegistryState& state, const Route& route,
                                             const Request& request);
// discovery_requests.cc
std::unique_ptr<Exchange> TagsRequest(RegistryState& state, const Route& route, const Request& request);
std::unique_ptr<Exchange> ReferrersRequest(RegistryState& state, const Route& route, const Request& request);

}  // namespace ingot::registry
