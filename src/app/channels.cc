#include "app/channels.h"

#include <map>
#include <string>
#include <vector>

#include "policy/promotion.h"

namespace ingot::app {

Result<void> CheckChannels(store::Store& store, const definition::Resolved& resolved) {
  if (resolved.promote_from.empty()) return {};
  const std::string prefix = resolved.project + "/";
  std::vector<policy::ChannelFacts> facts;
  TRY(store.catalog().Read([&](const store::CatalogRows& rows) -> Result<void> {
    std::map<oci::Digest, std::vector<std::string>> names;  // of the project's repositories
    for (const store::NamedImage& named : TRY(rows.ListNamedImages()))
      if (named.repository.starts_with(prefix)) names[named.digest].push_back(named.repository);
    std::vector<const definition::ResolvedService*> all;
    for (const definition::ResolvedService& service : resolved.services) all.push_back(&service);
    for (const definition::ResolvedJob& job : resolved.jobs) all.push_back(&job.instance);
    for (const definition::ResolvedService* service : all) {
      policy::ChannelFacts image;
      image.image = service->name;
      image.digest = service->image;
      image.environment = resolved.environment;
      image.from = resolved.promote_from;
      const auto found = names.find(service->image);
      image.from_elsewhere = found == names.end();
      for (const std::string& repository :
           image.from_elsewhere ? std::vector<std::string>() : found->second) {
        if (image.held == image.digest) break;
        image.image = repository.substr(prefix.size());
        if (!TRY(rows.IsChannel(repository, resolved.environment))) continue;
        if (const auto tag = TRY(rows.FindTag(repository, resolved.environment))) image.held = tag->digest;
      }
      for (const store::Proof& proof : TRY(rows.ListProofs(service->image)))
        image.verified = image.verified || proof.environment == prefix + resolved.promote_from;
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
