#include "plan/checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/plan.h"

namespace ingot::plan {
namespace {

Fleet Checked(const std::string& service) {
  definition::ResolvedCheck errors;
  errors.name = "errors";
  errors.kind = definition::ResolvedCheck::Kind::kPrometheus;
  errors.url = "http://127.0.0.1:9090";
  errors.query = "rate(errors[1m])";
  errors.condition = {definition::Condition::Op::kLess, 0.01};
  errors.interval = Milliseconds(5'000);
  errors.fails = 3;
  definition::ResolvedCheck verdict;
  verdict.name = "verdict";
  verdict.kind = definition::ResolvedCheck::Kind::kHttp;
  verdict.url = "https://judge/";
  verdict.interval = Milliseconds(10'000);
  verdict.fails = 1;
  Fleet fleet;
  fleet.spec.id = platform::FleetId({"shop", "local"}, service, "100000000000");
  fleet.rollout.analysis.emplace();
  fleet.rollout.analysis->checks = {errors, verdict};
  return fleet;
}

TEST(PlannedChecks, AreThoseOfTheServicesThatStep) {
  ShiftStep step;
  step.percent = {{"web", 10}};
  const auto checks = ChecksOf({step}, {Checked("api"), Checked("web")});
  ASSERT_EQ(checks.size(), 2u);
  EXPECT_EQ(
      Render(checks[0]),
      "web errors: rate(errors[1m]) at http://127.0.0.1:9090, expected < 0.01, each 5s, 3 failures in a "
      "row revert");
  EXPECT_EQ(Render(checks[1]), "web verdict: https://judge/, expected status 200 to 299, each 10s");
  EXPECT_EQ(ToJson(checks[0]).at("bound"), "< 0.01");
  EXPECT_TRUE(ChecksOf({}, {Checked("web")}).empty());
}

TEST(PlannedChecks, AreShownBelowTheSteps) {
  Plan plan;
  plan.environment = {"shop", "local"};
  plan.new_revision = true;
  plan.steps.resize(1);
  plan.steps[0].percent = {{"web", 10}};
  plan.checks = ChecksOf(plan.steps, {Checked("web")});
  EXPECT_THAT(RenderPlan(plan), ::testing::HasSubstr("  2. everything\n"
                                                     "Each step is judged by checks:\n"
                                                     "  web errors: rate(errors[1m])"));
  EXPECT_EQ(ToJson(plan).at("checks").at(1).at("check"), "verdict");
}

}  // namespace
}  // namespace ingot::plan
