// The tar of a layer that was sealed here, kept as a blob.
#pragma once

#include "store/store.h"

namespace ingot::store {

// Makes the tar of the layer and keeps it under its diff_id, at most `tar_bytes` long. Errors of
// Store::ReadLayer and Store::PutBlobStream.
Result<void> PutMadeBlob(Store& store, const LayerId& layer, const oci::Digest& diff_id, uint64_t tar_bytes,
                         Lease& lease);

}  // namespace ingot::store
