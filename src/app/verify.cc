#include "store/verify.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include "app/invocation.h"
#include "app/lost_things.h"
#include "app/open_store.h"
#include "app/terminal.h"
#include "app/verbs.h"
#include "app/verify_instance.h"
#include "base/units.h"

namespace ingot::app {

namespace {

// "1 damaged, 2 unknown"
std::string Counts(const store::VerifyReport& report) {
  std::string text;
  const auto add = [&](store::ProblemKind kind, const char* word) {
    const size_t count = report.Count(kind);
    if (count > 0) text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + word;
  };
  add(store::ProblemKind::kDamaged, "damaged");
  add(store::ProblemKind::kMissing, "missing");
  add(store::ProblemKind::kUnreadable, "unknown (could not be read)");
  return text;
}

JsonArray RepairedJson(const std::vector<Repaired>& repaired) {
  JsonArray array;
  for (const Repaired& thing : repaired)
    array.push_back(JsonObject{
        {"thing", store::ThingKindName(thing.thing.thing)}, {"name", thing.thing.name}, {"how", thing.how}});
  return array;
}

// What the names on the command line mean: images, instances, and images of instances.
struct Verified {
  std::vector<oci::Digest> images;  // empty: all
  std::vector<ListedInstance> instances;
};

Result<Verified> FindNamed(const Layout& layout, store::Store& store, const std::vector<std::string>& names) {
  Verified found;
  for (const std::string& name : names) {
    auto digest = FindImage(store, name);
    if (digest) {
      found.images.push_back(*digest);
      continue;
    }
    if (digest.error().code() != Code::kNotFound) return std::move(digest).error();
    auto all = ListInstances(layout);
    if (!all)
      return Error(Code::kNotFound,
                   digest.error().message() + "; and of instances nothing is known: " + all.error().Render());
    for (ListedInstance& instance : TRY(FindInstances(*all, name))) {
      found.images.push_back(instance.image);
      found.instances.push_back(std::move(instance));
    }
  }
  std::sort(found.images.begin(), found.images.end());
  found.images.erase(std::unique(found.images.begin(), found.images.end()), found.images.end());
  return found;
}

int VerifyImages(Invocation& invocation, const std::vector<std::string>& names, bool repair) {
  auto opened = OpenExistingStore(invocation.layout());
  if (!opened) return Report(invocation, opened.error());
  store::VerifyOptions options;
  auto named = FindNamed(invocation.layout(), *opened->store, names);
  if (!named) return Report(invocation, named.error());
  options.images = named->images;
  Progress progress(invocation.json);
  options.progress = [&](uint64_t done, uint64_t total) {
    progress.Live("verifying " + RenderSize(done) + " of " + RenderSize(total));
  };
  const auto begin = std::chrono::steady_clock::now();
  auto report = store::Verify(*opened->store, options);
  progress.Clear();
  if (!report) return Report(invocation, report.error());
  std::vector<Repaired> repaired;
  if (repair) {
    const auto say = [&](const std::string& text) { progress.Line(text); };
    auto done = RepairProblems(invocation, *opened, *report, say);
    if (!done) return Report(invocation, std::move(done).error().While("repairing"));
    repaired = std::move(*done);
    if (!report->problems.empty()) report = store::Verify(*opened->store, options);
    progress.Clear();
    if (!report) return Report(invocation, report.error());
  }
  std::vector<VerifiedInstance> instances;
  bool ok = report->ok();
  for (const ListedInstance& instance : named->instances) {
    instances.push_back(
        VerifyInstance(invocation.layout(), *opened->store, instance, [&](uint64_t done, uint64_t total) {
          progress.Live("verifying " + instance.id.Short() + ": " + RenderSize(done) + " of " +
                        RenderSize(total));
        }));
    ok = ok && instances.back().root.ok();
  }
  progress.Clear();
  auto lost = LookAtLost(invocation.layout(), *opened->store);
  if (!lost) return Report(invocation, lost.error());
  const double ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  const bool verity = opened->store->objects().VerityActive();
  if (invocation.json) {
    JsonArray problems;
    for (const store::Problem& problem : report->problems) {
      JsonArray images;
      for (const oci::Digest& image : problem.images) images.emplace_back(image.Render());
      problems.push_back(JsonObject{{"kind", store::ProblemKindName(problem.kind)},
                                    {"thing", store::ThingKindName(problem.thing)},
                                    {"name", problem.name},
                                    {"path", problem.path.string()},
                                    {"message", problem.message},
                                    {"images", std::move(images)}});
    }
    JsonArray instances_json;
    for (const VerifiedInstance& verified : instances) instances_json.push_back(ToJson(verified));
    PrintJson(JsonObject{{"ok", ok},
                         {"missing", report->Count(store::ProblemKind::kMissing)},
                         {"damaged", report->Count(store::ProblemKind::kDamaged)},
                         {"unknown", report->Count(store::ProblemKind::kUnreadable)},
                         {"images", report->images},
                         {"layers", report->layers},
                         {"blobs", report->blobs},
                         {"objects", report->objects},
                         {"bytes", report->bytes},
                         {"verify_ms", static_cast<int64_t>(ms)},
                         {"kernel_enforced", verity},
                         {"problems", std::move(problems)},
                         {"repaired", RepairedJson(repaired)},
                         {"instances", std::move(instances_json)},
                         {"lost", ToJson(*lost)}});
    return ok ? kDone : kFailed;
  }
  for (const Repaired& thing : repaired)
    std::printf("%s %s %s: %s\n", Paint(Colour::kGreen, "repaired").c_str(),
                std::string(store::ThingKindName(thing.thing.thing)).c_str(), thing.thing.name.c_str(),
                thing.how.c_str());
  if (!lost->things.empty())
    std::printf("%s\n%s", Paint(Colour::kRed, "lost, until another copy is found:").c_str(),
                RenderLost(*lost).c_str());
  for (const store::Problem& problem : report->problems)
    std::printf("%s %s %s: %s (affects %zu images)\n",
                Paint(Colour::kRed, store::ProblemKindName(problem.kind)).c_str(),
                std::string(store::ThingKindName(problem.thing)).c_str(), problem.name.c_str(),
                problem.message.c_str(), problem.images.size());
  for (const VerifiedInstance& verified : instances) std::printf("%s", RenderVerified(verified).c_str());
  std::printf("%llu images, %llu layers, %llu objects, %s read in %s: %s\n",
              static_cast<unsigned long long>(report->images),
              static_cast<unsigned long long>(report->layers),
              static_cast<unsigned long long>(report->objects), RenderSize(report->bytes).c_str(),
              RenderElapsed(ms).c_str(),
              report->ok() ? Paint(Colour::kGreen, "everything is what its name promises").c_str()
                           : Paint(Colour::kRed, Counts(*report)).c_str());
  if (!verity)
    std::printf(
        "%s this filesystem has no fs-verity: a change is found by this command, not refused by the kernel\n",
        Paint(Colour::kYellow, "note:").c_str());
  return ok ? kDone : kFailed;
}

}  // namespace

void AddVerify(CLI::App& app, Invocation& invocation) {
  auto names = std::make_shared<std::vector<std::string>>();
  auto repair = std::make_shared<bool>(false);
  CLI::App* verb =
      AddVerb(app, invocation, "verify", "recompute every digest that images and instances rest on",
              [&invocation, names, repair] { return VerifyImages(invocation, *names, *repair); });
  verb->add_flag(
      "--repair", *repair,
      "set damaged things aside and bring them back: from this store, the registry they came from, or "
      "by building again from the ingot.yaml here");
  verb->add_option("what", *names,
                   "images, instances (web-17, shop/local/web-17) or services (default: all images)");
}

}  // namespace ingot::app
