// Replacement by age.
#include "rollout/controller.h"
#include "rollout/controller_fixture.h"

namespace ingot::rollout {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::Killed;
using testing::Shop;
using ::testing::UnorderedElementsAre;
using testing::World;

constexpr Milliseconds kAge{60'000};

class AgingTest : public testing::ControllerTest {
 protected:
  // Lives on for `time`; the most and the fewest instances of api that were ready meanwhile.
  std::pair<size_t, size_t> Live(Milliseconds time) {
    std::pair<size_t, size_t> range(0, SIZE_MAX);
    const SteadyTime end = world.clock.Steady() + time;
    world.RunUntil([&] {
      const size_t ready = Apis(platform::InstanceState::kReady);
      range = {std::max(range.first, ready), std::min(range.second, ready)};
      return world.clock.Steady() >= end;
    });
    return range;
  }
  size_t Apis(std::optional<platform::InstanceState> state = {}) {
    size_t count = 0;
    for (const auto& [id, status] : world.fake.instances())
      count += id.fleet().service() == "api" && (!state || status.state == *state) ? 1 : 0;
    return count;
  }
  std::vector<std::string> Aged() {
    std::vector<std::string> out;
    for (const audit::Event& event : world.Events())
      if (event.kind == "instance.aged")
        out.push_back(
            platform::InstanceId::Parse(StringOr(event.detail.as_object(), "instance", ""))->Short());
    return out;
  }
};

TEST_F(AgingTest, EachInstanceIsReplacedAtItsAgeByOneOfTheSameFleet) {
  Deploy({.max_age = kAge});
  EXPECT_EQ(Live(kAge * 9 / 10 - Milliseconds(1'000)), std::pair(2ul, 2ul));
  EXPECT_THAT(Aged(), IsEmpty());
  EXPECT_EQ(Live(kAge / 10 + Milliseconds(2'000)), std::pair(2ul, 2ul));
  EXPECT_EQ(Aged().size(), 4u);  // two of each service
  world.Settle();
  world.CheckSettled();
  EXPECT_THAT(world.Instances(), ElementsAre("api-6", "api-8", "web-5", "web-7"));
  EXPECT_EQ(world.state().active, 1u);
  EXPECT_EQ(world.state().next_rollout, 2u) << "no rollout";
}

TEST_F(AgingTest, AnInstanceIsDueWithinTheLastTenthOfItsAge) {
  std::set<WallTime> due;
  for (uint64_t ordinal = 1; ordinal <= 1'000; ++ordinal) {
    const WallTime at = DueOf({.ordinal = ordinal}, kAge);
    EXPECT_LE(at, WallTime(kAge));
    EXPECT_GT(at, WallTime(kAge * 9 / 10));
    due.insert(at);
  }
  EXPECT_EQ(due.size(), 1'000u);
}

TEST_F(AgingTest, TheOldOneServesUntilItsSuccessorIsReady) {
  Deploy({.max_age = kAge});
  world.fake.script = [](const auto&, const auto&) {
    return platform::Script{.ready_after = Milliseconds(4'000)};
  };
  EXPECT_EQ(Live(kAge).second, 2u);
  EXPECT_EQ(world.state().fleets.size(), 2u);
  EXPECT_GE(Aged().size(), 2u);
}

TEST_F(AgingTest, ASuccessorThatDiesCallsItOff) {
  Deploy({.max_age = kAge});
  world.fake.script = [](const auto&, const auto&) {
    platform::Script script;
    script.ready_after.reset();
    script.fails_after = Milliseconds(50);
    return script;
  };
  EXPECT_EQ(Live(kAge + Milliseconds(1'000)), std::pair(2ul, 2ul));
  world.Settle();
  EXPECT_THAT(world.Instances(), ElementsAre("api-1", "api-2", "web-3", "web-4"));
  EXPECT_EQ(Aged().size(), 2u);
  // It is tried again when the service has been well for a while.
  world.fake.script = nullptr;
  Live(2 * kAge);
  EXPECT_GE(Aged().size(), 6u);
  EXPECT_EQ(Apis(), 2u);
}

TEST_F(AgingTest, NothingAgesWhileARolloutIsUnderWay) {
  Deploy({.max_age = kAge});
  ASSERT_TRUE(world.DoApply(
      {.web = "2", .web_canary = true, .steps = {{10, Milliseconds(0), true}}, .max_age = kAge}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kStepping));
  Live(3 * kAge);
  EXPECT_THAT(Aged(), IsEmpty());
  ASSERT_TRUE(world.Do(Advance{}));
  Live(kAge / 2);
  // Of what serves; the warm fleet, web-3 and web-4, is left as it is.
  EXPECT_EQ(world.state().live.at(1).role, Role::kWarm);
  EXPECT_THAT(Aged(), UnorderedElementsAre("api-1", "api-2", "web-5", "web-6"));
}

TEST_F(AgingTest, ARolloutThatBeginsHasPrecedence) {
  Deploy({.max_age = kAge});
  world.fake.script = [](const auto&, const auto&) {
    return platform::Script{.ready_after = Milliseconds(3'000)};
  };
  ASSERT_TRUE(world.RunUntil([&] { return Apis() == 3; }));
  ASSERT_TRUE(world.DoApply({.web = "2", .max_age = kAge}));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 2u);
  EXPECT_EQ(Apis(), 2u);
}

TEST_F(AgingTest, WhatStopsFirstIsNeverThereTwice) {
  Deploy({.api_replicas = 1, .worker = true, .api_recreate = true, .max_age = kAge});
  const auto name = world.Instances()[0];
  world.fake.script = [](const auto&, const auto&) {
    return platform::Script{.stop_takes = Milliseconds(700)};
  };
  size_t most = 0;
  world.RunUntil([&] {
    most = std::max(most, Apis());
    return !Aged().empty() && Apis(platform::InstanceState::kReady) == 1 && world.Instances()[0] != name;
  });
  EXPECT_EQ(most, 1u);
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(Apis(), 1u);
}

TEST_F(AgingTest, WhatStopsFirstWaitsForTheOldOneAlsoAfterAKill) {
  Deploy({.api_replicas = 1, .api_recreate = true, .max_age = kAge});
  ASSERT_TRUE(world.RunUntil([&] { return !Aged().empty(); }));
  for (int i = 0; i < 5; ++i) {
    world.Restart();
    world.Tick();
  }
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(Apis(), 1u);
}

TEST_F(AgingTest, TheAgeSurvivesARestart) {
  Deploy({.max_age = kAge});
  Live(kAge / 2);
  world.Restart();
  Live(kAge / 2 + Milliseconds(2'000));
  EXPECT_EQ(Aged().size(), 4u);
}

TEST_F(AgingTest, AKillAnywhereLosesAndDoublesNothing) {
  for (int step = 1; step <= 8; ++step) {
    World lives;
    ASSERT_TRUE(lives.DoApply({.max_age = kAge}));
    lives.Settle();
    int left = step;
    const auto count = [&] {
      if (left > 0 && --left == 0) throw Killed{};
    };
    lives.journal.after = [&](const std::string&) { count(); };
    lives.fake.after = [&](const std::string& function) -> Result<void> {
      if (function == "Start" || function == "Stop") count();
      return {};
    };
    lives.RunUntil([] { return false; }, kAge + Milliseconds(5'000));
    EXPECT_EQ(lives.kills, 1) << step;
    lives.Settle();
    lives.CheckSettled();
    EXPECT_EQ(lives.Instances().size(), 4u) << step;
    EXPECT_EQ(testing::Kinds(lives, "instance.aged").size(), 4u) << step;
    EXPECT_THAT(lives.violations(), IsEmpty()) << step;
  }
}

TEST_F(AgingTest, AnotherAgeIsNoRevision) {
  Deploy({});
  auto accepted = world.DoApply({.max_age = kAge});
  ASSERT_TRUE(accepted);
  EXPECT_EQ(accepted->kind, Accepted::Kind::kScaled);
  EXPECT_EQ(world.DoApply({.max_age = kAge})->kind, Accepted::Kind::kNothing);
  Live(kAge + Milliseconds(2'000));
  EXPECT_EQ(Aged().size(), 4u);
  // And none again: what is under way is called off.
  world.fake.script = [](const auto&, const auto&) {
    return platform::Script{.ready_after = Milliseconds(3'000)};
  };
  ASSERT_TRUE(world.RunUntil([&] { return Apis() == 3; }));
  EXPECT_EQ(world.DoApply({})->kind, Accepted::Kind::kScaled);
  world.Settle();
  EXPECT_EQ(Apis(), 2u);
  EXPECT_EQ(world.state().active, 1u);
  EXPECT_THAT(testing::Kinds(world, "revision.max_age").size(), 2u);
}

TEST_F(AgingTest, ACountThatChangesMeanwhileHolds) {
  Deploy({.max_age = kAge});
  world.fake.script = [](const auto&, const auto&) {
    return platform::Script{.ready_after = Milliseconds(3'000)};
  };
  ASSERT_TRUE(world.RunUntil([&] { return Apis() == 3; }));
  ASSERT_TRUE(world.Do(Scale{"api", 1, ""}));
  world.Settle();
  EXPECT_EQ(Apis(), 1u);
  ASSERT_TRUE(world.Do(Scale{"api", 0, ""}));
  Live(kAge);
  EXPECT_EQ(Apis(), 0u);
}

}  // namespace
}  // namespace ingot::rollout
