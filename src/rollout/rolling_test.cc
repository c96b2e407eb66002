// Rolling: new instances take the places of old ones in batches.
#include <algorithm>

#include "rollout/controller_fixture.h"

namespace ingot::rollout {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Kinds;
using testing::Shop;
using testing::World;

class RollingTest : public testing::ControllerTest {
 protected:
  struct Counts {
    uint32_t old_ones = 0;
    uint32_t new_ones = 0;
  };
  Counts Web() {
    Counts out;
    const auto old_fleet = world.state().RevisionOf(1).FleetOf("web")->spec.id;
    for (const auto& [id, status] : world.fake.instances()) {
      if (id.fleet().service() != "web") continue;
      ++(id.fleet() == old_fleet ? out.old_ones : out.new_ones);
    }
    return out;
  }
  uint32_t Outside() {
    const auto routes = world.fake.Routes(World::Local());
    return routes.outside.at(0).split ? routes.outside.at(0).split->per_mille : 0;
  }
  // Runs to the end; the most and the fewest ready instances of web on the way, and the shares that there
  // were.
  void Follow() {
    world.RunUntil([&] {
      const Counts web = Web();
      most_ = std::max(most_, web.old_ones + web.new_ones);
      uint32_t ready = 0;
      for (const auto& [id, status] : world.fake.instances())
        if (id.fleet().service() == "web" && status.state == platform::InstanceState::kReady) ++ready;
      fewest_ = std::min(fewest_, ready);
      if (const uint32_t share = Outside(); share > 0 && (shares_.empty() || shares_.back() != share))
        shares_.push_back(share);
      return !world.state().rollout || world.state().rollout->phase == Phase::kBaking;
    });
  }
  uint32_t most_ = 0;
  uint32_t fewest_ = 1'000;
  std::vector<uint32_t> shares_;
};

TEST_F(RollingTest, ReplacesOneByOneWithinItsSurge) {
  Deploy({.web_replicas = 4});
  ASSERT_TRUE(world.DoApply({.web = "2", .web_replicas = 4, .web_rolling = true}));
  Follow();
  EXPECT_EQ(most_, 5u);
  EXPECT_EQ(fewest_, 4u);
  // The last batch's share is everything, and the switch follows at once.
  EXPECT_THAT(shares_, ElementsAre(250, 500, 750));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 2u);
  // Nothing old is kept warm: a rollback rolls as well.
  EXPECT_EQ(Web().old_ones, 0u);
  EXPECT_EQ(Web().new_ones, 4u);
  most_ = 0;
  ASSERT_TRUE(world.Do(Rollback{}));
  Follow();
  EXPECT_EQ(most_, 5u);
  world.Settle();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_EQ(Web().old_ones, 4u);
  EXPECT_EQ(Web().new_ones, 0u);
}

TEST_F(RollingTest, ReplacesInBatches) {
  Deploy({.web_replicas = 6});
  ASSERT_TRUE(world.DoApply({.web = "2", .web_replicas = 6, .web_rolling = true, .batch = 3, .surge = 2}));
  Follow();
  EXPECT_EQ(most_, 8u);
  EXPECT_GE(fewest_, 5u);
  EXPECT_EQ(world.Served(), 2u);
}

TEST_F(RollingTest, WithoutASurgeOldOnesMakeRoomFirst) {
  Deploy({.web_replicas = 3});
  ASSERT_TRUE(world.DoApply({.web = "2", .web_replicas = 3, .web_rolling = true, .surge = 0}));
  Follow();
  EXPECT_EQ(most_, 3u);
  EXPECT_EQ(fewest_, 2u);
  EXPECT_EQ(world.Served(), 2u);
}

TEST_F(RollingTest, AReleaseThatFailsAtOnceHasTouchedNothing) {
  Deploy({.web_replicas = 3});
  world.fake.script = [](const platform::FleetSpec& spec, const platform::InstanceId&) {
    platform::Script script;
    if (spec.environment.at("VERSION") == "bad") script.exits_after = Milliseconds(5);
    return script;
  };
  ASSERT_TRUE(world.DoApply({.web = "bad", .web_replicas = 3, .web_rolling = true}));
  Follow();
  world.Settle();
  EXPECT_TRUE(shares_.empty());
  EXPECT_EQ(Web().old_ones, 3u);
}

TEST_F(RollingTest, AFailureInTheMiddleBringsTheOldOnesBackBeforeTheNewOnesGo) {
  Deploy({.web_replicas = 4});
  ASSERT_TRUE(world.DoApply({.web = "2", .web_replicas = 4, .web_rolling = true}));
  ASSERT_TRUE(world.RunUntil([&] { return Outside() == 750; }));
  world.fake.script = [](const platform::FleetSpec&, const platform::InstanceId&) {
    return platform::Script{.ready_after = Milliseconds(300)};
  };
  ASSERT_TRUE(world.Do(Abort{}));
  uint32_t fewest = 100;
  ASSERT_TRUE(world.RunUntil([&] {
    uint32_t ready = 0;
    for (const auto& [id, status] : world.fake.instances())
      if (id.fleet().service() == "web" && status.state == platform::InstanceState::kReady) ++ready;
    fewest = std::min(fewest, ready);
    return !world.state().rollout;
  }));
  EXPECT_GE(fewest, 4u);
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_EQ(Web().old_ones, 4u);
  EXPECT_EQ(Web().new_ones, 0u);
  EXPECT_EQ(world.History()[0].phase, Phase::kReverted);
}

TEST_F(RollingTest, AReleaseThatFallsOverAfterTheSwitchIsUnrolled) {
  Deploy({.web_replicas = 2});
  Shop next{.web = "2", .web_replicas = 2, .web_rolling = true};
  ASSERT_TRUE(world.DoApply(next));
  Follow();
  const auto fleet = world.state().RevisionOf(2).FleetOf("web")->spec.id;
  world.fake.script = [&](const platform::FleetSpec& spec, const platform::InstanceId&) {
    platform::Script script;
    if (spec.id == fleet) script.exits_after = Milliseconds(10);
    return script;
  };
  for (const auto& [id, status] : std::map(world.fake.instances()))
    if (id.fleet() == fleet) {
      world.fake.Exit(id, 1);
      break;
    }
  ASSERT_TRUE(world.RunUntil([&] { return world.Served() == 1 && !world.Busy(); }));
  EXPECT_EQ(Web().old_ones, 2u);
  EXPECT_THAT(world.History()[0].reason, HasSubstr("instances of web keep dying"));
}

TEST_F(RollingTest, APauseHoldsTheNextBatch) {
  Deploy({.web_replicas = 4});
  ASSERT_TRUE(world.DoApply({.web = "2", .web_replicas = 4, .web_rolling = true}));
  ASSERT_TRUE(world.RunUntil([&] { return Outside() == 500; }));
  ASSERT_TRUE(world.Do(Pause{}));
  EXPECT_FALSE(world.RunUntil([&] { return Outside() > 500; }));
  EXPECT_EQ(world.state().rollout->phase, Phase::kRolling);
  ASSERT_TRUE(world.Do(Resume{}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_THAT(Kinds(world, "rollout.batch"), ::testing::SizeIs(4));
}

TEST_F(RollingTest, CanariesStepBeforeBatchesBegin) {
  Deploy({});
  ASSERT_TRUE(world.DoApply({.web = "2", .api = "2", .api_rolling = true, .web_canary = true}));
  ASSERT_TRUE(world.RunUntil([&] { return world.state().rollout->step == 2; }));
  EXPECT_EQ(Outside(), 500u);
  EXPECT_THAT(world.Instances(), ::testing::IsSupersetOf({"api-1", "api-2"}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kRolling));
  EXPECT_EQ(Outside(), 500u);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(world.Served(), 2u);
}

// Found by random_test: web had rolled and asked, on its way back, an api of which nothing was ever ready.
TEST_F(RollingTest, OnTheWayBackNobodyAsksAFleetWhoseFirstBatchWasNeverReady) {
  Deploy({.api_rolling = true, .web_rolling = true, .batch = 2, .surge = 0});
  world.fake.script = [](const platform::FleetSpec& spec, const platform::InstanceId& id) {
    platform::Script script;
    if (id.fleet().service() != "api" || spec.environment.at("VERSION") != "2") return script;
    script.ready_after.reset();
    script.fails_after = Milliseconds(1'000);
    return script;
  };
  EXPECT_EQ(
      Deploy({.web = "2", .api = "2", .api_rolling = true, .web_rolling = true, .batch = 2, .surge = 0}), 1u);
  EXPECT_EQ(world.History()[0].phase, Phase::kReverted);
}

}  // namespace
}  // namespace ingot::rollout
