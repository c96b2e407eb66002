#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/build_images.h"
#include "app/terminal.h"
#include "app/verbs.h"

namespace ingot::app {

namespace {

// What changed between two locks of one image: "+ name version", "- name version", "~ name old → new".
std::vector<std::string> Changes(const build::LockedBase& before, const build::LockedBase& after) {
  std::map<std::string, std::string> old_versions;
  for (const build::DebianPackage& package : before.packages) old_versions[package.name] = package.version;
  std::vector<std::string> out;
  for (const build::DebianPackage& package : after.packages) {
    const auto found = old_versions.find(package.name);
    if (found == old_versions.end()) {
      out.push_back("+ " + package.name + " " + package.version);
      continue;
    }
    if (found->second != package.version)
      out.push_back("~ " + package.name + " " + found->second + " → " + package.version);
    old_versions.erase(found);
  }
  for (const auto& [name, version] : old_versions) out.push_back("- " + name + " " + version);
  return out;
}

// Of images from elsewhere: what was pinned before, and what is now.
JsonObject ReferenceChanges(const build::LockFile& before, const build::LockFile& after, bool show) {
  JsonObject out;
  for (const auto& [reference, digest] : after.references) {
    const auto old = before.references.find(reference);
    const bool known = old != before.references.end();
    const std::string was = known ? old->second.Render() : "";
    JsonObject entry{{"digest", digest.Render()}};
    entry["before"] = known ? Json(was) : Json(nullptr);
    out[reference.Render()] = std::move(entry);
    if (!show) continue;
    const std::string what = !known                   ? "pinned"
                             : was == digest.Render() ? "unchanged"
                                                      : "was " + was.substr(0, 19);
    std::printf("%s: %s, %s\n", Paint(Colour::kBlue, reference.Render()).c_str(), digest.Render().c_str(),
                what.c_str());
  }
  return out;
}

int Lock(Invocation& invocation, bool upgrade) {
  auto project = LoadProject(invocation);
  if (!project) return Report(invocation, project.error());
  auto before = build::LockFile::Load(project->directory);
  if (!before) return Report(invocation, before.error());
  auto after = LockPackages(invocation, *project, upgrade);
  if (!after) return Report(invocation, after.error());
  JsonObject images;
  for (const auto& [name, base] : after->images) {
    const std::vector<std::string> changes = Changes(before->images[name], base);
    JsonArray list;
    for (const std::string& change : changes) list.emplace_back(change);
    images[name] =
        JsonObject{{"suite", base.suite}, {"packages", base.packages.size()}, {"changes", std::move(list)}};
    if (invocation.json) continue;
    std::printf("%s: %s, %zu packages, %zu changes\n", Paint(Colour::kBlue, name).c_str(), base.suite.c_str(),
                base.packages.size(), changes.size());
    const bool first = !before->images.contains(name) || before->images[name].packages.empty();
    if (!first)
      for (const std::string& change : changes) std::printf("  %s\n", change.c_str());
  }
  JsonObject references = ReferenceChanges(*before, *after, !invocation.json);
  if (invocation.json) {
    PrintJson(JsonObject{{"images", std::move(images)}, {"references", std::move(references)}});
  } else if (after->images.empty() && after->references.empty()) {
    std::puts("no image is assembled from packages or pulled; there is nothing to lock");
  } else {
    std::puts("ingot.lock is up to date; commit it with the definition");
  }
  return kDone;
}

}  // namespace

void AddLock(CLI::App& app, Invocation& invocation) {
  auto upgrade = std::make_shared<bool>(false);
  CLI::App* verb =
      AddVerb(app, invocation, "lock", "pin packages of base images and digests of pulled ones in ingot.lock",
              [&invocation, upgrade] { return Lock(invocation, *upgrade); });
  AddProjectOptions(*verb, invocation);
  verb->add_flag("--upgrade", *upgrade,
                 "take today's versions and digests instead of keeping the pinned ones");
}

}  // namespace ingot::app
