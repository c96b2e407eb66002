#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>

#include "adapters/sqlite_events.h"
#include "app/channels.h"
#include "app/invocation.h"
#include "app/open_store.h"
#include "app/project.h"
#include "app/terminal.h"
#include "app/verbs.h"
#include "policy/promotion.h"

namespace ingot::app {

namespace {

struct PromoteOptions {
  std::string image;
  std::string to;
  std::string reason;
};

struct Promoted {
  store::Promotion promotion;
  bool moved = true;  // false: the channel held it already
};

// "web", "web:TAG", "web@DIGEST", each also with "PROJECT/" before it.
struct PromotedImage {
  std::string name;  // in the definition
  oci::Digest digest;
};

Result<PromotedImage> FindPromoted(store::Store& store, const definition::Definition& definition,
                                   const std::string& text) {
  std::string name = text.substr(0, text.find_first_of("@"));
  std::optional<oci::Digest> digest;
  if (const size_t at = text.find('@'); at != std::string::npos)
    digest = TRY(oci::Digest::Parse(text.substr(at + 1)));
  std::string tag = "latest";
  if (const size_t colon = name.find(':'); colon != std::string::npos) {
    tag = name.substr(colon + 1);
    name.resize(colon);
  }
  const std::string prefix = definition.project + "/";
  if (name.starts_with(prefix)) name.erase(0, prefix.size());
  if (!definition.images.contains(name))
    return Error(Code::kInvalid, definition.file + " has no image \"" + name +
                                     "\"; name one of its images: web, web:TAG or web@DIGEST");
  if (!digest) digest = TRY(store.GetTag(prefix + name, tag));
  TRY(store.GetImage(*digest));
  return PromotedImage{name, *digest};
}

// Every promotion is an event, too: those that a killed process has not come to are written with the next.
Result<void> RecordEvents(const Layout& layout, const std::string& project,
                          const std::vector<store::Promotion>& promotions) {
  SystemClock clock;
  auto events = TRY(adapters::SqliteEvents::Open(layout.state_db(), clock));
  std::vector<audit::Draft> drafts;
  for (const store::Promotion& promotion : promotions) {
    audit::Draft draft;
    draft.key = "promotion/" + std::to_string(promotion.id);
    draft.environment = project + "/" + promotion.channel;
    draft.kind = "image.promoted";
    draft.actor = promotion.actor;
    draft.detail =
        JsonObject{{"image", promotion.repository},
                   {"digest", promotion.digest.Render()},
                   {"previous", promotion.previous ? Json(promotion.previous->Render()) : Json(nullptr)},
                   {"from", promotion.source},
                   {"reason", promotion.reason}};
    drafts.push_back(std::move(draft));
  }
  return events->Append(std::move(drafts));
}

Result<Promoted> PromoteImage(const Invocation& invocation, const PromoteOptions& options) {
  const Project project = TRY(LoadProject(invocation));
  const definition::Definition& definition = project.definition;
  const auto environment = definition.environments.find(options.to);
  if (environment == definition.environments.end())
    return Error(Code::kInvalid,
                 definition.file + " has no environment \"" + options.to + "\" to promote to");
  auto opened = TRY(OpenExistingStore(invocation.layout()));
  store::Store& store = *opened.store;
  const PromotedImage image = TRY(FindPromoted(store, definition, options.image));
  const std::string repository = definition.project + "/" + image.name;
  policy::PromotionFacts facts;
  facts.name = image.name + "@" + image.digest.Render();
  facts.to = options.to;
  facts.from = environment->second.promote_from;

  Promoted promoted;
  promoted.promotion.repository = repository;
  promoted.promotion.channel = options.to;
  promoted.promotion.digest = image.digest;
  promoted.promotion.source = facts.from;
  promoted.promotion.actor = "uid:" + std::to_string(::getuid());
  promoted.promotion.reason = options.reason;
  auto moved = store.MoveChannel(promoted.promotion, [&](const store::CatalogRows& rows) -> Result<void> {
    const auto row = TRY(rows.FindImage(image.digest));
    facts.golden = row && row->golden;
    for (const store::Proof& proof : TRY(rows.ListProofs(image.digest)))
      facts.rolled_out_from =
          facts.rolled_out_from || proof.environment == definition.project + "/" + facts.from;
    if (TRY(rows.IsChannel(repository, facts.from)))
      if (const auto tag = TRY(rows.FindTag(repository, facts.from)))
        facts.held_by_from = tag->digest == image.digest;
    TRY(policy::Enforce(policy::JudgePromotion(facts)));
    const auto held = TRY(rows.FindTag(repository, options.to));
    if (held && held->digest == image.digest && TRY(rows.IsChannel(repository, options.to)))
      return Error(Code::kExists, "it is there already");
    return {};
  });
  if (!moved && moved.error().code() != Code::kExists) return std::move(moved).error();
  promoted.moved = moved.has_value();
  std::vector<store::Promotion> promotions;
  TRY(store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    promotions = TRY(rows.ListPromotions(repository));
    return {};
  }));
  for (const store::Promotion& row : promotions)
    if (row.channel == options.to && row.digest == image.digest) promoted.promotion = row;
  auto recorded = RecordEvents(invocation.layout(), definition.project, promotions);
  if (!recorded)
    return std::move(recorded).error().While("the promotion stands; its event is written with the next one");
  return promoted;
}

int Promote(Invocation& invocation, const PromoteOptions& options) {
  auto promoted = PromoteImage(invocation, options);
  if (!promoted) return Report(invocation, promoted.error());
  const store::Promotion& promotion = promoted->promotion;
  if (invocation.json) {
    PrintJson(JsonObject{{"promotion", ToJson(promotion)}, {"moved", promoted->moved}});
    return kDone;
  }
  std::printf("%s:%s %s %s\n", promotion.repository.c_str(), promotion.channel.c_str(),
              promoted->moved ? "is now" : "was already", promotion.digest.Render().c_str());
  if (promoted->moved && promotion.previous)
    std::printf("  before: %s\n", promotion.previous->Render().c_str());
  return kDone;
}

}  // namespace

void AddPromote(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<PromoteOptions>();
  CLI::App* verb =
      AddVerb(app, invocation, "promote", "move an environment's channel to an image that was proven",
              [&invocation, options] { return Promote(invocation, *options); });
  verb->add_option("image", options->image, "web, web:TAG or web@DIGEST")->required();
  verb->add_option("--to", options->to, "the environment whose channel moves")->required();
  verb->add_option("--reason", options->reason, "why, for the record");
  verb->add_option("-f,--file", invocation.file, "the definition")->capture_default_str();
  verb->footer(
      "Refused (exit 4) unless the image is golden and a rollout of it has completed in the environment "
      "that\n"
      "the channel is promoted from. `ingot images history IMAGE` shows every promotion.");
}

}  // namespace ingot::app
