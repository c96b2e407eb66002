// A canary that is judged by checks.
#include "rollout/controller_fixture.h"

namespace ingot::rollout {
namespace {

using ::testing::HasSubstr;
using testing::Kinds;
using testing::Shop;
using testing::World;

class CheckingTest : public testing::ControllerTest {
 protected:
  void SetUp() override {
    Deploy({});
    world.measure = [this](const std::string& service, const definition::ResolvedCheck& check) {
      EXPECT_EQ(service, "web");
      ++measured[check.name];
      return answer;
    };
    next_ = {.web = "2",
             .web_canary = true,
             .analysis = OneCheck(1),
             .steps = {{20, Milliseconds(3'000), false}, {50, Milliseconds(3'000), false}}};
  }
  static definition::ResolvedAnalysis OneCheck(int fails) {
    definition::ResolvedCheck check;
    check.name = "judge";
    check.command = {"/usr/bin/judge"};
    check.interval = Milliseconds(1'000);
    check.timeout = Milliseconds(1'000);
    check.fails = fails;
    definition::ResolvedAnalysis analysis;
    analysis.min_requests = 100;
    analysis.confidence = 9'990;
    analysis.router = false;
    analysis.checks = {check};
    return analysis;
  }
  bool InStep(uint32_t number) {
    return world.RunUntil([&] {
      const auto& rollout = world.state().rollout;
      return rollout && rollout->step == number && rollout->step_in_effect;
    });
  }
  Json Status() { return *world.controller->RolloutStatus(World::Local()); }

  Measurement answer{Outcome::kSuccess, "exit code 0", ""};
  std::map<std::string, int> measured;
  Shop next_;
};

const Measurement kFailed{Outcome::kFailure, "exit code 1", "p99 is 340 ms"};
const Measurement kHangs{Outcome::kInconclusive, "", "it did not end within 1 s"};

TEST_F(CheckingTest, AGoodReleasePassesWithoutARequest) {
  ASSERT_TRUE(world.DoApply(next_));
  ASSERT_TRUE(InStep(2));
  EXPECT_GE(measured["judge"], 3);
  EXPECT_LE(measured["judge"], 4);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_FALSE(world.checker->running());
  EXPECT_EQ(world.Served(), 2u);
  EXPECT_THAT(Kinds(world, "rollout.held"), ::testing::IsEmpty());
}

TEST_F(CheckingTest, AFailureRevertsAtOnceWithTheNumbers) {
  ASSERT_TRUE(world.DoApply(next_));
  ASSERT_TRUE(InStep(1));
  answer = kFailed;
  ASSERT_TRUE(world.RunUntil([&] { return !world.Busy(); }, Milliseconds(3'000)));
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_FALSE(world.checker->running());
  EXPECT_EQ(world.History()[0].reason,
            "analysis of web failed in step 1: check judge: exit code 1, expected exit code 0 "
            "(/usr/bin/judge): p99 is 340 ms");
  int found = 0;
  for (const audit::Event& event : world.Events()) {
    if (event.kind != "rollout.analysis") continue;
    ++found;
    const Json& check = event.detail.at("checks").at(0);
    EXPECT_EQ(check.at("check"), "judge");
    EXPECT_EQ(check.at("value"), "exit code 1");
    EXPECT_EQ(check.at("bound"), "exit code 0");
    EXPECT_EQ(check.at("outcome"), "failure");
  }
  EXPECT_EQ(found, 1);
}

TEST_F(CheckingTest, FewerFailuresThanItSaysHoldTheStep) {
  next_.analysis = OneCheck(1'000);
  answer = kFailed;
  ASSERT_TRUE(world.DoApply(next_));
  EXPECT_FALSE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(world.state().rollout->step, 1u);
  EXPECT_THAT(world.state().rollout->held, HasSubstr("of 1000 failures in a row"));
  answer = {Outcome::kSuccess, "exit code 0", ""};
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
}

TEST_F(CheckingTest, WhatDoesNotAnswerHoldsTheStepAndSaysSo) {
  answer = kHangs;
  ASSERT_TRUE(world.DoApply(next_));
  EXPECT_FALSE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(world.state().rollout->step, 1u);
  EXPECT_EQ(world.state().rollout->held,
            "analysis of web: check judge: it did not end within 1 s (/usr/bin/judge)");
  EXPECT_THAT(Kinds(world, "rollout.held"), ::testing::SizeIs(1));
  EXPECT_EQ(Status().at("waits_for"), "a conclusive analysis, or `ingot rollout advance`");
  EXPECT_EQ(Status().at("checks").at(0).at("service"), "web");
  EXPECT_EQ(Status().at("checks").at(0).at("message"), "it did not end within 1 s");
  // A person may know better; each step asks anew.
  ASSERT_TRUE(world.Do(Advance{}));
  ASSERT_TRUE(InStep(2));
  EXPECT_FALSE(world.RunUntilPhase(Phase::kBaking));
  answer = {Outcome::kSuccess, "exit code 0", ""};
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
}

TEST_F(CheckingTest, AStepWaitsForTheFirstMeasurement) {
  for (auto& step : next_.steps) step.hold = Milliseconds(0);
  world.checker->takes = Milliseconds(5'000);
  ASSERT_TRUE(world.DoApply(next_));
  ASSERT_TRUE(InStep(1));
  const SteadyTime begin = world.clock.Steady();
  ASSERT_TRUE(InStep(2));
  EXPECT_GE(world.clock.Steady() - begin, Milliseconds(5'000));
  EXPECT_THAT(Kinds(world, "rollout.held"), ::testing::IsEmpty());
}

TEST_F(CheckingTest, AKillBeginsTheStepsChecksAnew) {
  next_.analysis = OneCheck(4);
  answer = kFailed;
  ASSERT_TRUE(world.DoApply(next_));
  ASSERT_TRUE(world.RunUntil([&] { return measured["judge"] == 3; }));
  world.Restart();
  measured.clear();
  ASSERT_TRUE(world.RunUntil([&] { return measured["judge"] == 3; }));
  EXPECT_EQ(world.state().rollout->phase, Phase::kStepping);
  ASSERT_TRUE(world.RunUntil([&] { return !world.Busy(); }));
  EXPECT_EQ(measured["judge"], 4);
  EXPECT_EQ(world.Served(), 1u);
}

TEST_F(CheckingTest, WhereNobodyMakesChecksTheStepIsHeld) {
  world.without_checker = true;
  world.Restart();
  ASSERT_TRUE(world.DoApply(next_));
  EXPECT_FALSE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_THAT(world.state().rollout->held, HasSubstr("this daemon makes no checks"));
  ASSERT_TRUE(world.Do(Abort{}));
  world.Settle();
}

TEST_F(CheckingTest, WhatTheRouterCountsIsJudgedBesideThem) {
  next_.analysis->router = true;
  ASSERT_TRUE(world.DoApply(next_));
  EXPECT_FALSE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_THAT(world.state().rollout->held, HasSubstr("too few requests to tell"));
  // And they beside it, though nothing can be said of the counts yet.
  answer = kFailed;
  ASSERT_TRUE(world.RunUntil([&] { return !world.Busy(); }));
  EXPECT_EQ(world.Served(), 1u);
}

TEST_F(CheckingTest, AnAbortEndsTheChecks) {
  ASSERT_TRUE(world.DoApply(next_));
  ASSERT_TRUE(InStep(1));
  EXPECT_TRUE(world.checker->running());
  ASSERT_TRUE(world.Do(Abort{}));
  world.Settle();
  EXPECT_FALSE(world.checker->running());
  EXPECT_EQ(world.Served(), 1u);
}

}  // namespace
}  // namespace ingot::rollout
