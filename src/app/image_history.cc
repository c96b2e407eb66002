#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <memory>
#include <set>

#include "app/channels.h"
#include "app/invocation.h"
#include "app/open_store.h"
#include "app/terminal.h"
#include "app/verbs.h"

namespace ingot::app {

namespace {

// A repository by its name, or by the part after its project's.
Result<std::string> RepositoryOf(const store::CatalogRows& rows, const std::string& name) {
  std::set<std::string> known;
  for (const store::NamedImage& image : TRY(rows.ListNamedImages())) known.insert(image.repository);
  for (const store::Promotion& promotion : TRY(rows.ListPromotions(""))) known.insert(promotion.repository);
  if (known.contains(name)) return name;
  std::vector<std::string> found;
  for (const std::string& repository : known)
    if (repository.ends_with("/" + name)) found.push_back(repository);
  if (found.size() == 1) return found.front();
  if (found.empty())
    return Error(Code::kNotFound,
                 "nothing was built or promoted as \"" + name + "\"; `ingot images ls` lists the images");
  return Error(Code::kInvalid, "\"" + name + "\" is the image of " + std::to_string(found.size()) +
                                   " projects; write PROJECT/" + name);
}

struct ImageHistory {
  std::string repository;
  std::vector<store::Promotion> promotions;
  std::vector<store::NamedImage> versions;  // newest first
  std::map<oci::Digest, bool> golden;
  std::map<oci::Digest, std::vector<std::string>> tags;
  std::map<oci::Digest, std::vector<store::Proof>> proofs;
};

Result<ImageHistory> ReadHistory(store::Store& store, const std::string& name) {
  ImageHistory history;
  TRY(store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    history.repository = TRY(RepositoryOf(rows, name));
    history.promotions = TRY(rows.ListPromotions(history.repository));
    for (store::NamedImage& image : TRY(rows.ListNamedImages())) {
      if (image.repository != history.repository) continue;
      if (const auto row = TRY(rows.FindImage(image.digest))) history.golden[image.digest] = row->golden;
      history.proofs[image.digest] = TRY(rows.ListProofs(image.digest));
      history.versions.push_back(std::move(image));
    }
    for (const store::Tag& tag : TRY(rows.ListTags(history.repository)))
      history.tags[tag.digest].push_back(tag.tag);
    return {};
  }));
  std::stable_sort(history.versions.begin(), history.versions.end(),
                   [](const auto& a, const auto& b) { return a.named > b.named; });
  return history;
}

int PrintHistoryJson(const ImageHistory& history) {
  JsonArray versions;
  for (const store::NamedImage& image : history.versions) {
    JsonArray tags;
    JsonArray proven;
    if (const auto found = history.tags.find(image.digest); found != history.tags.end())
      for (const std::string& tag : found->second) tags.emplace_back(tag);
    for (const store::Proof& proof : history.proofs.at(image.digest))
      proven.push_back(JsonObject{{"environment", proof.environment}, {"time", RenderTime(proof.proven)}});
    const auto golden = history.golden.find(image.digest);
    versions.push_back(JsonObject{{"digest", image.digest.Render()},
                                  {"named", RenderTime(image.named)},
                                  {"golden", golden != history.golden.end() && golden->second},
                                  {"tags", std::move(tags)},
                                  {"proven", std::move(proven)}});
  }
  JsonArray promotions;
  for (const store::Promotion& promotion : history.promotions) promotions.push_back(ToJson(promotion));
  PrintJson(JsonObject{{"image", history.repository},
                       {"promotions", std::move(promotions)},
                       {"versions", std::move(versions)}});
  return kDone;
}

int ShowImageHistory(Invocation& invocation, const std::string& name) {
  auto opened = OpenExistingStore(invocation.layout());
  if (!opened) return Report(invocation, opened.error());
  auto history = ReadHistory(*opened->store, name);
  if (!history) return Report(invocation, history.error());
  if (invocation.json) return PrintHistoryJson(*history);
  const WallTime now = opened->clock->Now();
  std::vector<std::vector<std::string>> promotions = {
      {"PROMOTION", "CHANNEL", "DIGEST", "BEFORE", "FROM", "BY", "AGE", "REASON"}};
  for (const store::Promotion& promotion : history->promotions)
    promotions.push_back({std::to_string(promotion.id), promotion.channel,
                          std::string(promotion.digest.Short()),
                          promotion.previous ? std::string(promotion.previous->Short()) : "-",
                          promotion.source.empty() ? "-" : promotion.source, promotion.actor,
                          RenderAge(promotion.time, now), promotion.reason});
  std::fputs(RenderTable(promotions).c_str(), stdout);
  std::vector<std::vector<std::string>> versions = {{"VERSION", "AGE", "GOLDEN", "TAGS", "PROVEN IN"}};
  for (const store::NamedImage& image : history->versions) {
    std::string tags;
    std::string proven;
    for (const std::string& tag : history->tags[image.digest]) tags += (tags.empty() ? "" : ", ") + tag;
    for (const store::Proof& proof : history->proofs[image.digest])
      proven += (proven.empty() ? "" : ", ") + proof.environment.substr(proof.environment.find('/') + 1);
    versions.push_back({std::string(image.digest.Short()), RenderAge(image.named, now),
                        history->golden[image.digest] ? "yes" : "no", tags.empty() ? "-" : tags,
                        proven.empty() ? "-" : proven});
  }
  std::printf("\n%s", RenderTable(versions).c_str());
  return kDone;
}

}  // namespace

void AddImageHistory(CLI::App& images, Invocation& invocation) {
  auto name = std::make_shared<std::string>();
  CLI::App* verb = AddVerb(images, invocation, "history", "promotions and versions of an image, and by whom",
                           [&invocation, name] { return ShowImageHistory(invocation, *name); });
  verb->add_option("image", *name, "web, or PROJECT/web")->required();
}

}  // namespace ingot::app
