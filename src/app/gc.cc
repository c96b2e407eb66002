#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/invocation.h"
#include "app/open_store.h"
#include "app/terminal.h"
#include "app/verbs.h"
#include "base/units.h"
#include "store/collector.h"

namespace ingot::app {

namespace {

Json CountJson(const store::Collected::Count& count) {
  return JsonObject{{"files", count.files}, {"bytes", count.bytes}};
}

int Collect(Invocation& invocation, bool dry_run, const std::string& keep_cache) {
  store::CollectOptions options;
  options.dry_run = dry_run;
  if (!keep_cache.empty()) {
    auto keep = ParseDuration(keep_cache);
    if (!keep) return Report(invocation, std::move(keep).error().While("--keep-cache"));
    options.keep_cache = *keep;
  }
  auto opened = OpenExistingStore(invocation.layout());
  if (!opened) return Report(invocation, opened.error());
  auto collected = store::Collect(*opened->store, options, *opened->clock);
  if (!collected) return Report(invocation, collected.error());
  if (invocation.json) {
    PrintJson(JsonObject{{"dry_run", dry_run},
                         {"freed_bytes", collected->freed_bytes()},
                         {"objects", CountJson(collected->objects)},
                         {"layers", CountJson(collected->layers)},
                         {"blobs", CountJson(collected->blobs)},
                         {"temporary", CountJson(collected->temporary)},
                         {"kept", CountJson(collected->kept)},
                         {"images", collected->images},
                         {"cache_entries", collected->cache_entries},
                         {"leases", collected->leases}});
    return kDone;
  }
  const auto row = [](const char* name, const store::Collected::Count& count) {
    return std::vector<std::string>{name, std::to_string(count.files), RenderSize(count.bytes)};
  };
  std::fputs(RenderTable({{dry_run ? "WOULD REMOVE" : "REMOVED", "FILES", "SIZE"},
                          row("objects", collected->objects),
                          row("layers", collected->layers),
                          row("blobs", collected->blobs),
                          row("temporary", collected->temporary),
                          row("kept", collected->kept)})
                 .c_str(),
             stdout);
  std::printf("%s %s; %llu images, %llu cache entries\n", dry_run ? "would free" : "freed",
              RenderSize(collected->freed_bytes()).c_str(),
              static_cast<unsigned long long>(collected->images),
              static_cast<unsigned long long>(collected->cache_entries));
  return kDone;
}

}  // namespace

void AddGc(CLI::App& app, Invocation& invocation) {
  auto dry_run = std::make_shared<bool>(false);
  auto keep_cache = std::make_shared<std::string>();
  CLI::App* verb =
      AddVerb(app, invocation, "gc", "remove what no image, revision or build needs any more",
              [&invocation, dry_run, keep_cache] { return Collect(invocation, *dry_run, *keep_cache); });
  verb->add_flag("--dry-run", *dry_run, "only say what would go");
  verb->add_option("--keep-cache", *keep_cache, "keep build steps used within this time (default 7d)");
  verb->footer("What runs, is warm, can be rolled back to, is tagged or is being built is never removed.");
}

}  // namespace ingot::app
