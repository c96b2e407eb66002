// Retention in the registry's repositories: which pushed manifests go by the host's rules, and their going.
//
// Held, whatever a rule says: what a kept index names, what refers to something that is kept (a signature, a
// bill of materials), what is a channel, pinned (runs, is warm, may be rolled back to), or claimed by a live
// lease. With a manifest go its tags and those of its blobs that no other manifest of its repository names;
// blobs that no manifest has named within a day of their push go too. Repositories without a rule keep all.
// Only rows go: the files are the collector's (store/collector.h).
#pragma once

#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/retention.h"
#include "store/store.h"

namespace ingot::registry {

struct RepositoryRetention {
  std::vector<store::RetentionRule> rules;
  bool dry_run = false;
  // A push in work relies on blobs that nothing names yet.
  Milliseconds push_grace = std::chrono::hours(24);
  size_t batch = 64;  // manifests in one transaction: how long others may wait (some milliseconds)
};

struct RemovedManifest {
  std::string repository;
  oci::Digest digest;
  std::vector<std::string> tags;
  uint64_t bytes = 0;  // of the manifest and the blobs that go with it
  std::string reason;
};

struct RetentionOutcome {
  std::vector<RemovedManifest> removed;
  uint64_t blobs = 0;  // rows of blobs
  // Digests that no repository has any more; for a dry run of the collector.
  std::set<oci::Digest> gone;
};

// Decides outside of any lock, removes in short transactions, each only when nothing has changed since it was
// decided (else it is decided anew). An Error: part may have been removed, never anything that is held.
Result<RetentionOutcome> ApplyRetention(store::Store& store, const RepositoryRetention& retention,
                                        const Clock& clock);

}  // namespace ingot::registry
