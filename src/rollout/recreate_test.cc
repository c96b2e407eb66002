// Services that stop first, and workers.
#include <algorithm>
#include <set>

#include "rollout/controller.h"
#include "rollout/controller_fixture.h"

namespace ingot::rollout {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Shop;

// Which instances of api the platform has, by state.
std::string Apis(World& world) {
  std::string out;
  for (const auto& [id, status] : world.fake.instances())
    if (id.fleet().service() == "api")
      out += id.Short() + " " + std::string(platform::StateName(status.state)) + ";";
  return out;
}

class RecreateTest : public testing::ControllerTest {};

TEST_F(RecreateTest, RecreateProvesTheRestFirstAndStopsTheOldBeforeTheNewStart) {
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

TEST_F(RecreateTest, RecreateThatFailsBringsTheOldOnesBack) {
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

TEST_F(RecreateTest, RecreateIsNotBegunWhenTheRestIsNotProven) {
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
TEST_F(RecreateTest, RecreateDoesNotBringTheOldBackBesideANewOneThatWasStartedAMomentAgo) {
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

TEST_F(RecreateTest, RecreateEndsAWarmFleetAsWell) {
  Deploy({});
  Deploy({.api = "2"});  // r1 stays warm, with instances
  EXPECT_EQ(Deploy({.api = "3", .api_recreate = true}), 3u);
  EXPECT_EQ(world.History()[0].phase, Phase::kCompleted);
  EXPECT_EQ(Apis(world), "api-7 ready;api-8 ready;");
}

TEST_F(RecreateTest, RecreateAbortedHalfwayComesBack) {
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

TEST_F(RecreateTest, ARecreatedReleaseThatFallsOverIsTakenBack) {
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

TEST_F(RecreateTest, AWarmRevisionsWorkersDoNoWork) {
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

}  // namespace
}  // namespace ingot::rollout
