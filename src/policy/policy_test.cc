#include "policy/policy.h"

#include <gtest/gtest.h>

namespace ingot::policy {
namespace {

definition::Resolved Shop(const std::string& environment, bool dirty) {
  definition::Resolved out;
  out.project = "shop";
  out.environment = environment;
  out.dirty = dirty;
  definition::ResolvedService web;
  web.name = "web";
  web.image = oci::Digest::Of("web");
  out.services = {web};
  return out;
}

Result<void> Decide(const definition::Resolved& next, const Facts& facts,
                    const std::optional<plan::Active>& active = std::nullopt) {
  return Enforce(Judge(plan::MakePlan(active, next, {}), next, facts));
}

TEST(Policy, AnImageThatIsNotGoldenIsRefusedByName) {
  const auto refused = Decide(Shop("local", false), {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kRefused);
  EXPECT_NE(refused.error().message().find("of service web has not passed"), std::string::npos);
  EXPECT_TRUE(Decide(Shop("local", false), {.golden = {oci::Digest::Of("web")}}));
}

TEST(Policy, AFleetThatStaysIsNotJudgedAgain) {
  plan::Active active;
  active.revision = plan::MakeRevision(1, std::nullopt, Shop("local", false), "a", WallTime{});
  EXPECT_TRUE(Decide(Shop("local", false), {}, active));
}

TEST(Policy, ADirtyTreeIsRefusedOutsideLocalAndEveryReasonIsGiven) {
  EXPECT_TRUE(Decide(Shop("local", true), {.golden = {oci::Digest::Of("web")}}));
  EXPECT_TRUE(Decide(Shop("staging", true), {.golden = {oci::Digest::Of("web")}, .allow_dirty = true}));
  const definition::Resolved next = Shop("staging", true);
  EXPECT_EQ(Judge(plan::MakePlan(std::nullopt, next, {}), next, {}).reasons.size(), 2u);
}

}  // namespace
}  // namespace ingot::policy
