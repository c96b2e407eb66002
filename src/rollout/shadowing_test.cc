// Shadows in a rollout: copies before anybody is served, and what follows from their answers.
#include "rollout/controller_fixture.h"

namespace ingot::rollout {
namespace {

using ::testing::HasSubstr;
using testing::Kinds;
using testing::Shop;
using testing::World;

class ShadowingTest : public testing::ControllerTest {
 protected:
  void SetUp() override {
    Deploy({});
    definition::ResolvedShadow shadow;
    shadow.share = 50;
    shadow.differences = 100;
    shadow.errors = 100;
    shadow.least = 100;
    shadow.methods = {"GET", "HEAD"};
    shadow.timeout = Milliseconds(5'000);
    next_ = {.web = "2", .web_canary = true, .steps = {{0, Milliseconds(2'000), false, {}, shadow}}};
  }
  platform::FleetId Fleet(const std::string& service = "web") {
    return world.state().RevisionOf(2).FleetOf(service)->spec.id;
  }
  void Count(uint64_t same, uint64_t other_status, uint64_t timed_out = 0) {
    auto& shadow = world.fake.counters()[Fleet()].shadow;
    shadow.same += same;
    shadow.other_status += other_status;
    shadow.timed_out += timed_out;
  }
  bool RunUntilStep(uint32_t step) {
    return world.RunUntil([&] {
      const auto& rollout = world.state().rollout;
      return rollout && rollout->step == step && rollout->step_in_effect;
    });
  }
  bool Begin() { return world.DoApply(next_).has_value() && RunUntilStep(1); }
  JsonObject EventOf(const std::string& kind) {
    for (const audit::Event& event : world.Events())
      if (event.kind == kind) return event.detail.as_object();
    return {};
  }
  Shop next_;
};

TEST_F(ShadowingTest, CopiesWithoutServingAndThenSwitches) {
  ASSERT_TRUE(Begin());
  const auto split = world.fake.Routes(World::Local()).outside.at(0).split;
  ASSERT_TRUE(split);
  EXPECT_EQ(split->fleet, Fleet());
  EXPECT_EQ(split->per_mille, 0u);
  EXPECT_EQ(split->shadow, 500u);
  const auto shadow = world.fake.TopologyOf(World::Local()).services.at(1).shadow;
  EXPECT_THAT(shadow.methods, ::testing::ElementsAre("GET", "HEAD"));
  EXPECT_TRUE(shadow.bodies);
  EXPECT_EQ(shadow.timeout, Milliseconds(5'000));
  Count(1'000, 2);
  const SteadyTime begin = world.clock.Steady();
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_GE(world.clock.Steady() - begin, Milliseconds(1'900));
  EXPECT_EQ(world.Served(), 2u);
  EXPECT_FALSE(world.fake.Routes(World::Local()).outside.at(0).split);
  const JsonObject event = EventOf("rollout.shadow");
  EXPECT_EQ(event.at("outcome"), "success");
  EXPECT_EQ(event.at("service"), "web");
  EXPECT_EQ(event.at("same"), 1'000);
  EXPECT_EQ(event.at("other_status"), 2);
}

TEST_F(ShadowingTest, DifferencesRevertAtOnceWithTheNumbers) {
  ASSERT_TRUE(Begin());
  const SteadyTime begin = world.clock.Steady();
  Count(100, 100);
  ASSERT_TRUE(world.RunUntil([&] { return !world.fake.Routes(World::Local()).outside[0].split; }));
  EXPECT_LE(world.clock.Steady() - begin, Milliseconds(200));
  world.Settle();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_THAT(world.History()[0].reason,
              HasSubstr("shadow of web failed in step 1: 100 of 200 answers differ (50 %"));
  EXPECT_EQ(EventOf("rollout.shadow").at("outcome"), "failure");
}

TEST_F(ShadowingTest, ALittleTooManyRevertWhenTheTimeIsOver) {
  ASSERT_TRUE(Begin());
  Count(197, 3);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kReverting));
  world.Settle();
  EXPECT_EQ(world.Served(), 1u);
}

TEST_F(ShadowingTest, AFleetThatHangsReverts) {
  ASSERT_TRUE(Begin());
  Count(0, 0, 100);
  world.Settle();
  EXPECT_THAT(world.History()[0].reason, HasSubstr("100 of 100 copies had no answer"));
}

TEST_F(ShadowingTest, TooFewHoldTheStepAndSaySo) {
  ASSERT_TRUE(Begin());
  Count(50, 0);
  ASSERT_TRUE(world.RunUntil([&] { return !world.state().rollout->held.empty(); }));
  EXPECT_EQ(world.state().rollout->held, "shadow of web: too few answers to compare: 50 of at least 100");
  const Json status = *world.controller->RolloutStatus(World::Local());
  EXPECT_EQ(status.at("shadows").at(0).at("same"), 50);
  EXPECT_EQ(status.at("shadows").at(0).at("outcome"), "inconclusive");
  EXPECT_EQ(world.Served(), 1u);
  Count(50, 0);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
}

TEST_F(ShadowingTest, WhatCannotBeCountedIsNotFine) {
  ASSERT_TRUE(Begin());
  Count(1'000, 0);
  world.fake.before = [](const std::string& function) -> Result<void> {
    if (function == "Counters") return Error(Code::kIo, "no mirror");
    return {};
  };
  ASSERT_TRUE(world.RunUntil([&] { return !world.state().rollout->held.empty(); }));
  EXPECT_THAT(world.state().rollout->held, HasSubstr("what was copied cannot be counted"));
  EXPECT_EQ(world.Served(), 1u);
  world.fake.before = nullptr;
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
}

TEST_F(ShadowingTest, ADaemonThatIsKilledCountsAnew) {
  ASSERT_TRUE(Begin());
  Count(1'000, 0);
  world.Restart();
  world.fake.counters().clear();  // what it had counted has gone with it
  ASSERT_TRUE(world.RunUntil([&] { return !world.state().rollout->held.empty(); }));
  EXPECT_THAT(world.state().rollout->held, HasSubstr("0 of at least 100"));
  EXPECT_EQ(world.state().rollout->step, 1u);
  Count(100, 0);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
}

TEST_F(ShadowingTest, ThenSharesOfRequestsFollow) {
  next_.steps.push_back({10, Milliseconds(1'000), false});
  ASSERT_TRUE(Begin());
  Count(1'000, 0);
  ASSERT_TRUE(RunUntilStep(2));
  const auto split = world.fake.Routes(World::Local()).outside.at(0).split;
  ASSERT_TRUE(split);
  EXPECT_EQ(split->per_mille, 100u);
  EXPECT_EQ(split->shadow, 0u);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
}

TEST_F(ShadowingTest, AnAskerThatIsCopiedItselfAsksForItself) {
  next_.api = "2";
  next_.api_canary = true;
  ASSERT_TRUE(Begin());
  for (const auto& route : world.fake.Routes(World::Local()).inside)
    EXPECT_FALSE(route.split) << "what web's copies ask reaches the new api already";
}

TEST_F(ShadowingTest, ANeighbourThatIsNotCopiedHasItsRequestsCopied) {
  next_ = {.api = "2", .api_canary = true, .steps = next_.steps};
  ASSERT_TRUE(Begin());
  bool found = false;
  for (const auto& route : world.fake.Routes(World::Local()).inside)
    if (route.split) {
      found = true;
      EXPECT_EQ(route.split->shadow, 500u);
      EXPECT_EQ(route.split->fleet, Fleet("api"));
    }
  EXPECT_TRUE(found);
}

TEST_F(ShadowingTest, APortLeadsToTheNewFleetUntilEverybodyReachesIt) {
  next_.preview_port = 9001;
  ASSERT_TRUE(world.DoApply(next_));
  const auto preview = [&]() -> std::optional<platform::RouteTable::Outside> {
    for (const auto& route : world.fake.Routes(World::Local()).outside)
      if (route.listen == ":9001") return route;
    return std::nullopt;
  };
  EXPECT_FALSE(preview());
  ASSERT_TRUE(RunUntilStep(1));
  ASSERT_TRUE(preview());
  EXPECT_EQ(preview()->fleet, Fleet());
  EXPECT_EQ(preview()->port, 8080);
  EXPECT_EQ(world.Served(), 1u);
  const Json status = *world.controller->Status(World::Local());
  EXPECT_EQ(status.at("routes").at(1).at("listen"), ":9001");
  EXPECT_EQ(status.at("routes").at(1).at("revision"), 2);
  Count(1'000, 0);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_FALSE(preview());
  // It stays open, and says that nothing serves.
  const auto& listeners = world.fake.TopologyOf(World::Local()).listeners;
  EXPECT_TRUE(std::any_of(listeners.begin(), listeners.end(),
                          [](const auto& listener) { return listener.listen == ":9001"; }));
}

}  // namespace
}  // namespace ingot::rollout
