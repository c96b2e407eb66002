// Spares: ready instances beyond the count, which take places at once.
#include <map>

#include "rollout/controller.h"
#include "rollout/controller_fixture.h"

namespace ingot::rollout {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::Killed;
using testing::Kinds;
using testing::Named;
using testing::Shop;
using ::testing::UnorderedElementsAre;
using testing::World;

class SparesTest : public testing::ControllerTest {
 protected:
  // Of web, by whether requests may come to them.
  std::vector<std::string> Web(bool held, std::optional<platform::InstanceState> state = {}) {
    std::vector<std::string> out;
    for (const auto& [id, status] : world.fake.instances())
      if (id.fleet().service() == "web" && status.held == held && (!state || status.state == *state))
        out.push_back(id.Short());
    return out;
  }
  const FleetState& WebFleet() const {
    for (const auto& [id, fleet] : world.state().fleets)
      if (id.service() == "web" && world.state().RevisionOf(*world.state().active).Find(id) != nullptr)
        return fleet;
    ADD_FAILURE() << "there is no web";
    static const FleetState none;
    return none;
  }
  // New instances take so long from now on.
  void SlowStarts(Milliseconds time) {
    world.fake.script = [time](const auto&, const auto&) { return platform::Script{.ready_after = time}; };
  }
  Json WebStatus() {
    const Json status = *world.controller->Status(World::Local());
    for (const Json& service : status.at("services").get_array())
      if (service.at("name").get_string() == "web") return service;
    return nullptr;
  }
};

TEST_F(SparesTest, AreStartedWhenTheCountIsReadyAndHeld) {
  SlowStarts(Milliseconds(1'000));
  ASSERT_TRUE(world.DoApply({.spares = 1}));
  ASSERT_TRUE(world.RunUntil([&] { return world.Served() == 1; }));
  EXPECT_THAT(Web(true, platform::InstanceState::kReady), IsEmpty()) << "the switch waits for none";
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(Web(false).size(), 2u);
  EXPECT_EQ(Web(true).size(), 1u);
  const Json web = WebStatus();
  EXPECT_EQ(RenderJson(web.at("spares")), R"({"desired":1,"ready":1,"reason":""})");
  EXPECT_EQ(web.at("desired").to_number<int>(), 2);
  EXPECT_EQ(web.at("ready").to_number<int>(), 2);
}

TEST_F(SparesTest, OneTakesAPlaceAtOnceWhenTheCountRises) {
  Deploy({.spares = 1});
  const std::string spare = Web(true).front();
  SlowStarts(Milliseconds(60'000));
  ASSERT_TRUE(world.Do(Scale{"web", 3}));
  world.Tick();
  EXPECT_EQ(world.fake.instances().at(Named(world, spare)).held, false) << "within the same turn";
  EXPECT_EQ(Web(false, platform::InstanceState::kReady).size(), 3u);
  EXPECT_THAT(Kinds(world, "instance.promoted"), ElementsAre("instance.promoted"));
  world.RunUntil([&] { return Web(true).size() == 1; });
  EXPECT_EQ(Web(true).size(), 1u) << "the next one is started behind it";
}

TEST_F(SparesTest, OneTakesThePlaceOfADeadOneAtOnce) {
  Deploy({.spares = 1});
  SlowStarts(Milliseconds(3'000));
  world.fake.Exit(Named(world, Web(false).front()), 137);
  world.Tick();
  EXPECT_EQ(Web(false, platform::InstanceState::kReady).size(), 2u);
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(Web(true).size(), 1u);
}

TEST_F(SparesTest, OneThatIsStillStartingIsFurtherThanANewOne) {
  Deploy({.spares = 1});
  SlowStarts(Milliseconds(2'000));
  ASSERT_TRUE(world.Do(Scale{"web", 3}));
  ASSERT_TRUE(world.RunUntil([&] { return Web(true).size() == 1; }));
  const std::string starting = Web(true).front();
  ASSERT_TRUE(world.Do(Scale{"web", 4}));
  ASSERT_TRUE(world.RunUntil([&] { return Web(false, platform::InstanceState::kReady).size() == 4; }));
  EXPECT_FALSE(world.fake.instances().at(Named(world, starting)).held);
}

TEST_F(SparesTest, WhatIsScaledAwayEndsAndBecomesNone) {
  Deploy({.web_replicas = 3, .spares = 1});
  const auto spare = Web(true);
  ASSERT_TRUE(world.Do(Scale{"web", 2}));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(Web(false).size(), 2u);
  EXPECT_EQ(Web(true), spare);
  ASSERT_TRUE(world.Do(Scale{"web", 0}));
  world.Settle();
  EXPECT_THAT(Web(true), IsEmpty()) << "what is scaled to nothing runs nothing";
}

TEST_F(SparesTest, ANewCountOfThemIsNoRevision) {
  Deploy({.spares = 1});
  Deploy({.spares = 3});
  EXPECT_EQ(Web(true).size(), 3u);
  Deploy({});
  EXPECT_THAT(Web(true), IsEmpty());
  EXPECT_EQ(world.state().active, 1u);
}

TEST_F(SparesTest, AWarmFleetHasNone) {
  Deploy({.spares = 2});
  Deploy({.web = "2", .spares = 2});
  size_t held = 0;
  for (const auto& [id, status] : world.fake.instances())
    held += id.fleet().service() == "web" && status.held ? 1 : 0;
  EXPECT_EQ(held, 2u);
  EXPECT_EQ(WebFleet().Spares(), 2u);
  ASSERT_TRUE(world.Do(Rollback{}));
  world.Tick();
  EXPECT_EQ(world.Served(), 1u) << "traffic moves before there are spares";
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(WebFleet().Spares(), 2u);
}

TEST_F(SparesTest, OneThatCannotStartRevertsNothingAndDelaysNothing) {
  // From the third instance of each fleet on they die.
  world.fake.script = [](const auto&, const platform::InstanceId& id) {
    return id.ordinal() > 4 ? platform::Script{.exits_after = Milliseconds(20)} : platform::Script{};
  };
  ASSERT_TRUE(world.DoApply({.spares = 1}));
  const SteadyTime end = world.clock.Steady() + Milliseconds(20'000);
  world.RunUntil([&] { return world.clock.Steady() >= end; });
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_EQ(WebFleet().failures, 0u);
  EXPECT_GE(WebFleet().spare_failures, 5u);
  EXPECT_LE(WebFleet().spare_failures, 12u) << "with growing delays";
  const Json web = WebStatus();
  EXPECT_FALSE(web.at("degraded").get_bool());
  EXPECT_EQ(web.at("spares").at("reason").get_string(), "exited with code 1");
  EXPECT_EQ(web.at("spares").at("ready").to_number<int>(), 0);
  // One that serves and dies is replaced as ever, without waiting for the spares' delay.
  world.fake.script = nullptr;
  world.fake.Exit(Named(world, Web(false).front()), 1);
  ASSERT_TRUE(world.RunUntil([&] { return Web(false, platform::InstanceState::kReady).size() == 2; },
                             Milliseconds(1'000)));
}

TEST_F(SparesTest, WhatDiesSoonAfterItServesIsReplacedEverMoreSlowlyAndIsDegraded) {
  Deploy({.spares = 2});
  std::map<platform::InstanceId, SteadyTime> serving;
  const int before = world.fake.calls("Start");
  const SteadyTime end = world.clock.Steady() + Milliseconds(60'000);
  world.RunUntil([&] {
    const SteadyTime now = world.clock.Steady();
    for (const auto& [id, status] : std::map(world.fake.instances())) {
      if (id.fleet().service() != "web" || status.held || status.state != platform::InstanceState::kReady)
        continue;
      const SteadyTime since = serving.emplace(id, now).first->second;
      if (now - since >= Milliseconds(1'000)) world.fake.Exit(id, 2);
    }
    return now >= end;
  });
  // Two die each second; without the delays more than a hundred would be started.
  EXPECT_GE(world.fake.calls("Start") - before, 8);
  EXPECT_LE(world.fake.calls("Start") - before, 32);
  EXPECT_THAT(Kinds(world, "service."), ElementsAre("service.degraded"));
  const Json web = WebStatus();
  EXPECT_TRUE(web.at("degraded").get_bool());
  EXPECT_EQ(web.at("reason").get_string(), "exited with code 2");
}

TEST_F(SparesTest, AnAgedInstanceGivesItsPlaceToASpare) {
  Deploy({.max_age = Milliseconds(60'000), .spares = 1});
  SlowStarts(Milliseconds(3'000));
  ASSERT_TRUE(world.RunUntil([&] { return !Kinds(world, "instance.aged").empty(); }));
  const SteadyTime end = world.clock.Steady() + Milliseconds(120'000);
  size_t fewest = SIZE_MAX;
  world.RunUntil([&] {
    fewest = std::min(fewest, Web(false, platform::InstanceState::kReady).size());
    return world.clock.Steady() >= end;
  });
  EXPECT_EQ(fewest, 2u);
  EXPECT_THAT(Kinds(world, "instance.promoted"), ::testing::Not(IsEmpty()));
}

TEST_F(SparesTest, WhatRollsHasNoneMeanwhile) {
  Deploy({.web_rolling = true, .spares = 2});
  SlowStarts(Milliseconds(500));
  ASSERT_TRUE(world.DoApply({.web = "2", .web_rolling = true, .spares = 2}));
  size_t most = 0;
  ASSERT_TRUE(world.RunUntil([&] {
    size_t present = 0;
    if (world.state().rollout && world.state().rollout->phase == Phase::kRolling)
      for (const auto& [id, status] : world.fake.instances())
        present +=
            id.fleet().service() == "web" && status.state != platform::InstanceState::kStopping ? 1 : 0;
    most = std::max(most, present);
    return world.Served() == 2;
  }));
  EXPECT_LE(most, 3u) << "two, and a surge of one";
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(Web(true).size(), 2u);
}

TEST_F(SparesTest, WhoeverIsKilledWhileOneTakesAPlaceGoesOn) {
  for (const char* at : {"Commit", "Serve"}) {
    for (const bool before : {true, false}) {
      World fresh;
      ASSERT_TRUE(fresh.DoApply({.spares = 1}));
      fresh.Settle();
      bool killed = false;
      const auto kill = [&](const std::string& function) -> Result<void> {
        if (!killed && function == at) {
          killed = true;
          throw Killed{};
        }
        return {};
      };
      ASSERT_TRUE(fresh.Do(Scale{"web", 3}));
      (before ? fresh.fake.before : fresh.fake.after) = kill;
      if (before)
        fresh.journal.before = kill;
      else
        fresh.journal.after = [&](const std::string& function) { (void)kill(function); };
      fresh.Settle();
      EXPECT_TRUE(killed) << at;
      fresh.CheckSettled();
      size_t serving = 0;
      for (const auto& [id, status] : fresh.fake.instances())
        serving += id.fleet().service() == "web" && !status.held ? 1 : 0;
      EXPECT_EQ(serving, 3u) << at;
      EXPECT_THAT(fresh.violations(), IsEmpty()) << at;
    }
  }
}

}  // namespace
}  // namespace ingot::rollout
