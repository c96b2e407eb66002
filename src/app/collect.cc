#include "app/collect.h"

#include <cstdio>

#include "app/terminal.h"
#include "base/units.h"

namespace ingot::app {

namespace {

Json CountJson(const store::Collected::Count& count) {
  return JsonObject{{"files", count.files}, {"bytes", count.bytes}};
}

JsonArray Strings(const std::vector<std::string>& strings) {
  JsonArray array;
  for (const std::string& text : strings) array.emplace_back(text);
  return array;
}

Json CollectionJson(const Collection& collection, bool dry_run) {
  const store::Collected& collected = collection.store;
  JsonArray removed;
  for (const store::RemovedImage& image : collected.removed)
    removed.push_back(JsonObject{{"kind", "image"},
                                 {"digest", image.digest.Render()},
                                 {"repositories", Strings(image.repositories)},
                                 {"tags", JsonArray{}},
                                 {"bytes", dry_run ? Json(image.bytes) : Json(nullptr)},
                                 {"rule", image.reason}});
  for (const registry::RemovedManifest& manifest : collection.repositories.removed)
    removed.push_back(JsonObject{{"kind", "manifest"},
                                 {"digest", manifest.digest.Render()},
                                 {"repositories", JsonArray{manifest.repository}},
                                 {"tags", Strings(manifest.tags)},
                                 {"bytes", manifest.bytes},
                                 {"rule", manifest.reason}});
  return JsonObject{{"dry_run", dry_run},
                    {"freed_bytes", collected.freed_bytes()},
                    {"removed", std::move(removed)},
                    {"objects", CountJson(collected.objects)},
                    {"layers", CountJson(collected.layers)},
                    {"blobs", CountJson(collected.blobs)},
                    {"temporary", CountJson(collected.temporary)},
                    {"kept", CountJson(collected.kept)},
                    {"images", collected.images},
                    {"manifests", collection.repositories.removed.size()},
                    {"cache_entries", collected.cache_entries},
                    {"leases", collected.leases}};
}

// Which images and manifests, how many bytes with each, and by which rule.
void ShowRemoved(const Collection& collection, bool dry_run) {
  std::vector<std::vector<std::string>> table = {
      {dry_run ? "WOULD REMOVE" : "REMOVED", "DIGEST", "SIZE", "RULE"}};
  for (const store::RemovedImage& image : collection.store.removed) {
    std::string names;
    for (const std::string& name : image.repositories) names += (names.empty() ? "" : ", ") + name;
    table.push_back({names.empty() ? "-" : names, std::string(image.digest.Short()),
                     dry_run ? RenderSize(image.bytes) : "", image.reason});
  }
  for (const registry::RemovedManifest& manifest : collection.repositories.removed) {
    std::string names;
    for (const std::string& tag : manifest.tags)
      names += (names.empty() ? "" : ", ") + manifest.repository + ":" + tag;
    table.push_back({names.empty() ? manifest.repository : names, std::string(manifest.digest.Short()),
                     RenderSize(manifest.bytes), manifest.reason});
  }
  if (table.size() > 1) std::printf("%s\n", RenderTable(table).c_str());
}

}  // namespace

Result<Milliseconds> KeepCacheOf(const std::string& text) {
  if (text.empty()) return store::CollectOptions().keep_cache;
  auto keep = ParseDuration(text);
  if (!keep) return std::move(keep).error().While("--keep-cache");
  return keep;
}

Result<Collection> CollectAll(OpenedStore& opened, bool dry_run, Milliseconds keep_cache) {
  Collection collection;
  registry::RepositoryRetention retention;
  retention.rules = opened.retention;
  retention.dry_run = dry_run;
  collection.repositories = TRY(registry::ApplyRetention(*opened.store, retention, *opened.clock));
  store::CollectOptions options;
  options.dry_run = dry_run;
  options.keep_cache = keep_cache;
  options.rules = opened.retention;
  // Somebody waits for the answer, and a lease that ends meanwhile would spoil it.
  if (dry_run) options.rests = 0;
  options.without = collection.repositories.gone;
  collection.store = TRY(store::Collect(*opened.store, options, *opened.clock));
  return collection;
}

int ShowCollection(const Invocation& invocation, const Collection& collection, bool dry_run) {
  if (invocation.json) {
    PrintJson(CollectionJson(collection, dry_run));
    return kDone;
  }
  ShowRemoved(collection, dry_run);
  const store::Collected& collected = collection.store;
  const auto row = [](const char* name, const store::Collected::Count& count) {
    return std::vector<std::string>{name, std::to_string(count.files), RenderSize(count.bytes)};
  };
  std::fputs(RenderTable({{dry_run ? "WOULD REMOVE" : "REMOVED", "FILES", "SIZE"},
                          row("objects", collected.objects),
                          row("layers", collected.layers),
                          row("blobs", collected.blobs),
                          row("temporary", collected.temporary),
                          row("kept", collected.kept)})
                 .c_str(),
             stdout);
  std::printf("%s %s; %llu images, %zu pushed manifests, %llu cache entries\n",
              dry_run ? "would free" : "freed", RenderSize(collected.freed_bytes()).c_str(),
              static_cast<unsigned long long>(collected.images), collection.repositories.removed.size(),
              static_cast<unsigned long long>(collected.cache_entries));
  return kDone;
}

}  // namespace ingot::app
