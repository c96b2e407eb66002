// Rollbacks, aborts, scale and destroy.
#include <algorithm>
#include <set>

#include "rollout/controller.h"
#include "rollout/controller_fixture.h"

namespace ingot::rollout {
namespace {

using platform::InstanceState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Kinds;
using testing::Named;
using testing::Shop;
using testing::World;

class RollbackTest : public testing::ControllerTest {};

TEST_F(RollbackTest, AnotherCountIsAScaleOfTheActiveRevision) {
  Deploy({});
  auto accepted = world.DoApply({.web_replicas = 4});
  ASSERT_TRUE(accepted);
  EXPECT_EQ(accepted->kind, Accepted::Kind::kScaled);
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_THAT(world.Instances(), ElementsAre("api-1", "api-2", "web-3", "web-4", "web-5", "web-6"));
  EXPECT_EQ(world.fake.TopologyOf(World::Local()).services[1].replicas, 4u);
}

TEST_F(RollbackTest, ARollbackToWhatWasScaledToNothingStartsItFirst) {
  Deploy({});
  ASSERT_TRUE(world.Do(Scale{"web", 0}));
  world.Settle();
  Deploy({.web = "2"});
  ASSERT_TRUE(world.Do(Scale{"web", 2}));
  world.Settle();
  ASSERT_TRUE(world.Do(Rollback{}));
  world.Settle();
  EXPECT_EQ(world.Served(), 1u);
  size_t web = 0;
  for (const std::string& name : world.Instances()) web += name.starts_with("web") ? 1 : 0;
  EXPECT_EQ(web, 4u) << "two of r1, and two of r2, which is warm";
}

TEST_F(RollbackTest, ACountSetByScaleHoldsThroughARollback) {
  Deploy({});
  Deploy({.web = "2"});
  ASSERT_TRUE(world.Do(Scale{"web", 3}));
  world.Settle();
  ASSERT_TRUE(world.Do(Rollback{}));
  EXPECT_EQ(world.controller->Tick(), world.controller->Tick()) << "settled";
  EXPECT_EQ(world.Served(), 1u) << "traffic does not wait for the third instance";
  world.Settle();
  EXPECT_EQ(CountOf(world.state(), Named(world, "web-3").fleet()), 3u);
}

TEST_F(RollbackTest, ARollbackToAWarmRevisionIsOneSwitchInOneTick) {
  Deploy({});
  Deploy({.web = "2", .api = "2"});
  const auto before = world.Instances();
  const int switches = world.fake.calls("ApplyRoutes");
  const int starts = world.fake.calls("Start");
  auto accepted = world.Do(Rollback{});
  ASSERT_TRUE(accepted);
  EXPECT_EQ(accepted->revision, 1u);
  world.Tick();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_EQ(world.fake.calls("ApplyRoutes"), switches + 1);
  EXPECT_EQ(world.fake.calls("Start"), starts);
  EXPECT_EQ(world.state().live.at(2).role, Role::kWarm);
  world.Settle();
  EXPECT_EQ(world.Instances(), before);
  // After its window the bad one is gone, and a rollback does not lead there.
  world.clock.Advance(Milliseconds(600'000));
  world.Settle();
  EXPECT_THAT(world.Instances(), ElementsAre("api-1", "api-2", "web-3", "web-4"));
  auto further = world.Do(Rollback{});
  ASSERT_FALSE(further);
  EXPECT_EQ(further.error().code(), Code::kNotFound);
}

TEST_F(RollbackTest, ARollbackAfterTheWindowStartsTheKeptImageAgain) {
  Deploy({});
  Deploy({.web = "2"});
  world.clock.Advance(Milliseconds(600'000));
  world.Settle();
  ASSERT_TRUE(world.Do(Rollback{.to = 1}));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_THAT(world.Instances(), ElementsAre("api-1", "api-2", "web-5", "web-6", "web-7", "web-8"));
}

TEST_F(RollbackTest, ARollbackWhoseWarmRevisionLostAnInstanceWaitsForItsReplacement) {
  Deploy({});
  Deploy({.web = "2"});
  world.fake.Exit(Named(world, "web-3"), 137);
  ASSERT_TRUE(world.Do(Rollback{}));
  world.Tick();
  EXPECT_EQ(world.Served(), 2u);
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
}

TEST_F(RollbackTest, ARollbackToAnUnknownRevisionIsNotFound) {
  Deploy({});
  auto refused = world.Do(Rollback{.to = 7});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kNotFound);
  refused = world.Do(Rollback{.to = 1});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kConflict);
}

TEST_F(RollbackTest, AnAbortTakesARunningRolloutBack) {
  Deploy({});
  const auto before = world.Instances();
  ASSERT_TRUE(world.DoApply({.web = "2"}));
  world.Tick();
  ASSERT_TRUE(world.Do(Abort{}));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_EQ(world.Instances(), before);
  EXPECT_EQ(world.History()[0].reason, "aborted by test");
  auto again = world.Do(Abort{});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), Code::kNotFound);
}

TEST_F(RollbackTest, AnAbortAfterTheSwitchIsRefused) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2"}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  auto refused = world.Do(Abort{});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kRefused);
}

TEST_F(RollbackTest, ScaleHoldsUntilAnApplyChangesTheCount) {
  Deploy({});
  auto scaled = world.Do(Scale{"web", 5});
  ASSERT_TRUE(scaled);
  EXPECT_EQ(scaled->kind, Accepted::Kind::kScaled);
  world.Settle();
  EXPECT_EQ(world.Instances().size(), 7u);
  Deploy({.web = "2"});  // the same count in the definition
  EXPECT_EQ(world.state().live.at(2).replicas.at("web"), 5u);
  world.clock.Advance(Milliseconds(600'000));
  world.Settle();
  EXPECT_EQ(world.Instances().size(), 7u);
  Deploy({.web = "3", .web_replicas = 3});
  EXPECT_EQ(world.state().live.at(3).replicas.at("web"), 3u);
  EXPECT_TRUE(world.state().overrides.empty());
  ASSERT_TRUE(world.Do(Scale{"api", 0}));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(Kinds(world, "rollout.reverted").size(), 0u);
}

TEST_F(RollbackTest, ScaleRefusesWhatItCannotDo) {
  auto refused = world.Do(Scale{"web", 1});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kNotFound);
  Deploy({});
  refused = world.Do(Scale{"wbe", 1});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kNotFound);
  EXPECT_THAT(refused.error().message(), HasSubstr("did you mean \"web\"?"));
  refused = world.Do(Scale{"web", kMaxReplicas + 1});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kInvalid);
}

TEST_F(RollbackTest, DestroyEndsEverythingButTheHistory) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2"}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  ASSERT_TRUE(world.Do(Destroy{}));
  world.Tick();
  auto refused = world.DoApply({.web = "3"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kConflict);
  world.Settle();
  EXPECT_THAT(world.Instances(), IsEmpty());
  EXPECT_EQ(world.fake.Routes(World::Local()), platform::RouteTable{});
  EXPECT_EQ(world.fake.TopologyOf(World::Local()), platform::Topology{});
  EXPECT_FALSE(world.state().destroying);
  EXPECT_EQ(world.History().size(), 2u);
  EXPECT_EQ(Deploy({}), 3u);
}

TEST_F(RollbackTest, WhoAsksIsStoppedBeforeWhoIsAsked) {
  Shop shop{.keep_old = Milliseconds(0)};
  Deploy(shop);
  world.fake.script = [](const platform::FleetSpec&, const platform::InstanceId&) {
    return platform::Script{.stop_takes = Milliseconds(500)};
  };
  Deploy({.web = "2", .api = "2", .keep_old = Milliseconds(0)});
  ASSERT_TRUE(world.DoApply({.web = "3", .api = "3"}));
  bool asked_was_alive = true;
  ASSERT_TRUE(world.RunUntil([&] {
    const auto old = world.journal.ReadRevision(World::Local(), 2);
    std::set<std::string> stopping;
    for (const auto& [id, status] : world.fake.instances())
      if (old->Find(id.fleet()) != nullptr && status.state == InstanceState::kStopping)
        stopping.insert(id.fleet().service());
    if (stopping.contains("web") && stopping.contains("api")) asked_was_alive = false;
    return world.Served() == 3 && !world.Busy();
  }));
  EXPECT_TRUE(asked_was_alive);
}

TEST_F(RollbackTest, WhatWasReleasedLastIsAnApplyThatHasSwitched) {
  Deploy({});
  EXPECT_EQ(world.state().released, (Released{1, 1}));
  Deploy({.web = "2"});
  EXPECT_EQ(world.state().released, (Released{2, 2}));
  ASSERT_TRUE(world.Do(Rollback{}));
  world.Settle();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_EQ(world.state().released, (Released{2, 2}));
  world.fake.script = [](const platform::FleetSpec&, const platform::InstanceId&) {
    platform::Script script;
    script.ready_after.reset();
    script.fails_after = Milliseconds(5);
    return script;
  };
  EXPECT_EQ(Deploy({.web = "3"}), 1u);
  EXPECT_EQ(world.state().released, (Released{2, 2}));
}

}  // namespace
}  // namespace ingot::rollout
