// LocalImages: the images that were built on this host, as repositories. PROJECT/IMAGE is one, and holds the
// images that its tags name, their configurations and layers. A layer that was made here has no blob: its tar
// is made when somebody asks for it (docs/formats/layer-tar.md).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/digest.h"
#include "registry/byte_range.h"
#include "registry/message.h"
#include "store/store.h"

namespace ingot::registry {

class LocalImages {
 public:
  explicit LocalImages(store::Store& store) : store_(store) {}

  // A blob of an image that a tag of the repository names.
  struct Blob {
    oci::Digest digest;
    uint64_t size_bytes = 0;
    oci::Digest image;
    std::optional<store::LayerId> made_from;  // set: there is no file, the tar is made
  };
  Result<std::optional<Blob>> FindBlob(std::string_view repository, const oci::Digest& digest);

  // `part` of a blob that is made. Reads the sealed layer and the objects while it is written; the image is
  // kept from collection for so long.
  MadeBody MakePart(const Blob& blob, const ByteRange& part);
  // The blob becomes a file of blobs/, under the lease.
  Result<void> Materialize(const Blob& blob, store::Lease& lease);

 private:
  store::Store& store_;
};

}  // namespace ingot::registry
