// Garbage collection as verbs and the daemon run it: first what rules of retention remove from the registry's
// repositories, then rows and files that nothing needs.
#pragma once

#include <string>
#include <vector>

#include "app/invocation.h"
#include "app/open_store.h"
#include "registry/repository_retention.h"
#include "store/collector.h"

namespace ingot::app {

struct Collection {
  registry::RetentionOutcome repositories;
  store::Collected store;
};

// A dry run counts exactly what a run would free now. Codes of ApplyRetention and store::Collect.
Result<Collection> CollectAll(OpenedStore& opened, bool dry_run, Milliseconds keep_cache);

// `--keep-cache` as it was written; empty: the default. kInvalid.
Result<Milliseconds> KeepCacheOf(const std::string& text);

// Shows what went, or would go; the exit code.
int ShowCollection(const Invocation& invocation, const Collection& collection, bool dry_run);

}  // namespace ingot::app
