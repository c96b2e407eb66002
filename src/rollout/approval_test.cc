// Where a release waits for somebody's word, and times in which nothing is released.
#include "rollout/controller_fixture.h"

namespace ingot::rollout {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Kinds;
using testing::Shop;
using testing::World;

const definition::User kAlice{"alice", {"ops"}, false};
const definition::User kBob{"bob", {"staff"}, false};
const definition::User kRoot{"root", {}, true};

class ApprovalTest : public testing::ControllerTest {
 protected:
  static definition::ResolvedRules Gated() {
    definition::ResolvedRules rules;
    rules.roles["ops"] = {{"approve"}, {"group:ops"}};
    rules.approval = "ops";
    rules.approval_within = Milliseconds(60'000);
    return rules;
  }
  static definition::ResolvedRules Steps() {
    definition::ResolvedRules rules = Gated();
    rules.approval.clear();
    rules.approval_within = Milliseconds(0);
    return rules;
  }
  static Shop Canary() {
    Shop shop{.web = "2", .web_canary = true};
    shop.rules = Steps();
    shop.steps = {{10, Milliseconds(1'000), false, {{"ops", Milliseconds(30'000)}}}};
    return shop;
  }
  Result<Accepted> Approve(const definition::User& user, const std::string& note = "") {
    return world.Do(rollout::Approve{user, note});
  }
  // An approved first release with these rules.
  void First(const definition::ResolvedRules& rules) {
    Shop shop;
    shop.rules = rules;
    ASSERT_TRUE(world.DoApply(shop));
    if (!rules.approval.empty()) {
      ASSERT_TRUE(Approve(kAlice));
    }
    world.Settle();
    ASSERT_EQ(world.Served(), 1u);
  }
  void Wait(Milliseconds time) {
    const SteadyTime begin = world.clock.Steady();
    world.RunUntil([&] { return world.clock.Steady() - begin >= time; });
  }
};

TEST_F(ApprovalTest, NothingIsDoneBeforeSomebodyOfTheRoleApproves) {
  First(Gated());
  const auto before = world.Instances();
  Shop next{.web = "2"};
  next.rules = Gated();
  ASSERT_TRUE(world.DoApply(next));
  Wait(Milliseconds(30'000));
  EXPECT_EQ(world.state().rollout->phase, Phase::kPlanned);
  EXPECT_EQ(world.Instances(), before);
  EXPECT_THAT(Kinds(world, "rollout."), Contains("rollout.approval_awaited").Times(2));
  EXPECT_EQ(Approve(kBob).error().code(), Code::kPermission);
  EXPECT_THAT(Approve(kBob).error().message(), HasSubstr("somebody of ops (group:ops)"));
  ASSERT_TRUE(Approve(kAlice, "looks good"));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(world.Served(), 2u);
  const auto events = world.Events();
  const auto approved = std::find_if(events.rbegin(), events.rend(),
                                     [](const auto& event) { return event.kind == "rollout.approved"; });
  ASSERT_NE(approved, events.rend());
  EXPECT_EQ(approved->actor, "alice");
  EXPECT_EQ(approved->detail.at("note"), "looks good");
}

TEST_F(ApprovalTest, WhatNobodyApprovesInTimeChangesNothing) {
  First(Gated());
  const auto before = world.Instances();
  Shop next{.web = "2"};
  next.rules = Gated();
  ASSERT_TRUE(world.DoApply(next));
  Wait(Milliseconds(59'000));
  EXPECT_TRUE(world.state().rollout);
  world.Settle();
  EXPECT_EQ(world.History()[0].phase, Phase::kReverted);
  EXPECT_THAT(world.History()[0].reason, HasSubstr("in vain for somebody of ops"));
  EXPECT_EQ(world.Instances(), before);
  EXPECT_EQ(world.Served(), 1u);
}

TEST_F(ApprovalTest, AWaitSurvivesTheDaemon) {
  First(Gated());
  Shop next{.web = "2"};
  next.rules = Gated();
  ASSERT_TRUE(world.DoApply(next));
  Wait(Milliseconds(30'000));
  world.Restart();
  Wait(Milliseconds(20'000));
  ASSERT_TRUE(world.state().rollout);
  ASSERT_TRUE(Approve(kRoot));
  world.Restart();
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(world.Served(), 2u);
}

TEST_F(ApprovalTest, CountsFollowTheLoadWhileAReleaseWaits) {
  First(Gated());
  Shop next{.web = "2"};
  next.rules = Gated();
  ASSERT_TRUE(world.DoApply(next));
  ASSERT_TRUE(world.Do(Scale{"web", 4, ""}));
  Wait(Milliseconds(5'000));
  EXPECT_EQ(world.Instances().size(), 6u);
  ASSERT_TRUE(Approve(kAlice));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(CountOf(world.state(), world.state().RevisionOf(2).FleetOf("web")->spec.id), 4u);
}

TEST_F(ApprovalTest, AReleaseCannotTakeItsOwnGateAway) {
  First(Gated());
  ASSERT_TRUE(world.DoApply({.web = "2"}));
  Wait(Milliseconds(5'000));
  EXPECT_EQ(world.state().rollout->phase, Phase::kPlanned);
  ASSERT_TRUE(Approve(kAlice));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  // From now on the rules of the release that was approved are in force.
  ASSERT_TRUE(world.DoApply({.web = "3"}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(world.Served(), 3u);
}

TEST_F(ApprovalTest, RulesAloneAreNotLoosened) {
  First(Gated());
  Shop loose;
  loose.rules = Gated();
  loose.rules.roles["ops"].members.push_back("bob");
  EXPECT_EQ(world.DoApply(loose).error().code(), Code::kRefused);
  EXPECT_EQ(world.DoApply({}).error().code(), Code::kRefused);
  Shop frozen;
  frozen.rules = Gated();
  frozen.rules.freezes = {{WallTime{}, world.clock.Now() + Milliseconds(1'000), "", Milliseconds(0), "x"}};
  EXPECT_EQ(world.DoApply(frozen)->kind, Accepted::Kind::kScaled);
  world.Tick();
  EXPECT_THAT(Kinds(world, "revision."), Contains("revision.rules"));
}

TEST_F(ApprovalTest, AStepWaitsForApprovalWhenItsTimeIsOver) {
  First(Steps());
  ASSERT_TRUE(world.DoApply(Canary()));
  Wait(Milliseconds(20'000));
  ASSERT_EQ(world.state().rollout->phase, Phase::kStepping);
  EXPECT_EQ(world.state().rollout->step, 1u);
  EXPECT_EQ(Approve(kBob).error().code(), Code::kPermission);
  // Going on from a step is not approving it.
  ASSERT_TRUE(world.Do(Advance{}));
  Wait(Milliseconds(5'000));
  EXPECT_EQ(world.state().rollout->phase, Phase::kStepping);
  ASSERT_TRUE(Approve(kAlice));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(world.Served(), 2u);
}

TEST_F(ApprovalTest, AnEarlyApprovalDoesNotEndTheStep) {
  First(Steps());
  ASSERT_TRUE(world.DoApply(Canary()));
  ASSERT_TRUE(world.RunUntil([&] { return world.state().rollout->step_in_effect.has_value(); }));
  const SteadyTime begin = world.clock.Steady();
  ASSERT_TRUE(Approve(kAlice));
  EXPECT_EQ(Approve(kAlice).error().code(), Code::kConflict);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_GE(world.clock.Steady() - begin, Milliseconds(1'000));
}

TEST_F(ApprovalTest, AStepThatNobodyApprovesReverts) {
  First(Steps());
  ASSERT_TRUE(world.DoApply(Canary()));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_THAT(world.History()[0].reason, HasSubstr("in vain"));
}

TEST_F(ApprovalTest, APausedReleaseDoesNotExpire) {
  First(Gated());
  Shop next{.web = "2"};
  next.rules = Gated();
  ASSERT_TRUE(world.DoApply(next));
  ASSERT_TRUE(world.Do(Pause{}));
  Wait(Milliseconds(120'000));
  ASSERT_TRUE(world.state().rollout);
  ASSERT_TRUE(world.Do(Resume{}));
  Wait(Milliseconds(20'000));
  ASSERT_TRUE(Approve(kAlice));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
}

TEST_F(ApprovalTest, ARollbackWaitsForNobody) {
  First(Gated());
  Shop next{.web = "2"};
  next.rules = Gated();
  ASSERT_TRUE(world.DoApply(next));
  ASSERT_TRUE(Approve(kAlice));
  world.Settle();
  ASSERT_TRUE(world.Do(Rollback{}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(world.Served(), 1u);
}

TEST_F(ApprovalTest, ARollbackTakesThePlaceOfWhatWaits) {
  First(Gated());
  Shop next{.web = "2"};
  next.rules = Gated();
  ASSERT_TRUE(world.DoApply(next));
  ASSERT_TRUE(Approve(kAlice));
  world.Settle();
  next.web = "3";
  ASSERT_TRUE(world.DoApply(next));
  world.Tick();
  ASSERT_TRUE(world.Do(Rollback{}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(world.Served(), 1u);
}

TEST_F(ApprovalTest, ARollbackLeadsToNothingThatNobodyApproved) {
  First(Gated());
  Shop next{.web = "2"};
  next.rules = Gated();
  ASSERT_TRUE(world.DoApply(next));
  ASSERT_TRUE(world.Do(Abort{}));
  world.Settle();
  EXPECT_EQ(world.Do(Rollback{2}).error().code(), Code::kRefused);
  EXPECT_EQ(world.Served(), 1u);
}

TEST_F(ApprovalTest, ARollbackBringsNoFormerRulesBack) {
  Deploy({.keep_old = Milliseconds(0)});
  Shop next{.web = "2", .keep_old = Milliseconds(0)};
  next.rules = Gated();
  ASSERT_TRUE(world.DoApply(next));
  ASSERT_TRUE(Approve(kRoot));
  world.Settle();
  ASSERT_TRUE(world.Do(Rollback{}));
  world.Settle();
  ASSERT_EQ(world.Served(), 1u);
  ASSERT_TRUE(world.DoApply({.web = "3"}));
  Wait(Milliseconds(5'000));
  EXPECT_EQ(world.state().rollout->phase, Phase::kPlanned);
}

TEST_F(ApprovalTest, OnlyWhoMayApproveDoes) {
  definition::ResolvedRules rules = Gated();
  rules.roles["readers"] = {{"read"}, {"bob"}};
  First(rules);
  Shop next{.web = "2"};
  next.rules = rules;
  next.rules.roles["readers"].may = {"approve"};
  next.rules.roles["readers"].members = {"carol"};
  next.rules.approval = "readers";
  ASSERT_TRUE(world.DoApply(next));
  ASSERT_TRUE(Approve(kAlice));
  EXPECT_EQ(Approve(kBob).error().code(), Code::kPermission);
  ASSERT_TRUE(Approve({"carol", {}, false}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
}

TEST_F(ApprovalTest, AnApprovalIsForWhatItNames) {
  First(Gated());
  Shop next{.web = "2"};
  next.rules = Gated();
  ASSERT_TRUE(world.DoApply(next));
  EXPECT_EQ(world.Do(rollout::Approve{kAlice, "", 1, 0}).error().code(), Code::kConflict);
  EXPECT_EQ(world.Do(rollout::Approve{kAlice, "", 2, 1}).error().code(), Code::kConflict);
  EXPECT_TRUE(world.Do(rollout::Approve{kAlice, "", 2, 0}));
}

TEST_F(ApprovalTest, TheTimeForApprovalBeginsWhenNothingElseIsWaitedFor) {
  First(Steps());
  Shop shop = Canary();
  shop.steps.front().manual = true;
  ASSERT_TRUE(world.DoApply(shop));
  Wait(Milliseconds(120'000));
  ASSERT_EQ(world.state().rollout->phase, Phase::kStepping);
  ASSERT_TRUE(world.Do(Advance{}));
  Wait(Milliseconds(20'000));
  ASSERT_TRUE(world.state().rollout);
  ASSERT_EQ(world.state().rollout->phase, Phase::kStepping);
  ASSERT_TRUE(Approve(kAlice));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
}

TEST_F(ApprovalTest, AFreezeThatIsOnIsNotSimplyTakenAway) {
  Shop shop;
  shop.rules.freezes = {{world.clock.Now() + Milliseconds(300'000), world.clock.Now() + Milliseconds(600'000),
                         "", Milliseconds(0), "the sale"}};
  Deploy(shop);
  world.clock.Advance(Milliseconds(400'000));
  EXPECT_EQ(world.DoApply({}).error().code(), Code::kRefused);
  EXPECT_TRUE(world.Do(Apply{testing::ResolvedOf({}), "it was planned wrongly"}));
  EXPECT_TRUE(world.DoApply({.web = "2"}));
}

TEST_F(ApprovalTest, NothingNewIsReleasedWhileItIsFrozen) {
  Shop shop;
  shop.rules.freezes = {{world.clock.Now() + Milliseconds(300'000), world.clock.Now() + Milliseconds(600'000),
                         "", Milliseconds(0), "the sale"}};
  Deploy(shop);
  world.clock.Advance(Milliseconds(400'000));
  // Neither by the rules in force nor, without them, by its own.
  const auto refused = world.DoApply({.web = "2"});
  EXPECT_EQ(refused.error().code(), Code::kRefused);
  EXPECT_THAT(refused.error().message(), HasSubstr("the sale"));
  EXPECT_TRUE(world.Do(Scale{"web", 3, ""}));
  ASSERT_TRUE(world.Do(Apply{testing::ResolvedOf({.web = "2", .web_replicas = 3}), "a hole to close"}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  ASSERT_TRUE(world.Do(Rollback{}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  const auto events = world.Events();
  const auto overridden = std::find_if(events.begin(), events.end(),
                                       [](const auto& event) { return event.kind == "freeze.overridden"; });
  ASSERT_NE(overridden, events.end());
  EXPECT_EQ(overridden->detail.at("reason"), "a hole to close");
  EXPECT_EQ(overridden->detail.at("freeze"), "the sale");
}

TEST_F(ApprovalTest, AFreezeEnds) {
  Shop shop;
  shop.rules.freezes = {{WallTime{}, world.clock.Now() + Milliseconds(100'000), "", Milliseconds(0), "x"}};
  EXPECT_EQ(world.DoApply(shop).error().code(), Code::kRefused);
  world.clock.Advance(Milliseconds(100'000));
  EXPECT_EQ(Deploy(shop), 1u);
}

}  // namespace
}  // namespace ingot::rollout
