#include "app/channels.h"

#include <algorithm>

#include "policy/promotion.h"

namespace ingot::app {

Result<void> CheckChannels(store::Store& store, const definition::Definition& definition,
                           const std::string& environment, const std::map<std::string, oci::Digest>& images) {
  const auto found = definition.environments.find(environment);
  if (found == definition.environments.end() || found->second.promote_from.empty()) return {};
  const std::string& from = found->second.promote_from;
  std::vector<policy::ChannelFacts> facts;
  TRY(store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    for (const auto& [name, digest] : images) {
      const std::string repository = definition.project + "/" + name;
      policy::ChannelFacts image{name, digest, environment, from, std::nullopt, false};
      if (TRY(rows.IsChannel(repository, environment)))
        if (const auto tag = TRY(rows.FindTag(repository, environment))) image.held = tag->digest;
      for (const store::Proof& proof : TRY(rows.ListProofs(digest)))
        image.verified = image.verified || proof.environment == definition.project + "/" + from;
      facts.push_back(std::move(image));
    }
    return {};
  }));
  return policy::Enforce(policy::JudgeChannels(facts));
}

Json ToJson(const store::Promotion& promotion) {
  return JsonObject{{"id", promotion.id},
                    {"image", promotion.repository},
                    {"channel", promotion.channel},
                    {"digest", promotion.digest.Render()},
                    {"previous", promotion.previous ? Json(promotion.previous->Render()) : Json(nullptr)},
                    {"from", promotion.source},
                    {"actor", promotion.actor},
                    {"reason", promotion.reason},
                    {"time", RenderTime(promotion.time)}};
}

}  // namespace ingot::app
