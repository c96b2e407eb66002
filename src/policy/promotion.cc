#include "policy/promotion.h"

namespace ingot::policy {

Verdict JudgePromotion(const PromotionFacts& facts) {
  Verdict verdict;
  if (!facts.golden)
    verdict.reasons.push_back(facts.name +
                              " is not golden: its tests have not passed; `ingot build` runs them");
  if (!facts.from.empty() && !facts.rolled_out_from && !facts.held_by_from)
    verdict.reasons.push_back(facts.name + " was not verified in " + facts.from +
                              ": no rollout of it has completed there; `ingot apply -e " + facts.from +
                              "` deploys it there first");
  return verdict;
}

Verdict JudgeChannels(const std::vector<ChannelFacts>& images) {
  Verdict verdict;
  for (const ChannelFacts& image : images) {
    if (image.held == image.digest || (image.from_elsewhere && image.verified)) continue;
    if (image.from_elsewhere) {
      verdict.reasons.push_back("the image of " + image.image + " (" + std::string(image.digest.Short()) +
                                ") was not verified in " + image.from + "; missing: `ingot apply -e " +
                                image.from + "`");
      continue;
    }
    std::string reason =
        image.environment + " deploys only what its channel holds, and that is " +
        (image.held ? "another " + image.image + " (" + std::string(image.held->Short()) + ")"
                    : "no " + image.image + " yet") +
        "; missing: ";
    if (!image.verified)
      reason += "a rollout in " + image.from + " (`ingot apply -e " + image.from + "`), then ";
    verdict.reasons.push_back(reason + "`ingot promote " + image.image + "@" + image.digest.Render() +
                              " --to " + image.environment + "`");
  }
  return verdict;
}

}  // namespace ingot::policy
