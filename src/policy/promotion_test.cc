#include "policy/promotion.h"

#include <gmock/gmock.h>

namespace ingot::policy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(PromotionTest, OnlyWhatIsGoldenAndWasVerifiedBefore) {
  PromotionFacts facts{"web@sha256:1", true, "production", "staging", false, false};
  EXPECT_THAT(JudgePromotion(facts).reasons, ElementsAre(HasSubstr("not verified in staging")));
  facts.rolled_out_from = true;
  EXPECT_THAT(JudgePromotion(facts).reasons, IsEmpty());
  facts.golden = false;
  EXPECT_THAT(JudgePromotion(facts).reasons, ElementsAre(HasSubstr("not golden")));
  facts = {"web", true, "production", "staging", false, true};
  EXPECT_THAT(JudgePromotion(facts).reasons, IsEmpty());
  facts = {"web", true, "staging", "", false, false};
  EXPECT_THAT(JudgePromotion(facts).reasons, IsEmpty());
}

TEST(PromotionTest, WhatTheChannelDoesNotHoldIsNamedWithTheCommand) {
  const auto one = oci::Digest::Of("one");
  const auto two = oci::Digest::Of("two");
  EXPECT_THAT(JudgeChannels({{"web", one, "production", "staging", one, false}}).reasons, IsEmpty());
  const auto reasons = JudgeChannels({{"web", one, "production", "staging", two, true},
                                      {"api", two, "production", "staging", std::nullopt, false}})
                           .reasons;
  EXPECT_THAT(
      reasons,
      ElementsAre(HasSubstr("missing: `ingot promote web@" + one.Render() + " --to production`"),
                  HasSubstr("no api yet; missing: a rollout in staging (`ingot apply -e staging`), then "
                            "`ingot promote api@" +
                            two.Render())));
}

TEST(PromotionTest, WhatWasNotBuiltHereIsToBeVerifiedBefore) {
  const auto redis = oci::Digest::Of("redis");
  EXPECT_THAT(JudgeChannels({{"cache", redis, "production", "staging", std::nullopt, true, true}}).reasons,
              IsEmpty());
  EXPECT_THAT(JudgeChannels({{"cache", redis, "production", "staging", std::nullopt, false, true}}).reasons,
              ElementsAre(HasSubstr("was not verified in staging; missing: `ingot apply -e staging`")));
}

}  // namespace
}  // namespace ingot::policy
