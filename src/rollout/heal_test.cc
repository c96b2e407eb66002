// What happens to instances, and to the daemon's surroundings, outside a rollout.
#include <algorithm>
#include <set>

#include "rollout/controller.h"
#include "rollout/controller_fixture.h"

namespace ingot::rollout {
namespace {

using ::testing::ElementsAre;
using testing::Kinds;
using testing::Named;
using testing::World;

class HealTest : public testing::ControllerTest {};

TEST_F(HealTest, ADeadInstanceIsReplacedByANewOne) {
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

TEST_F(HealTest, AllInstancesGoneAtOnceAreOneFailure) {
  Deploy({});
  for (const auto& [id, status] : std::map(world.fake.instances())) world.fake.Vanish(id);
  world.Settle();
  world.CheckSettled();
  EXPECT_THAT(world.Instances(), ElementsAre("api-5", "api-6", "web-7", "web-8"));
  for (const auto& [id, fleet] : world.state().fleets) EXPECT_EQ(fleet.failures, 1u);
}

TEST_F(HealTest, ACrashLoopIsSlowedDownAndReportedAsDegraded) {
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

TEST_F(HealTest, AnActiveInstanceThatDiesDuringARolloutIsReplacedAndTheRolloutGoesOn) {
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

TEST_F(HealTest, AJumpOfTheWallClockEndsNoWindow) {
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

TEST_F(HealTest, AnUnavailableAuditRecordLosesNoEvent) {
  world.sink.FailAppend(Error(Code::kNoSpace, "full"));
  Deploy({});
  EXPECT_EQ(*world.sink.Last(), 0u);
  world.Restart();
  world.sink.FailAppend(std::nullopt);
  world.Tick();
  EXPECT_EQ(Kinds(world, "rollout.").size(), 7u);
}

TEST_F(HealTest, AJournalThatFailsHoldsBackEveryEffect) {
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

TEST_F(HealTest, StatusAndHistoryTellWhatServes) {
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
