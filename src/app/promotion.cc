#include "app/promotion.h"

#include "app/channels.h"

namespace ingot::app {

Result<PromotedName> PromotedName::Parse(const definition::Definition& definition, const std::string& text) {
  PromotedName out;
  out.name = text.substr(0, text.find_first_of("@"));
  if (const size_t at = text.find('@'); at != std::string::npos)
    out.digest = TRY(oci::Digest::Parse(text.substr(at + 1)));
  if (const size_t colon = out.name.find(':'); colon != std::string::npos) {
    out.tag = out.name.substr(colon + 1);
    out.name.resize(colon);
  }
  const std::string prefix = definition.project + "/";
  if (out.name.starts_with(prefix)) out.name.erase(0, prefix.size());
  if (!definition.images.contains(out.name))
    return Error(Code::kInvalid, definition.file + " has no image \"" + out.name +
                                     "\"; name one of its images: web, web:TAG or web@DIGEST");
  return out;
}

Result<policy::PromotionFacts> FactsOf(const store::CatalogRows& rows, const PromotionRequest& request) {
  const std::string repository = request.project + "/" + request.name;
  policy::PromotionFacts facts;
  facts.name = request.name + "@" + request.digest.Render();
  facts.to = request.to;
  facts.from = request.from;
  const auto row = TRY(rows.FindImage(request.digest));
  facts.golden = row && row->golden;
  for (const store::Proof& proof : TRY(rows.ListProofs(request.digest)))
    facts.rolled_out_from =
        facts.rolled_out_from || proof.environment == request.project + "/" + request.from;
  if (TRY(rows.IsChannel(repository, request.from)))
    if (const auto tag = TRY(rows.FindTag(repository, request.from)))
      facts.held_by_from = tag->digest == request.digest;
  return facts;
}

namespace {

// Every promotion is an event, too: those that a killed process has not come to are written with the next.
Result<void> RecordPromotions(audit::Sink& events, const PromotionRequest& request,
                              const std::vector<store::Promotion>& promotions) {
  std::vector<audit::Draft> drafts;
  for (const store::Promotion& promotion : promotions) {
    audit::Draft draft;
    draft.key = "promotion/" + std::to_string(promotion.id);
    draft.environment = request.project + "/" + promotion.channel;
    draft.kind = "image.promoted";
    draft.actor = promotion.actor;
    draft.detail =
        JsonObject{{"image", promotion.repository},
                   {"digest", promotion.digest.Render()},
                   {"previous", promotion.previous ? Json(promotion.previous->Render()) : Json(nullptr)},
                   {"from", promotion.source},
                   {"reason", promotion.reason}};
    if (!request.from_host.empty() && promotion.digest == request.digest)
      draft.detail["from_host"] = request.from_host;
    drafts.push_back(std::move(draft));
  }
  return events.Append(std::move(drafts));
}

}  // namespace

Result<Promoted> MoveChannel(store::Store& store, audit::Sink& events, const PromotionRequest& request) {
  const std::string repository = request.project + "/" + request.name;
  Promoted promoted;
  promoted.promotion.repository = repository;
  promoted.promotion.channel = request.to;
  promoted.promotion.digest = request.digest;
  promoted.promotion.source = request.from;
  promoted.promotion.actor = request.actor;
  promoted.promotion.reason = request.reason;
  auto moved = store.MoveChannel(promoted.promotion, [&](const store::CatalogRows& rows) -> Result<void> {
    TRY(policy::Enforce(policy::JudgePromotion(TRY(FactsOf(rows, request)))));
    const auto held = TRY(rows.FindTag(repository, request.to));
    if (held && held->digest == request.digest && TRY(rows.IsChannel(repository, request.to)))
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
    if (row.channel == request.to && row.digest == request.digest) promoted.promotion = row;
  auto recorded = RecordPromotions(events, request, promotions);
  if (!recorded)
    return std::move(recorded).error().While("the promotion stands; its event is written with the next one");
  return promoted;
}

Json ToJson(const Promoted& promoted) {
  return JsonObject{{"promotion", ToJson(promoted.promotion)}, {"moved", promoted.moved}};
}

Result<Promoted> PromotedFrom(const JsonObject& object) {
  Promoted out;
  out.moved = TRY(GetBool(object, "moved"));
  const JsonObject& promotion = *TRY(GetObject(object, "promotion"));
  out.promotion.id = static_cast<uint64_t>(TRY(GetInt(promotion, "id")));
  out.promotion.repository = TRY(GetString(promotion, "image"));
  out.promotion.channel = TRY(GetString(promotion, "channel"));
  out.promotion.digest = TRY(oci::Digest::Parse(TRY(GetString(promotion, "digest"))));
  if (const std::string previous = StringOr(promotion, "previous", ""); !previous.empty())
    out.promotion.previous = TRY(oci::Digest::Parse(previous));
  out.promotion.source = TRY(GetString(promotion, "from"));
  out.promotion.actor = TRY(GetString(promotion, "actor"));
  out.promotion.reason = TRY(GetString(promotion, "reason"));
  out.promotion.time = TRY(ParseTime(TRY(GetString(promotion, "time"))));
  return out;
}

}  // namespace ingot::app
