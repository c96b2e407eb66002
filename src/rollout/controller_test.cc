// Rollouts as a whole: each way through the state machine.
#include "rollout/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "rollout/testing.h"

namespace ingot::rollout {
namespace {

using platform::InstanceState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ResolvedOf;
using testing::Shop;
using testing::World;

std::vector<std::string> Kinds(World& world, const std::string& prefix) {
  std::vector<std::string> out;
  for (const audit::Event& event : world.Events())
    if (event.kind.starts_with(prefix)) out.push_back(event.kind);
  return out;
}

platform::InstanceId Named(World& world, const std::string& name) {
  for (const auto& [id, status] : world.fake.instances())
    if (id.Short() == name) return id;
  return {};
}

class ControllerTest : public ::testing::Test {
 protected:
  void TearDown() override {
    EXPECT_THAT(world.violations(), IsEmpty());
    EXPECT_TRUE(audit::Verify(world.Events()));
  }
  // Applies and settles; the revision that serves then.
  uint64_t Deploy(const Shop& shop) {
    auto accepted = world.DoApply(shop);
    EXPECT_TRUE(accepted) << accepted.error().Render();
    world.Settle();
    world.CheckSettled();
    return world.Served();
  }
  World world;
};

TEST_F(ControllerTest, AFirstApplyPassesThroughEveryPhase) {
  auto accepted = world.DoApply({});
  ASSERT_TRUE(accepted);
  EXPECT_EQ(accepted->kind, Accepted::Kind::kRollout);
  EXPECT_EQ(accepted->rollout, 1u);
  EXPECT_EQ(accepted->revision, 1u);
  EXPECT_EQ(world.Served(), 0u);
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_THAT(world.Instances(), ElementsAre("api-1", "api-2", "web-3", "web-4"));
  EXPECT_THAT(Kinds(world, "rollout."),
              ElementsAre("rollout.planned", "rollout.preparing", "rollout.starting", "rollout.verifying",
                          "rollout.shifting", "rollout.baking", "rollout.completed"));
  ASSERT_EQ(world.History().size(), 1u);
  EXPECT_EQ(world.History()[0].phase, Phase::kCompleted);
  EXPECT_FALSE(world.state().rollout);
}

TEST_F(ControllerTest, ANewRevisionKeepsTheOldOneWarmForItsWindow) {
  Deploy({});
  Shop next{.web = "2", .api = "2"};
  ASSERT_TRUE(world.DoApply(next));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(world.Served(), 2u);
  EXPECT_EQ(world.state().live.at(1).role, Role::kWarm);
  EXPECT_EQ(world.fake.instances().size(), 8u);
  world.clock.Advance(Milliseconds(599'000));
  world.Tick();
  EXPECT_EQ(world.fake.instances().size(), 8u);
  world.clock.Advance(Milliseconds(1'000));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.fake.instances().size(), 4u);
  EXPECT_EQ(world.History()[0].phase, Phase::kCompleted);
  EXPECT_FALSE(world.state().rollout);
  EXPECT_FALSE(world.state().live.contains(1));
}

TEST_F(ControllerTest, NoRequestReachesTheNewRevisionBeforeAllOfItIsReady) {
  Deploy({});
  world.fake.script = [](const platform::FleetSpec& spec, const platform::InstanceId&) {
    return platform::Script{.ready_after = Milliseconds(spec.id.service() == "web" ? 10 : 3000)};
  };
  ASSERT_TRUE(world.DoApply({.web = "2", .api = "2"}));
  const SteadyTime begin = world.clock.Steady();
  ASSERT_TRUE(world.RunUntil([&] { return world.Served() == 2; }));
  EXPECT_GE(world.clock.Steady() - begin, Milliseconds(3000));
}

TEST_F(ControllerTest, AnUnchangedServiceKeepsItsInstances) {
  Deploy({});
  EXPECT_EQ(Deploy({.web = "2"}), 2u);
  EXPECT_THAT(world.Instances(), ElementsAre("api-1", "api-2", "web-3", "web-4", "web-5", "web-6"));
}

TEST_F(ControllerTest, ASharedFleetFollowsTheActiveRevision) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.api = "2"}));  // web is shared by r1 and r2
  ASSERT_TRUE(world.RunUntilPhase(Phase::kVerifying));
  const auto neighbour = [&] {
    const auto table = world.fake.Routes(World::Local());
    for (const auto& route : table.inside)
      if (route.asker.service() == "web") return route.fleet;
    return platform::FleetId();
  };
  EXPECT_EQ(neighbour(), world.state().RevisionOf(1).FleetOf("api")->spec.id);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(neighbour(), world.state().RevisionOf(2).FleetOf("api")->spec.id);
}

TEST_F(ControllerTest, ACandidateReachesItsOwnNeighboursBeforeTheSwitch) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2", .api = "2"}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kVerifying));
  const plan::Revision& next = world.state().RevisionOf(2);
  const auto table = world.fake.Routes(World::Local());
  const platform::RouteTable::Inside own{next.FleetOf("web")->spec.id, "api", next.FleetOf("api")->spec.id};
  EXPECT_NE(std::find(table.inside.begin(), table.inside.end(), own), table.inside.end());
  EXPECT_EQ(world.Served(), 1u);
}

TEST_F(ControllerTest, TheSameDefinitionAgainIsNothingToDo) {
  Deploy({});
  const uint64_t step = world.state().step;
  auto accepted = world.DoApply({});
  ASSERT_TRUE(accepted);
  EXPECT_EQ(accepted->kind, Accepted::Kind::kNothing);
  EXPECT_EQ(accepted->revision, 1u);
  EXPECT_EQ(world.state().step, step);
}

TEST_F(ControllerTest, AnotherCountIsAScaleOfTheActiveRevision) {
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

TEST_F(ControllerTest, ACandidateThatExitsRevertsEverything) {
  Deploy({});
  const auto before = world.Instances();
  const auto routes = world.fake.Routes(World::Local());
  world.fake.script = [](const platform::FleetSpec& spec, const platform::InstanceId&) {
    platform::Script script;
    if (spec.environment.at("VERSION") == "bad") script.exits_after = Milliseconds(5);
    if (spec.environment.at("VERSION") == "bad") script.ready_after.reset();
    script.exit_code = 3;
    return script;
  };
  EXPECT_EQ(Deploy({.web = "bad", .api = "2"}), 1u);
  EXPECT_EQ(world.Instances(), before);
  EXPECT_EQ(world.fake.Routes(World::Local()), routes);
  ASSERT_FALSE(world.History().empty());
  EXPECT_EQ(world.History()[0].phase, Phase::kReverted);
  EXPECT_THAT(world.History()[0].reason, HasSubstr("web-7 exited with code 3"));
  EXPECT_EQ(Deploy({.web = "3"}), 3u);  // the number of a reverted revision is not used again
}

TEST_F(ControllerTest, ACandidateThatIsNeverReadyRevertsAtItsDeadline) {
  Deploy({});
  world.fake.script = [](const platform::FleetSpec&, const platform::InstanceId&) {
    return platform::Script{.ready_after = std::nullopt};
  };
  EXPECT_EQ(Deploy({.web = "2"}), 1u);
  EXPECT_THAT(world.History()[0].reason, HasSubstr("not ready within its deadline"));
}

TEST_F(ControllerTest, AFirstApplyThatFailsLeavesNothing) {
  world.fake.script = [](const platform::FleetSpec&, const platform::InstanceId&) {
    return platform::Script{.ready_after = std::nullopt, .fails_after = Milliseconds(1)};
  };
  EXPECT_EQ(Deploy({}), 0u);
  EXPECT_THAT(world.Instances(), IsEmpty());
  EXPECT_EQ(world.fake.TopologyOf(World::Local()), platform::Topology{});
}

TEST_F(ControllerTest, AnUnknownInstanceIsNeitherReadyNorFailedUntilTheDeadline) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2"}));
  world.Tick();
  world.fake.SetState(Named(world, "web-5"), InstanceState::kUnknown, "cannot look");
  const SteadyTime begin = world.clock.Steady();
  ASSERT_TRUE(world.RunUntilPhase(Phase::kReverting));
  EXPECT_GE(world.clock.Steady() - begin, Milliseconds(30'000));
  EXPECT_THAT(world.state().rollout->reason, HasSubstr("web-5 is unknown: cannot look"));
  world.Settle();
  EXPECT_EQ(world.Served(), 1u);
}

TEST_F(ControllerTest, APlatformThatCannotBeObservedIsWaitedForAndThenReverted) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2"}));
  world.Tick();
  world.fake.before = [](const std::string& function) -> Result<void> {
    if (function == "Observe") return Error(Code::kIo, "no runtime");
    return {};
  };
  ASSERT_TRUE(world.RunUntilPhase(Phase::kReverting));
  EXPECT_THAT(world.state().rollout->reason, HasSubstr("could not be observed"));
  // Nothing was stopped that could not be seen.
  EXPECT_EQ(world.fake.instances().size(), 6u);
  world.fake.before = nullptr;
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.fake.instances().size(), 4u);
}

TEST_F(ControllerTest, AStartThatIsRefusedReverts) {
  Deploy({});
  world.fake.before = [](const std::string& function) -> Result<void> {
    if (function == "Start") return Error(Code::kNotFound, "no such image");
    return {};
  };
  EXPECT_EQ(Deploy({.web = "2"}), 1u);
  EXPECT_THAT(world.History()[0].reason, HasSubstr("web-5 cannot be started: no such image"));
}

TEST_F(ControllerTest, AStartThatFailsTwiceIsTriedAgain) {
  int failures = 2;
  world.fake.before = [&](const std::string& function) -> Result<void> {
    if (function == "Start" && failures-- > 0) return Error(Code::kIo, "busy");
    return {};
  };
  EXPECT_EQ(Deploy({}), 1u);
}

TEST_F(ControllerTest, AListenerInUseRevertsWithItsName) {
  Deploy({});
  world.fake.before = [](const std::string& function) -> Result<void> {
    if (function == "SetTopology") return Error(Code::kConflict, "listener :9000 belongs to nginx");
    return {};
  };
  ASSERT_TRUE(world.DoApply({.web = "2", .listen = ":9000"}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kReverting));
  EXPECT_EQ(world.state().rollout->reason, "the router cannot be prepared: listener :9000 belongs to nginx");
  world.fake.before = nullptr;
  world.Settle();
  EXPECT_EQ(world.Served(), 1u);
}

TEST_F(ControllerTest, AnotherEnvironmentsListenerIsRefusedAtOnce) {
  Deploy({});
  const platform::EnvironmentId staging("shop", "staging");
  Shop shop;
  shop.environment = "staging";
  auto refused = world.controller->Submit({staging, "test", Apply{ResolvedOf(shop)}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kConflict);
  EXPECT_THAT(refused.error().message(), HasSubstr("listener :8000 belongs to shop/local"));
  shop.listen = ":8001";
  ASSERT_TRUE(world.controller->Submit({staging, "test", Apply{ResolvedOf(shop)}}));
  ASSERT_TRUE(world.RunUntil([&] { return !world.controller->Busy(staging); }));
  EXPECT_EQ(world.controller->State(staging)->active, 1u);
}

TEST_F(ControllerTest, AShiftThatFailsAfterItsEffectIsTakenBack) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2"}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kVerifying));
  const auto to = world.state().RevisionOf(2).FleetOf("web")->spec.id;
  world.fake.after = [&](const std::string& function) -> Result<void> {
    const auto table = world.fake.Routes(World::Local());
    if (function == "ApplyRoutes" && table.outside[0].fleet == to) return Error(Code::kIo, "broken pipe");
    return {};
  };
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_THAT(world.History()[0].reason, HasSubstr("traffic cannot be switched: broken pipe"));
}

TEST_F(ControllerTest, AShiftThatFailsOnceIsTriedAgain) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2"}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kVerifying));
  int failures = 2;
  world.fake.before = [&](const std::string& function) -> Result<void> {
    if (function == "ApplyRoutes" && failures-- > 0) return Error(Code::kIo, "broken pipe");
    return {};
  };
  world.Settle();
  EXPECT_EQ(world.Served(), 2u);
}

TEST_F(ControllerTest, ShiftingWaitsUntilTheTopologyHasSettled) {
  Deploy({});
  world.fake.settle_takes = Milliseconds(2'000);
  ASSERT_TRUE(world.DoApply({.web = "2", .web_replicas = 3}));
  const SteadyTime begin = world.clock.Steady();
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_GE(world.clock.Steady() - begin, Milliseconds(2'000));
}

TEST_F(ControllerTest, ATopologyThatNeverSettlesReverts) {
  Deploy({});
  world.fake.settle_takes = Milliseconds(3'600'000);
  EXPECT_EQ(Deploy({.web = "2", .web_replicas = 3}), 1u);
  EXPECT_THAT(world.History()[0].reason, HasSubstr("former process did not end in time"));
}

TEST_F(ControllerTest, ASecondApplyIsRefusedWhileOneRuns) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2"}));
  world.Tick();
  auto second = world.DoApply({.web = "3"});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kConflict);
  EXPECT_THAT(second.error().message(), HasSubstr("rollout 2 of shop/local (r1 to r2, "));
  world.Settle();
  EXPECT_EQ(world.Served(), 2u);
}

TEST_F(ControllerTest, AnApplyDuringBakingSupersedesItAndKeepsOneRevisionWarm) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2"}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  ASSERT_TRUE(world.DoApply({.web = "3"}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kVerifying));
  EXPECT_EQ(world.state().live.at(1).role, Role::kWarm);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(world.Served(), 3u);
  EXPECT_EQ(world.state().live.at(2).role, Role::kWarm);
  EXPECT_EQ(world.History()[0].phase, Phase::kCompleted);
  EXPECT_EQ(world.History()[0].reason, "superseded by rollout 3");
  world.Settle();
  EXPECT_FALSE(world.state().live.contains(1));
}

TEST_F(ControllerTest, ARevisionWhoseInstancesKeepDyingAfterTheSwitchIsTakenBack) {
  world.fake.script = [](const platform::FleetSpec& spec, const platform::InstanceId&) {
    platform::Script script;
    if (spec.environment.at("VERSION") == "bad")
      script.exits_after = script.ready_after.value_or(Milliseconds(0)) + Milliseconds(30);
    return script;
  };
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "bad"}));
  ASSERT_TRUE(world.RunUntil([&] { return world.History().front().phase == Phase::kReverted; }));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_THAT(world.History()[0].reason,
              HasSubstr("instances of web keep dying: the last one exited with code"));
  EXPECT_EQ(world.state().active, 1u);
  EXPECT_THAT(world.Instances(), ElementsAre("api-1", "api-2", "web-3", "web-4"));
}

TEST_F(ControllerTest, ARollbackToWhatWasScaledToNothingStartsItFirst) {
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

TEST_F(ControllerTest, ACountSetByScaleHoldsThroughARollback) {
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

TEST_F(ControllerTest, ARollbackToAWarmRevisionIsOneSwitchInOneTick) {
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

TEST_F(ControllerTest, ARollbackAfterTheWindowStartsTheKeptImageAgain) {
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

TEST_F(ControllerTest, ARollbackWhoseWarmRevisionLostAnInstanceWaitsForItsReplacement) {
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

TEST_F(ControllerTest, ARollbackToAnUnknownRevisionIsNotFound) {
  Deploy({});
  auto refused = world.Do(Rollback{.to = 7});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kNotFound);
  refused = world.Do(Rollback{.to = 1});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kConflict);
}

TEST_F(ControllerTest, AnAbortTakesARunningRolloutBack) {
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

TEST_F(ControllerTest, AnAbortAfterTheSwitchIsRefused) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2"}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  auto refused = world.Do(Abort{});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kRefused);
}

TEST_F(ControllerTest, ADeadInstanceIsReplacedByANewOne) {
  Deploy({});
  world.fake.Exit(Named(world, "web-3"), 137);
  world.Settle();
  world.CheckSettled();
  EXPECT_THAT(world.Instances(), ElementsAre("api-1", "api-2", "web-4", "web-5"));
  for (const audit::Event& event : world.Events())
    if (event.kind == "instance.lost") {
      EXPECT_EQ(StringOr(event.detail.get_object(), "reason", ""), "exited with code 137");
    }
}

TEST_F(ControllerTest, AllInstancesGoneAtOnceAreOneFailure) {
  Deploy({});
  for (const auto& [id, status] : std::map(world.fake.instances())) world.fake.Vanish(id);
  world.Settle();
  world.CheckSettled();
  EXPECT_THAT(world.Instances(), ElementsAre("api-5", "api-6", "web-7", "web-8"));
  for (const auto& [id, fleet] : world.state().fleets) EXPECT_EQ(fleet.failures, 1u);
}

TEST_F(ControllerTest, ACrashLoopIsSlowedDownAndReportedAsDegraded) {
  Deploy({});
  world.fake.script = [](const platform::FleetSpec&, const platform::InstanceId&) {
    return platform::Script{.exits_after = Milliseconds(20), .exit_code = 2};
  };
  world.fake.Exit(Named(world, "web-3"), 2);
  const int before = world.fake.calls("Start");
  const SteadyTime end = world.clock.Steady() + Milliseconds(10'000);
  while (world.clock.Steady() < end)
    world.clock.Advance(std::clamp(world.Tick(), Milliseconds(1), Milliseconds(500)));
  // 100, 200, 400, … ms: about seven in ten seconds, where without backoff there would be hundreds.
  EXPECT_GE(world.fake.calls("Start") - before, 6);
  EXPECT_LE(world.fake.calls("Start") - before, 8);
  EXPECT_THAT(Kinds(world, "service."), ElementsAre("service.degraded"));
  const Json status = *world.controller->Status(World::Local());
  const JsonObject& web = status.at("services").at(1).get_object();
  EXPECT_EQ(StringOr(web, "name", ""), "web");
  EXPECT_TRUE(BoolOr(web, "degraded", false));
  EXPECT_EQ(StringOr(web, "reason", ""), "exited with code 2");
  EXPECT_EQ(world.Served(), 1u);
  world.fake.script = nullptr;
  ASSERT_TRUE(world.RunUntil([&] { return Kinds(world, "service.").size() == 2; }));
  EXPECT_THAT(Kinds(world, "service."), ElementsAre("service.degraded", "service.recovered"));
}

TEST_F(ControllerTest, AnActiveInstanceThatDiesDuringARolloutIsReplacedAndTheRolloutGoesOn) {
  Deploy({});
  world.fake.script = [](const platform::FleetSpec&, const platform::InstanceId&) {
    return platform::Script{.ready_after = Milliseconds(2'000)};
  };
  ASSERT_TRUE(world.DoApply({.web = "2"}));
  world.Tick();
  world.fake.Exit(Named(world, "api-1"), 1);
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 2u);
}

TEST_F(ControllerTest, ScaleHoldsUntilAnApplyChangesTheCount) {
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

TEST_F(ControllerTest, ScaleRefusesWhatItCannotDo) {
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

TEST_F(ControllerTest, DestroyEndsEverythingButTheHistory) {
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

// Which instances of api the platform has, by state.
std::string Apis(World& world) {
  std::string out;
  for (const auto& [id, status] : world.fake.instances())
    if (id.fleet().service() == "api")
      out += id.Short() + " " + std::string(platform::StateName(status.state)) + ";";
  return out;
}

TEST_F(ControllerTest, RecreateProvesTheRestFirstAndStopsTheOldBeforeTheNewStart) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2", .api = "2", .api_recreate = true}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kVerifying));
  EXPECT_EQ(Apis(world), "api-1 ready;api-2 ready;");
  ASSERT_TRUE(world.RunUntilPhase(Phase::kReplacing));
  EXPECT_EQ(Apis(world).find("api-1"), std::string::npos);
  EXPECT_EQ(world.Served(), 1u);
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 2u);
  EXPECT_EQ(Apis(world), "api-7 ready;api-8 ready;");
  // r1 is warm but for api, which a rollback starts again.
  EXPECT_EQ(world.state().live.at(1).role, Role::kWarm);
  ASSERT_TRUE(world.Do(Rollback{}));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_EQ(Apis(world), "api-9 ready;api-10 ready;");
  EXPECT_THAT(world.state().live.at(2).limits, ElementsAre(std::pair("api", 0u)));
}

TEST_F(ControllerTest, RecreateThatFailsBringsTheOldOnesBack) {
  Deploy({});
  world.fake.script = [](const platform::FleetSpec& spec, const platform::InstanceId&) {
    platform::Script script;
    script.stop_takes = Milliseconds(300);
    if (spec.environment.at("VERSION") == "bad") script.fails_after = Milliseconds(500);
    if (spec.environment.at("VERSION") == "bad") script.ready_after.reset();
    return script;
  };
  EXPECT_EQ(Deploy({.web = "2", .api = "bad", .api_recreate = true}), 1u);
  EXPECT_EQ(world.History()[0].phase, Phase::kReverted);
  EXPECT_THAT(world.History()[0].reason, HasSubstr("api-7 failed"));
  EXPECT_EQ(Apis(world), "api-9 ready;api-10 ready;");
  EXPECT_TRUE(world.state().live.at(1).limits.empty());
}

TEST_F(ControllerTest, RecreateIsNotBegunWhenTheRestIsNotProven) {
  Deploy({});
  world.fake.script = [](const platform::FleetSpec& spec, const platform::InstanceId&) {
    platform::Script script;
    if (spec.environment.at("VERSION") == "bad") script.fails_after = Milliseconds(5);
    if (spec.environment.at("VERSION") == "bad") script.ready_after.reset();
    return script;
  };
  EXPECT_EQ(Deploy({.web = "bad", .api = "2", .api_recreate = true}), 1u);
  EXPECT_EQ(Apis(world), "api-1 ready;api-2 ready;");
}

// Found by tests/model: what was started after the last look counts, too.
TEST_F(ControllerTest, RecreateDoesNotBringTheOldBackBesideANewOneThatWasStartedAMomentAgo) {
  Deploy({});
  int starts = 0;
  world.fake.script = [](const platform::FleetSpec&, const platform::InstanceId&) {
    return platform::Script{.stop_takes = Milliseconds(300)};
  };
  ASSERT_TRUE(world.DoApply({.api = "2", .api_recreate = true}));
  world.fake.before = [&](const std::string& function) -> Result<void> {
    if (function == "Start" && ++starts == 2) return Error(Code::kNotFound, "no such image");
    return {};
  };
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_THAT(world.History()[0].reason, HasSubstr("cannot be started: no such image"));
}

TEST_F(ControllerTest, RecreateEndsAWarmFleetAsWell) {
  Deploy({});
  Deploy({.api = "2"});  // r1 stays warm, with instances
  EXPECT_EQ(Deploy({.api = "3", .api_recreate = true}), 3u);
  EXPECT_EQ(world.History()[0].phase, Phase::kCompleted);
  EXPECT_EQ(Apis(world), "api-7 ready;api-8 ready;");
}

TEST_F(ControllerTest, RecreateAbortedHalfwayComesBack) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.api = "2", .api_recreate = true}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kReplacing));
  ASSERT_TRUE(world.Do(Abort{}));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_EQ(Apis(world).find("unknown"), std::string::npos);
  EXPECT_EQ(world.Instances().size(), 4u);
}

TEST_F(ControllerTest, ARecreatedReleaseThatFallsOverIsTakenBack) {
  Deploy({});
  world.fake.script = [](const platform::FleetSpec& spec, const platform::InstanceId&) {
    platform::Script script;
    if (spec.environment.at("VERSION") == "bad") script.exits_after = Milliseconds(400);
    return script;
  };
  ASSERT_TRUE(world.DoApply({.api = "bad", .api_recreate = true}));
  ASSERT_TRUE(world.RunUntil([&] { return world.History()[0].phase == Phase::kReverted; }));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_THAT(world.History()[0].reason, HasSubstr("keep dying"));
  EXPECT_EQ(world.Instances().size(), 4u);
}

TEST_F(ControllerTest, AWarmRevisionsWorkersDoNoWork) {
  Shop shop{.worker = true};
  Deploy(shop);
  EXPECT_EQ(world.Instances().size(), 5u);
  shop.web = "2";
  shop.api = "2";
  Deploy(shop);
  int mailers = 0;
  for (const std::string& name : world.Instances()) mailers += name.starts_with("mailer") ? 1 : 0;
  EXPECT_EQ(mailers, 1);
  ASSERT_TRUE(world.Do(Rollback{}));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
}

TEST_F(ControllerTest, WhoAsksIsStoppedBeforeWhoIsAsked) {
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

TEST_F(ControllerTest, AJumpOfTheWallClockEndsNoWindow) {
  Deploy({});
  Deploy({.web = "2"});
  world.clock.JumpWall(Milliseconds(86'400'000));
  world.Tick();
  EXPECT_EQ(world.state().live.at(1).role, Role::kWarm);
  world.clock.JumpWall(Milliseconds(-2 * 86'400'000));
  world.Restart();
  world.Tick();
  EXPECT_EQ(world.state().live.at(1).role, Role::kWarm);
  world.clock.Advance(Milliseconds(600'000));
  world.Settle();
  EXPECT_FALSE(world.state().live.contains(1));
}

TEST_F(ControllerTest, AnUnavailableAuditRecordLosesNoEvent) {
  world.sink.FailAppend(Error(Code::kNoSpace, "full"));
  Deploy({});
  EXPECT_EQ(*world.sink.Last(), 0u);
  world.Restart();
  world.sink.FailAppend(std::nullopt);
  world.Tick();
  EXPECT_EQ(Kinds(world, "rollout.").size(), 7u);
}

TEST_F(ControllerTest, AJournalThatFailsHoldsBackEveryEffect) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2"}));
  world.journal.before = [](const std::string&) -> Result<void> { return Error(Code::kNoSpace, "full"); };
  const int starts = world.fake.calls("Start");
  for (int i = 0; i < 50; ++i) world.clock.Advance(std::max(world.Tick(), Milliseconds(1)));
  EXPECT_EQ(world.fake.calls("Start"), starts);
  EXPECT_EQ(world.Served(), 1u);
  world.journal.before = nullptr;
  world.Settle();
  EXPECT_EQ(world.Served(), 2u);
}

TEST_F(ControllerTest, StatusAndHistoryTellWhatServes) {
  Deploy({});
  Deploy({.web = "2"});
  const Json status = *world.controller->Status(World::Local());
  EXPECT_EQ(status.at("active").as_uint64(), 2u);
  EXPECT_EQ(status.at("rollout").at("phase").as_string(), "baking");
  EXPECT_EQ(status.at("services").at(1).at("ready").as_uint64(), 2u);
  EXPECT_EQ(status.at("services").at(1).at("desired").as_uint64(), 2u);
  EXPECT_EQ(status.at("services").at(1).at("instances").at(0).at("name").as_string(), "web-5");
  EXPECT_EQ(status.at("fleets").at(0).at("role").as_string(), "warm");
  EXPECT_EQ(status.at("routes").at(0).at("listen").as_string(), ":8000");
  EXPECT_TRUE(status.at("routes_in_effect").as_bool());
  const Json history = *world.controller->History(World::Local());
  EXPECT_EQ(history.at("revisions").as_array().size(), 2u);
  EXPECT_EQ(history.at("revisions").at(0).at("role").as_string(), "active");
  EXPECT_EQ(history.at("rollouts").at(1).at("phase").as_string(), "completed");
  auto unknown = world.controller->Status({"shop", "nowhere"});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace ingot::rollout
