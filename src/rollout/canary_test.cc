// Canaries: shares of the traffic in steps, and what a person says meanwhile.
#include "rollout/controller_fixture.h"

namespace ingot::rollout {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Kinds;
using testing::Named;
using ::testing::Pair;
using testing::Shop;
using testing::World;

class CanaryTest : public testing::ControllerTest {
 protected:
  // What web's listener gives to the new fleet, per mille.
  uint32_t Outside() {
    const auto routes = world.fake.Routes(World::Local());
    return routes.outside.at(0).split ? routes.outside.at(0).split->per_mille : 0;
  }
  // What an asker of web's fleet in this revision gives to another fleet of api.
  uint32_t FromWeb(uint64_t revision) {
    const auto asker = world.state().RevisionOf(revision).FleetOf("web")->spec.id;
    for (const auto& route : world.fake.Routes(World::Local()).inside)
      if (route.asker == asker) return route.split ? route.split->per_mille : 0;
    return 0;
  }
  bool RunUntilStep(uint32_t step) {
    return world.RunUntil([&] {
      const auto& rollout = world.state().rollout;
      return rollout && rollout->step == step && rollout->step_in_effect;
    });
  }
  Milliseconds Passed(SteadyTime since) {
    return std::chrono::duration_cast<Milliseconds>(world.clock.Steady() - since);
  }
};

const definition::ResolvedStep kManual{20, Milliseconds(0), true};

TEST_F(CanaryTest, StepsAndThenSwitches) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2", .web_canary = true}));
  ASSERT_TRUE(RunUntilStep(1));
  const SteadyTime first = world.clock.Steady();
  EXPECT_EQ(Outside(), 100u);
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_EQ(world.state().active, 1u);
  ASSERT_TRUE(RunUntilStep(2));
  EXPECT_GE(Passed(first), Milliseconds(1'000));
  EXPECT_EQ(Outside(), 500u);
  const SteadyTime second = world.clock.Steady();
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_GE(Passed(second), Milliseconds(2'000));
  EXPECT_EQ(Outside(), 0u);
  EXPECT_EQ(world.Served(), 2u);
  world.Settle();
  world.CheckSettled();
  EXPECT_THAT(Kinds(world, "rollout."), ::testing::IsSupersetOf({"rollout.stepping", "rollout.step",
                                                                 "rollout.shifting", "rollout.baking"}));
}

TEST_F(CanaryTest, AStepOfNothingLeadsWhoKnowsThePreview) {
  Deploy({});
  Shop shop{.web = "2", .web_canary = true, .steps = {{0, Milliseconds(0), true}}};
  ASSERT_TRUE(world.DoApply(shop));
  ASSERT_TRUE(RunUntilStep(1));
  EXPECT_FALSE(world.fake.Routes(World::Local()).outside.at(0).split) << "there is no preview";
  ASSERT_TRUE(world.Do(Abort{}));
  world.Settle();
  shop.preview = true;
  ASSERT_TRUE(world.DoApply(shop));
  ASSERT_TRUE(RunUntilStep(1));
  const auto split = world.fake.Routes(World::Local()).outside.at(0).split;
  ASSERT_TRUE(split);
  EXPECT_EQ(split->per_mille, 0u);
  EXPECT_EQ(split->fleet, world.state().RevisionOf(3).FleetOf("web")->spec.id);
  EXPECT_EQ(DesiredOf(world.state()).topology.services.at(1).preview.value, "secret");
  ASSERT_TRUE(world.Do(Advance{}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(world.Served(), 3u);
}

TEST_F(CanaryTest, BlueGreenServicesSwitchWithTheLastStep) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2", .api = "2", .api_canary = true}));
  ASSERT_TRUE(RunUntilStep(2));
  // web does not step: what it asks of api is divided.
  EXPECT_EQ(Outside(), 0u);
  EXPECT_EQ(FromWeb(1), 500u);
  EXPECT_EQ(FromWeb(2), 0u);
  EXPECT_EQ(world.Served(), 1u);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(world.Served(), 2u);
}

TEST_F(CanaryTest, AnUnchangedAskerGivesTheNewFleetItsShare) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.api = "2", .api_canary = true}));
  ASSERT_TRUE(RunUntilStep(1));
  EXPECT_EQ(FromWeb(1), 100u);
}

TEST_F(CanaryTest, ARequestOfTwoCanariesStaysWithinItsRevision) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2", .api = "2", .web_canary = true, .api_canary = true}));
  ASSERT_TRUE(RunUntilStep(1));
  EXPECT_EQ(Outside(), 100u);
  EXPECT_EQ(FromWeb(1), 0u);
  EXPECT_EQ(FromWeb(2), 0u);
}

TEST_F(CanaryTest, AServiceThatStopsFirstDoesSoAfterTheLastStep) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2", .api = "2", .api_recreate = true, .web_canary = true}));
  ASSERT_TRUE(RunUntilStep(2));
  EXPECT_THAT(world.Instances(), ::testing::IsSupersetOf({"api-1", "api-2"}));
  EXPECT_EQ(FromWeb(2), 0u);
  EXPECT_EQ(Outside(), 500u);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kReplacing));
  EXPECT_EQ(Outside(), 500u);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(world.Served(), 2u);
}

TEST_F(CanaryTest, ACanaryThatDiesTakesEverythingBack) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2", .api = "2", .web_canary = true}));
  ASSERT_TRUE(RunUntilStep(2));
  for (const auto& [id, status] : std::map(world.fake.instances()))
    if (id.fleet() == world.state().RevisionOf(2).FleetOf("web")->spec.id) {
      world.fake.Exit(id, 3);
      break;
    }
  ASSERT_TRUE(world.RunUntil([&] { return Outside() == 0; }));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_THAT(world.Instances(), ElementsAre("api-1", "api-2", "web-3", "web-4"));
  EXPECT_EQ(world.History()[0].phase, Phase::kReverted);
  EXPECT_THAT(world.History()[0].reason, HasSubstr("exited with code 3"));
}

TEST_F(CanaryTest, WeightsThatCannotBeWrittenAreTakenBack) {
  Deploy({});
  world.fake.before = [&](const std::string& function) -> Result<void> {
    const auto& rollout = world.journal.last.rollout;
    if (function == "ApplyRoutes" && rollout && rollout->phase == Phase::kStepping)
      return Error(Code::kRefused, "no");
    return {};
  };
  ASSERT_TRUE(world.DoApply({.web = "2", .web_canary = true}));
  world.Settle();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_THAT(world.History()[0].reason, HasSubstr("traffic cannot be shifted"));
}

TEST_F(CanaryTest, AStepWaitsForAdvance) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2", .web_canary = true, .steps = {kManual}}));
  ASSERT_TRUE(RunUntilStep(1));
  EXPECT_FALSE(world.RunUntil([&] { return world.Served() == 2; }, Milliseconds(3'600'000)));
  EXPECT_EQ(Outside(), 200u);
  auto advanced = world.Do(Advance{});
  ASSERT_TRUE(advanced) << advanced.error().Render();
  EXPECT_EQ(advanced->rollout, 2u);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  auto again = world.Do(Advance{});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), Code::kRefused);
}

TEST_F(CanaryTest, APauseHoldsAStepAndAResumeGoesOn) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2", .web_canary = true}));
  ASSERT_TRUE(RunUntilStep(1));
  ASSERT_TRUE(world.Do(Pause{}));
  EXPECT_FALSE(RunUntilStep(2));
  auto twice = world.Do(Pause{});
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code(), Code::kConflict);
  EXPECT_THAT(twice.error().message(), HasSubstr("paused already, by test"));
  // One step on, and the pause stays.
  ASSERT_TRUE(world.Do(Advance{}));
  ASSERT_TRUE(RunUntilStep(2));
  EXPECT_FALSE(world.RunUntilPhase(Phase::kBaking));
  ASSERT_TRUE(world.Do(Resume{}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_FALSE(world.Do(Resume{}));
  EXPECT_THAT(Kinds(world, "rollout."),
              ::testing::IsSupersetOf({"rollout.paused", "rollout.advanced", "rollout.resumed"}));
}

TEST_F(CanaryTest, APauseHoldsASwitch) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2"}));
  ASSERT_TRUE(world.Do(Pause{}));
  EXPECT_FALSE(world.RunUntilPhase(Phase::kShifting));
  EXPECT_EQ(world.state().rollout->phase, Phase::kVerifying);
  auto advanced = world.Do(Advance{});
  ASSERT_FALSE(advanced);
  EXPECT_THAT(advanced.error().message(), HasSubstr("it has no step to go on from; `ingot rollout resume`"));
  ASSERT_TRUE(world.Do(Resume{}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(world.Served(), 2u);
}

TEST_F(CanaryTest, APausedCanaryIsTakenBackWhenItDiesOrIsAborted) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2", .web_canary = true}));
  ASSERT_TRUE(RunUntilStep(1));
  ASSERT_TRUE(world.Do(Pause{}));
  ASSERT_TRUE(world.Do(Abort{}));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_EQ(Outside(), 0u);
  EXPECT_EQ(world.History()[0].reason, "aborted by test");
}

TEST_F(CanaryTest, AKilledDaemonGoesOnWithTheStepItWasIn) {
  Deploy({});
  ASSERT_TRUE(
      world.DoApply({.web = "2", .web_canary = true, .steps = {kManual, {60, Milliseconds(0), true}}}));
  ASSERT_TRUE(RunUntilStep(1));
  ASSERT_TRUE(world.Do(Advance{}));
  ASSERT_TRUE(RunUntilStep(2));
  world.Restart();
  world.Tick();
  EXPECT_EQ(Outside(), 600u);
  EXPECT_EQ(world.state().rollout->step, 2u);
  ASSERT_TRUE(world.Do(Advance{}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
}

TEST_F(CanaryTest, ARollbackSwitchesAtOnce) {
  Deploy({.web_canary = true});
  Deploy({.web = "2", .web_canary = true});
  const SteadyTime begin = world.clock.Steady();
  ASSERT_TRUE(world.Do(Rollback{}));
  ASSERT_TRUE(world.RunUntil([&] { return world.Served() == 1; }));
  EXPECT_LT(Passed(begin), Milliseconds(100));
}

TEST_F(CanaryTest, TheStateWithAStepRoundTrips) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2", .web_canary = true}));
  ASSERT_TRUE(RunUntilStep(1));
  ASSERT_TRUE(world.Do(Pause{}));
  EXPECT_THAT(world.state().rollout->weights, ElementsAre(Pair("web", 100)));
  auto again = StateFromJson(ToJson(world.state()));
  ASSERT_TRUE(again) << again.error().Render();
  EXPECT_EQ(again->rollout, world.state().rollout);
}

}  // namespace
}  // namespace ingot::rollout
