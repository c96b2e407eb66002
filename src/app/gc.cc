#include <CLI/CLI.hpp>
#include <memory>

#include "app/collect.h"
#include "app/host_config.h"
#include "app/invocation.h"
#include "app/verbs.h"

namespace ingot::app {

namespace {

struct GcOptions {
  bool dry_run = false;
  std::string keep_cache;
};

int Collect(Invocation& invocation, const GcOptions& options) {
  auto keep_cache = KeepCacheOf(options.keep_cache);
  if (!keep_cache) return Report(invocation, keep_cache.error());
  auto opened = OpenExistingStore(invocation.layout());
  if (!opened) return Report(invocation, opened.error());
  auto collection = CollectAll(*opened, options.dry_run, *keep_cache);
  if (!collection) return Report(invocation, collection.error());
  return ShowCollection(invocation, *collection, options.dry_run);
}

void AddCollection(CLI::App& app, Invocation& invocation, const char* name, const char* description) {
  auto options = std::make_shared<GcOptions>();
  CLI::App* verb = AddVerb(app, invocation, name, description,
                           [&invocation, options] { return Collect(invocation, *options); });
  verb->add_flag("--dry-run", options->dry_run, "only say what would go, how much it is, and by which rule");
  verb->add_option("--keep-cache", options->keep_cache,
                   "keep build steps used within this time (default 7d)");
  AddHostOption(*verb, invocation);
  verb->footer(
      "What runs, is warm, can be rolled back to, is tagged, a channel or being built, what an index names\n"
      "and what signs or describes something kept is never removed; `ingot images why` names what holds a\n"
      "thing.");
}

}  // namespace

void AddGc(CLI::App& app, Invocation& invocation) {
  AddCollection(app, invocation, "gc", "remove what no image, revision, build or rule of retention needs");
}

void AddImagePrune(CLI::App& images, Invocation& invocation) {
  AddCollection(images, invocation, "prune", "remove images that nothing names or keeps, as `ingot gc` does");
}

}  // namespace ingot::app
