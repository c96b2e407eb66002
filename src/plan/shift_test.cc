#include "plan/shift.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/plan.h"

namespace ingot::plan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

Fleet Of(const std::string& service, const std::string& version, definition::Strategy strategy,
         std::vector<definition::ResolvedStep> steps = {}) {
  Fleet fleet;
  fleet.spec.id = platform::FleetId({"shop", "local"}, service, version + "00000000000");
  fleet.spec.limits.memory_bytes = 100;
  fleet.rollout.strategy = strategy;
  fleet.rollout.steps = std::move(steps);
  return fleet;
}

constexpr auto kCanary = definition::Strategy::kCanary;
constexpr auto kBlueGreen = definition::Strategy::kBlueGreen;
constexpr auto kRecreate = definition::Strategy::kRecreate;

TEST(ShiftSteps, CanariesStepTogetherAndTheShorterStaysAtItsLast) {
  const std::vector<Fleet> before = {Of("api", "1", kBlueGreen), Of("web", "1", kBlueGreen)};
  const std::vector<Fleet> after = {
      Of("api", "2", kCanary, {{5, Milliseconds(30'000), false}, {25, Milliseconds(0), true}}),
      Of("web", "2", kCanary, {{10, Milliseconds(60'000), false}})};
  const auto steps = ShiftSteps(before, after);
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_THAT(steps[0].percent, ElementsAre(Pair("api", 5), Pair("web", 10)));
  EXPECT_EQ(steps[0].hold, Milliseconds(60'000));
  EXPECT_FALSE(steps[0].manual);
  EXPECT_THAT(steps[1].percent, ElementsAre(Pair("api", 25), Pair("web", 10)));
  EXPECT_TRUE(steps[1].manual);
  EXPECT_EQ(Render(steps[0]), "api 5 %, web 10 % for 1m");
  EXPECT_EQ(Render(steps[1]), "api 25 %, web 10 % until `ingot rollout advance`");
}

TEST(ShiftSteps, OnlyWhatReplacesAFleetSteps) {
  const std::vector<definition::ResolvedStep> steps = {{5, Milliseconds(0), false}};
  EXPECT_THAT(ShiftSteps({}, {Of("api", "1", kCanary, steps)}), IsEmpty());
  EXPECT_THAT(ShiftSteps({Of("api", "1", kCanary, steps)}, {Of("api", "1", kCanary, steps)}), IsEmpty());
  EXPECT_THAT(ShiftSteps({Of("api", "1", kRecreate)}, {Of("api", "2", kCanary, steps)}), IsEmpty());
  EXPECT_THAT(ShiftSteps({Of("api", "1", kCanary, steps)}, {Of("api", "2", kBlueGreen)}), IsEmpty());
}

definition::Resolved Rolling(const std::string& version) {
  definition::Resolved out;
  out.project = "shop";
  out.environment = "local";
  definition::ResolvedService web;
  web.name = "web";
  web.image = oci::Digest::Of(version);
  web.ports = {{"http", 8080, definition::Protocol::kHttp}};
  web.limits = {100, 100 << 20, 50};
  web.replicas = 6;
  web.rollout.strategy = definition::Strategy::kRolling;
  web.rollout.batch = 2;
  web.rollout.surge = 1;
  out.services = {web};
  return out;
}

TEST(Plan, OfARollingServiceTakesItsCountAndSurge) {
  Active active;
  active.revision = MakeRevision(1, {}, Rolling("1"), "root", WallTime{});
  const Plan plan = MakePlan(active, Rolling("2"), {});
  EXPECT_EQ(plan.peak_memory_bytes, 7ull * (100 << 20));
  EXPECT_EQ(plan.peak_millicpus, 700u);
  EXPECT_THAT(RenderPlan(plan), HasSubstr("6 instances (rolling: 2 at a time, at most 1 beyond the count)"));
}

}  // namespace
}  // namespace ingot::plan
