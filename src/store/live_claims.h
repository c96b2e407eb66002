// What live sessions have claimed (lease.h), for those who only look; the collector has a reader of its own,
// which goes on where it was.
#pragma once

#include "base/clock.h"
#include "store/catalog.h"
#include "store/reachable.h"

namespace ingot::store {

// Names that no lease of a dead process claims. Importers wait meanwhile (microseconds).
Result<Claimed> ReadLiveClaims(const Store& store, const CatalogRows& rows, const Clock& clock);

}  // namespace ingot::store
