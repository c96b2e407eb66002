// Taking an image from a registry into the store: manifest, configuration and layers verbatim, the layers
// sealed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "oci/image_config.h"
#include "oci/manifest.h"
#include "oci/reference.h"
#include "registry/client.h"
#include "registry/image_source.h"
#include "store/lease.h"
#include "store/store.h"

namespace ingot::registry {

struct PullProgress {
  uint64_t done_bytes = 0;   // of the layers, as they are transferred
  uint64_t total_bytes = 0;  // of those that the store lacks
  size_t layers_done = 0;    // transferred, checked and unpacked
  size_t layers_total = 0;
  size_t layers_known = 0;  // the store has them; not in layers_total
};

struct PullOptions {
  int jobs = 3;  // layers at a time
  // What is free on the store's filesystem; unset: it is asked.
  std::optional<uint64_t> free_bytes;
  // Called from several threads, never from two at once.
  std::function<void(const PullProgress&)> progress;
};

struct PulledImage {
  oci::Digest digest;    // what the reference names: of an index or a manifest
  oci::Digest manifest;  // of the image for this machine
  bool known = false;    // the store had it; nothing was transferred
  uint64_t transferred_bytes = 0;
  size_t layers = 0;
};

// The layers of an image, by number, that PullImage would have to be given: neither sealed here nor kept as
// blobs. What is here is kept for the lease's life. kInvalid: manifest and configuration do not belong
// together.
Result<std::vector<size_t>> LackingLayers(store::Store& store, store::Lease& lease,
                                          const oci::Manifest& manifest, const oci::ImageConfig& config);

// The image for this machine that the store has of `digest` (an index or a manifest that was pulled); nothing
// is asked of a registry. With a lease it is kept for the lease's life.
Result<std::optional<oci::Digest>> FindPulled(store::Store& store, const oci::Digest& digest,
                                              store::Lease* lease);

// Pulls `reference` (Normalized); one with a digest by that digest. Layers come in parallel, each is digested
// while it arrives and looked into only when its digest is right; nothing becomes visible in the store before
// all of them are found to be good. What the store has is not transferred.
//
// kNotFound: no such image, or none for this machine. kUnsupported: an artifact that is no image, a layer
// that cannot be unpacked, an image for another machine. kInvalid: a digest or size that is not what was
// said, a malformed document or archive. kRefused: an archive that unpacks to more than any honest one. Else
// as Client.
//
// kNoSpace: the layers alone are more than what is free; nothing was transferred.
Result<PulledImage> PullImage(Client& client, store::Store& store, const oci::Reference& reference,
                              store::Lease& lease, const PullOptions& options = {});
// The same from any source: a layout, an archive, what was pushed to the store's own registry. `wanted`: the
// digest of what it names, if that is known.
Result<PulledImage> PullImage(ImageSource& source, const std::optional<oci::Digest>& wanted,
                              store::Store& store, store::Lease& lease, const PullOptions& options = {});

}  // namespace ingot::registry
