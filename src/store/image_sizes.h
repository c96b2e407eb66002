// What images take on the disk, and what removing each would free.
#pragma once

#include <cstdint>
#include <map>

#include "base/result.h"
#include "oci/digest.h"
#include "store/store.h"

namespace ingot::store {

struct ImageSize {
  uint64_t content_bytes = 0;  // of its layers' files, each layer once
  // Blocks of files that only this image needs: objects, sealed layers and blobs that no other image, no
  // layer of the build cache and no repository of the registry has.
  uint64_t unique_bytes = 0;
};

// Of all images of the store. Reads every sealed layer once: an Error when one cannot be read, as what it
// shares is unknown then.
Result<std::map<oci::Digest, ImageSize>> MeasureImages(Store& store);

}  // namespace ingot::store
