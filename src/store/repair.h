// Repair from what this store itself still has: a layer's blob brings its objects and its sealed layer back,
// a sealed layer with its objects brings its tar back.
#pragma once

#include "base/result.h"
#include "store/quarantine.h"
#include "store/store.h"

namespace ingot::store {

// True when it is there again, with the digest that its name promises. False: no copy of it is in this store.
// An Error: a copy was found and could not be used.
Result<bool> RepairFromStore(Store& store, const LostThing& lost);

}  // namespace ingot::store
