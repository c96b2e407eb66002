// Rollouts as a whole: each way through the state machine.
#include "rollout/controller.h"

#include <algorithm>
#include <set>

#include "rollout/controller_fixture.h"

namespace ingot::rollout {
namespace {

using platform::InstanceState;
using testing::ControllerTest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Kinds;
using testing::Named;
using testing::ResolvedOf;
using testing::Shop;
using testing::World;

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

TEST_F(ControllerTest, AServerElsewhereIsInTheTopologyBeforeItGetsItsShare) {
  Deploy({});
  definition::Resolved next = ResolvedOf({});
  next.routes[0].outside = definition::ResolvedOutside{"10.0.0.7", 8080, 90};
  ASSERT_TRUE(world.Do(Apply{next}));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 2u);
  EXPECT_THAT(world.fake.TopologyOf(World::Local()).servers,
              ElementsAre(platform::Topology::Server{":8000", "", "", false, "10.0.0.7", 8080}));
  const platform::RouteTable routes = world.fake.Routes(World::Local());
  ASSERT_EQ(routes.outside.size(), 1u);
  EXPECT_EQ(routes.outside[0].server, (platform::ServerShare{"10.0.0.7", 8080, 900}));
  // And back.
  ASSERT_TRUE(world.DoApply({}));
  world.Settle();
  world.CheckSettled();
  EXPECT_FALSE(world.fake.Routes(World::Local()).outside[0].server.has_value());
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

}  // namespace
}  // namespace ingot::rollout
