// What dead processes have left half made: removed at the start of the daemon and the registry, so that it
// does not wait for a collection.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "store/store.h"

namespace ingot::store {

// Removes temporary files of layers and blobs, staged objects, claims and leases whose process has ended;
// returns how many. Beside everything else; what a living process has is left alone. Lists the folders of
// layers and blobs, looks at no object.
Result<uint64_t> SweepDead(Store& store, const Clock& clock);

}  // namespace ingot::store
