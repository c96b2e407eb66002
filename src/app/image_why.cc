#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/collect.h"
#include "app/invocation.h"
#include "app/open_store.h"
#include "app/verbs.h"
#include "registry/why_held.h"
#include "store/object_id.h"

namespace ingot::app {

namespace {

Json HoldersJson(const std::vector<registry::Holder>& holders) {
  JsonArray array;
  for (const registry::Holder& holder : holders)
    array.push_back(JsonObject{{"kind", holder.kind},
                               {"name", holder.name},
                               {"detail", holder.detail},
                               {"held_by", HoldersJson(holder.by)}});
  return array;
}

void PrintHolders(const std::vector<registry::Holder>& holders, int depth) {
  for (const registry::Holder& holder : holders) {
    std::printf("%*s%s %s%s%s\n", depth * 2, "", holder.kind.c_str(), holder.name.c_str(),
                holder.detail.empty() ? "" : ": ", holder.detail.c_str());
    PrintHolders(holder.by, depth + 1);
  }
}

int Why(Invocation& invocation, const std::string& name, const std::string& keep_cache) {
  registry::WhyOptions options;
  auto keep = KeepCacheOf(keep_cache);
  if (!keep) return Report(invocation, keep.error());
  options.keep_cache = *keep;
  auto opened = OpenExistingStore(invocation.layout());
  if (!opened) return Report(invocation, opened.error());
  options.rules = opened->retention;
  std::string digest = name;
  if (!oci::Digest::Parse(name) && !store::ObjectId::Parse(name)) {
    auto found = FindAnyImage(*opened->store, name);
    if (!found) return Report(invocation, found.error());
    digest = found->digest.Render();
  }
  auto held = registry::WhyHeld(*opened->store, digest, options, *opened->clock);
  if (!held) return Report(invocation, held.error());
  if (invocation.json) {
    JsonArray what;
    for (const std::string& kind : held->what) what.emplace_back(kind);
    PrintJson(JsonObject{{"digest", digest},
                         {"is", std::move(what)},
                         {"held", !held->by.empty()},
                         {"held_by", HoldersJson(held->by)}});
    return kDone;
  }
  std::string kinds;
  for (const std::string& kind : held->what) kinds += (kinds.empty() ? "" : ", ") + kind;
  std::printf("%s (%s)%s\n", digest.c_str(), kinds.c_str(),
              held->by.empty() ? ": nothing holds it, the next `ingot gc` removes it" : " is held by");
  PrintHolders(held->by, 1);
  return kDone;
}

}  // namespace

void AddImageWhy(CLI::App& images, Invocation& invocation) {
  auto name = std::make_shared<std::string>();
  auto keep_cache = std::make_shared<std::string>();
  CLI::App* verb =
      AddVerb(images, invocation, "why", "every root that holds an image, manifest, blob, layer or object",
              [&invocation, name, keep_cache] { return Why(invocation, *name, *keep_cache); });
  verb->add_option("what", *name, "name, digest, or 64 digits of a layer or object")->required();
  verb->add_option("--keep-cache", *keep_cache, "as of `ingot gc` (default 7d)");
}

}  // namespace ingot::app
