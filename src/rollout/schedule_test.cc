// Schedules of scaling, from the definition to what is asked for.
#include "rollout/controller.h"
#include "rollout/controller_fixture.h"

namespace ingot::rollout {
namespace {

using ::testing::HasSubstr;
using testing::Shop;

class ScaleScheduleTest : public testing::ControllerTest {
 protected:
  // The clock begins at 22:13 of a Tuesday.
  static Shop Office(uint32_t cpu, bool canary = false) {
    definition::ResolvedScale scale{.min = 2, .max = 12, .cpu = cpu};
    scale.schedules = {{"0 8 * * 1-5", 6, 12}, {"0 20 * * 1-5", 2, 4}};
    return {.web_canary = canary, .steps = {{10, Milliseconds(0), true}}, .web_scale = scale};
  }
  void SetHour(int hour) {
    const auto day = std::chrono::floor<std::chrono::days>(world.clock.Now());
    world.clock.JumpWall(
        std::chrono::duration_cast<Milliseconds>(day + std::chrono::hours(hour) - world.clock.Now()));
  }
  // What the daemon does each second, without any load.
  void Ask() {
    for (const ScaledService& service : world.controller->Scaled()) {
      const auto verdict = scaler.Look(service, {}, world.clock.Steady());
      if (verdict)
        (void)world.controller->Submit(
            {service.environment, "autoscaler", Scale{service.service, verdict->count, verdict->reason}});
    }
    world.Settle();
  }
  size_t Webs() {
    size_t count = 0;
    for (const std::string& name : world.Instances()) count += name.starts_with("web") ? 1 : 0;
    return count;
  }
  Autoscaler scaler;
};

TEST_F(ScaleScheduleTest, TheCountIsThatOfTheScheduleInForce) {
  Deploy(Office(0));
  Ask();
  EXPECT_EQ(Webs(), 2u);
  SetHour(8);
  Ask();
  EXPECT_EQ(Webs(), 6u);
  std::string reason;
  for (const audit::Event& event : world.Events())
    if (event.kind == "service.scaled") reason = StringOr(event.detail.as_object(), "reason", "");
  EXPECT_EQ(reason, "the bounds are 6 to 6 by \"0 8 * * 1-5\"");
  // By hand is by nobody's leave.
  const auto refused = world.Do(Scale{"web", 7, ""});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("says 6 to 6 instances by \"0 8 * * 1-5\", not 7"));
  SetHour(20);
  Ask();
  EXPECT_EQ(Webs(), 2u);
  EXPECT_EQ(world.state().active, 1u);
}

TEST_F(ScaleScheduleTest, BetweenTheBoundsOfTheScheduleTheLoadDecides) {
  Deploy(Office(60));
  Ask();
  EXPECT_EQ(Webs(), 2u);
  ASSERT_TRUE(world.Do(Scale{"web", 4, ""}));
  ASSERT_FALSE(world.Do(Scale{"web", 5, ""}));
  SetHour(8);
  Ask();
  EXPECT_EQ(Webs(), 6u);
  ASSERT_TRUE(world.Do(Scale{"web", 9, ""}));
  ASSERT_FALSE(world.Do(Scale{"web", 5, ""}));
  SetHour(20);
  Ask();
  EXPECT_EQ(Webs(), 4u);
}

TEST_F(ScaleScheduleTest, ADaemonThatWasAwayFindsWhatIsInForce) {
  Deploy(Office(0));
  world.controller.reset();
  SetHour(9);
  world.Open();
  world.Tick();
  Ask();
  EXPECT_EQ(Webs(), 6u);
}

TEST_F(ScaleScheduleTest, ARolloutIsNotDisturbed) {
  Deploy(Office(0, true));
  Shop next = Office(0, true);
  next.web = "2";
  ASSERT_TRUE(world.DoApply(next));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kStepping));
  SetHour(8);
  EXPECT_TRUE(world.controller->Scaled().empty());
  ASSERT_TRUE(world.Do(Advance{}));
  world.Settle();
  Ask();
  EXPECT_EQ(world.Served(), 2u);
  EXPECT_EQ(world.state().live.at(2).replicas.at("web"), 6u);
}

TEST_F(ScaleScheduleTest, StatusShowsTheBoundsInForce) {
  Deploy(Office(60));
  SetHour(9);
  const Json status = *world.controller->Status(World::Local());
  const JsonObject& web = status.at("services").at(1).get_object();
  EXPECT_EQ(web.at("scale").at("min").as_uint64(), 6u);
  EXPECT_EQ(web.at("scale").at("max").as_uint64(), 12u);
  EXPECT_EQ(web.at("scale").at("schedule").as_string(), "0 8 * * 1-5");
  EXPECT_THAT(std::string(web.at("scale").at("until").as_string()), HasSubstr("T20:00:00"));
  EXPECT_TRUE(status.at("services").at(0).at("scale").is_null());
}

}  // namespace
}  // namespace ingot::rollout
