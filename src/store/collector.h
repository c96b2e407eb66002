// Garbage collection, online: removes what nothing names, while others import (the protocol is in lease.h).
//
// Roots: tags (channels are tags), pins, what live leases claim, what a rule of retention keeps, and cache
// entries used within `keep_cache` (older ones stay too when all they refer to stays anyway). From the roots:
// images → layers → objects, read from the sealed layers; manifests → blobs. When a layer or manifest that is
// kept cannot be read, nothing is removed: unknown is not garbage.
#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/retention.h"
#include "store/store.h"

namespace ingot::store {

struct CollectOptions {
  bool dry_run = false;
  Milliseconds keep_cache = std::chrono::hours(24 * 7);
  // How many files are unlinked in one transaction, and four times as many as rows that are removed: how long
  // importers may wait (some milliseconds).
  size_t batch = 256;
  // How many times as long as it works it rests, between pieces of some milliseconds (base/pace.h).
  int rests = 3;
  // The host's rules; those of projects are in the catalog.
  std::vector<RetentionRule> rules = {};
  // Of a dry run: what repositories would no longer have.
  std::set<oci::Digest> without = {};
};

// An image that goes, or would go.
struct RemovedImage {
  oci::Digest digest;
  std::vector<std::string> repositories;  // that had it
  uint64_t bytes = 0;  // of a dry run: what goes with it, and not with one before it in the list
  std::string reason;  // the rule that says so
};

struct Collected {
  struct Count {
    uint64_t files = 0;
    uint64_t bytes = 0;  // disk blocks, as du counts them
  };
  Count objects;
  Count layers;
  Count blobs;
  uint64_t images = 0;         // rows
  uint64_t cache_entries = 0;  // rows
  uint64_t leases = 0;         // of dead processes
  Count temporary;             // left behind by dead processes
  Count kept;                  // files that stay
  std::vector<RemovedImage> removed;
  uint64_t freed_bytes() const { return objects.bytes + layers.bytes + blobs.bytes + temporary.bytes; }
};

// Only one collector at a time per store: kConflict when another one runs. On an error part of the garbage
// may have been removed, never anything else. Dry: the same counts, nothing removed.
Result<Collected> Collect(Store& store, const CollectOptions& options, const Clock& clock);

}  // namespace ingot::store
