// Stateful services: members that keep their volumes, one instance at a time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rollout/controller_fixture.h"

namespace ingot::rollout {
namespace {

using platform::InstanceId;
using platform::InstanceState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Named;
using testing::Shop;
using ::testing::UnorderedElementsAre;

class MembersTest : public testing::ControllerTest {
 protected:
  // "data-0 of 1": each volume with the version of what has it.
  std::vector<std::string> Volumes() {
    std::vector<std::string> out;
    for (const auto& [id, status] : world.fake.instances())
      for (const std::string& volume : status.volumes)
        out.push_back(volume + " of " + VersionOf(id) +
                      (status.state == InstanceState::kReady ? "" : " not ready"));
    std::sort(out.begin(), out.end());
    return out;
  }
  std::string VersionOf(const InstanceId& id) {
    for (const auto& [number, revision] : world.state().revisions)
      if (const plan::Fleet* fleet = revision->Find(id.fleet())) return fleet->spec.environment.at("VERSION");
    return "?";
  }
  // What the platform was told to copy, in the order of the starts.
  void WatchStarts() {
    world.fake.script = [this](const platform::FleetSpec& fleet, const InstanceId&) {
      if (fleet.id.service() == "cache") {
        std::string line = "member " + std::to_string(*fleet.member);
        if (!fleet.snapshot.name.empty()) line += " after " + fleet.snapshot.name.substr(0, 9);
        starts.push_back(line);
      }
      platform::Script script;
      if (fails && fleet.id.service() == "cache" && fails(fleet)) script.exits_after = Milliseconds(5);
      if (script.exits_after) script.ready_after.reset();
      return script;
    };
  }
  std::function<bool(const platform::FleetSpec&)> fails;
  std::vector<std::string> starts;
};

TEST_F(MembersTest, EachMemberHasVolumesOfItsOwn) {
  WatchStarts();
  EXPECT_EQ(Deploy({.members = 3}), 1u);
  EXPECT_THAT(Volumes(), ElementsAre("data-0 of 1", "data-1 of 1", "data-2 of 1"));
  // There may be some of an environment that was destroyed.
  EXPECT_THAT(starts, ElementsAre("member 0 after before-r1", "member 1 after before-r1",
                                  "member 2 after before-r1"));
}

TEST_F(MembersTest, AReleaseReplacesMemberByMember) {
  Deploy({.members = 3});
  WatchStarts();
  ASSERT_TRUE(world.DoApply({.members = 3, .cache = "2"}));
  size_t least = 3;
  world.RunUntil([&] {
    size_t ready = 0;
    for (const auto& [id, status] : world.fake.instances())
      if (id.fleet().service() == "cache" && status.state == InstanceState::kReady) ++ready;
    least = std::min(least, ready);
    return !world.Busy();
  });
  EXPECT_EQ(least, 2u);
  EXPECT_THAT(starts, ElementsAre("member 2 after before-r2", "member 1 after before-r2",
                                  "member 0 after before-r2"));
  world.Settle();
  world.CheckSettled();
  EXPECT_THAT(Volumes(), ElementsAre("data-0 of 2", "data-1 of 2", "data-2 of 2"));
  EXPECT_EQ(world.Served(), 2u);
}

TEST_F(MembersTest, ANewMemberThatFailsGivesItsVolumeBack) {
  Deploy({.members = 3});
  WatchStarts();
  fails = [](const platform::FleetSpec& fleet) {
    return fleet.environment.at("VERSION") == "2" && fleet.member == 1u;
  };
  ASSERT_TRUE(world.DoApply({.members = 3, .cache = "2"}));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_EQ(world.History(1)[0].phase, Phase::kReverted);
  EXPECT_THAT(world.History(1)[0].reason, HasSubstr("exited with code 1"));
  EXPECT_THAT(Volumes(), ElementsAre("data-0 of 1", "data-1 of 1", "data-2 of 1"));
  // Member 0 was never touched. Nothing is copied on the way back: a full disk must not keep it from coming.
  EXPECT_THAT(starts,
              ElementsAre("member 2 after before-r2", "member 1 after before-r2", "member 1", "member 2"));
}

TEST_F(MembersTest, TheOnlyMemberComesBack) {
  Deploy({.members = 1});
  WatchStarts();
  fails = [](const platform::FleetSpec& fleet) { return fleet.environment.at("VERSION") == "2"; };
  ASSERT_TRUE(world.DoApply({.members = 1, .cache = "2"}));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_THAT(Volumes(), ElementsAre("data-0 of 1"));
}

// Nothing rolls there, and its limit stays until the switch is done.
TEST_F(MembersTest, AServiceScaledToNothingIsItsRevisionsOwnAtTheSwitch) {
  Deploy({.members = 2});
  ASSERT_TRUE(world.Do(Scale{"cache", 0}));
  world.Settle();
  Deploy({.web = "2", .surge = 0, .members = 3, .cache = "2"});
  ASSERT_TRUE(world.Do(Rollback{}));
  // The next daemon finds the routes of the switch.
  world.fake.after = [&](const std::string& function) -> Result<void> {
    if (function == "ApplyRoutes" && world.state().rollout &&
        world.state().rollout->phase == Phase::kShifting && world.kills == 0)
      throw testing::Killed{};
    return {};
  };
  world.Settle();
  EXPECT_EQ(world.kills, 1);
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_THAT(world.violations(), IsEmpty());
}

TEST_F(MembersTest, ARollbackGoesMemberByMemberAsWell) {
  Deploy({.members = 2});
  Deploy({.members = 2, .cache = "2"});
  WatchStarts();
  ASSERT_TRUE(world.Do(Rollback{}));
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_THAT(Volumes(), ElementsAre("data-0 of 1", "data-1 of 1"));
  EXPECT_THAT(starts, ElementsAre("member 1 after before-r1", "member 0 after before-r1"));
}

TEST_F(MembersTest, WhatDiesIsReplacedByTheSameMember) {
  Deploy({.members = 2});
  WatchStarts();
  for (const auto& [id, status] : std::map(world.fake.instances()))
    if (status.volumes == std::vector<std::string>{"data-0"}) world.fake.Exit(id, 1);
  world.Settle();
  world.CheckSettled();
  EXPECT_THAT(starts, ElementsAre("member 0"));
  EXPECT_THAT(Volumes(), ElementsAre("data-0 of 1", "data-1 of 1"));
}

TEST_F(MembersTest, TheHighestMembersGoAndComeBackToTheirVolumes) {
  Deploy({.members = 3});
  ASSERT_TRUE(world.Do(Scale{"cache", 1}));
  world.Settle();
  EXPECT_THAT(Volumes(), ElementsAre("data-0 of 1"));
  std::vector<std::string> kept;
  for (const audit::Event& event : world.Events())
    if (event.kind == "volume.kept") kept.emplace_back(event.detail.at("volume").as_string());
  EXPECT_THAT(kept, ElementsAre("data-2", "data-1"));
  WatchStarts();
  ASSERT_TRUE(world.Do(Scale{"cache", 2}));
  world.Settle();
  EXPECT_THAT(starts, ElementsAre("member 1"));
  EXPECT_THAT(Volumes(), ElementsAre("data-0 of 1", "data-1 of 1"));
}

TEST_F(MembersTest, AReleaseWithAnotherCountHasItsMembers) {
  Deploy({.members = 3});
  Deploy({.members = 1, .cache = "2"});
  EXPECT_THAT(Volumes(), ElementsAre("data-0 of 2"));
  Deploy({.members = 3, .cache = "3"});
  EXPECT_THAT(Volumes(), ElementsAre("data-0 of 3", "data-1 of 3", "data-2 of 3"));
}

TEST_F(MembersTest, AFailedReleaseWithAnotherCountLeavesTheMembersOfBefore) {
  Deploy({.members = 1});
  WatchStarts();
  fails = [](const platform::FleetSpec& fleet) {
    return fleet.environment.at("VERSION") != "1" && fleet.member == 0u;
  };
  ASSERT_TRUE(world.DoApply({.members = 3, .cache = "2"}));
  world.Settle();
  world.CheckSettled();
  EXPECT_THAT(Volumes(), ElementsAre("data-0 of 1"));
}

// However long it takes: there may be many data.
TEST_F(MembersTest, NoDeadlineEndsASnapshot) {
  Deploy({.members = 2});
  world.fake.script = [](const platform::FleetSpec& fleet, const InstanceId&) {
    platform::Script script;
    if (!fleet.snapshot.volumes.empty()) script.copies_for = Milliseconds(400'000);
    return script;
  };
  ASSERT_TRUE(world.DoApply({.members = 2, .cache = "2"}));
  world.Settle(Milliseconds(1'000'000));
  world.CheckSettled();
  EXPECT_EQ(world.Served(), 2u);
}

// A warm revision would hold what the next one needs.
TEST_F(MembersTest, NoMemberIsKeptWarm) {
  Deploy({.members = 1});
  Deploy({.web = "2", .members = 0});
  EXPECT_THAT(Volumes(), IsEmpty());
  EXPECT_EQ(world.state().live.at(1).role, Role::kWarm);
  Deploy({.web = "2", .members = 1, .cache = "2"});
  EXPECT_THAT(Volumes(), ElementsAre("data-0 of 2"));
  ASSERT_TRUE(world.Do(Rollback{.to = 1}));
  world.Settle();
  world.CheckSettled();
  EXPECT_THAT(Volumes(), ElementsAre("data-0 of 1"));
}

TEST_F(MembersTest, AVolumeDoesNotPassToAnotherService) {
  Deploy({.members = 1});
  definition::Resolved next = ResolvedOf({.members = 1});
  for (auto& service : next.services) {
    if (service.name == "cache") service.name = "redis";
    for (auto& use : service.uses)
      if (use.name == "cache") use.name = "redis";
  }
  auto refused = world.Do(Apply{next});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kConflict);
  EXPECT_THAT(refused.error().message(), HasSubstr("volume data would go from service cache to redis"));
}

TEST_F(MembersTest, AfterAKillInTheMiddleTheReplacementGoesOn) {
  Deploy({.members = 2});
  int kills = 0;
  world.journal.after = [&](const std::string&) {
    if (world.Busy() && kills < 12 && ++kills % 2 == 0) throw testing::Killed{};
  };
  ASSERT_TRUE(world.DoApply({.members = 2, .cache = "2"}));
  world.Settle();
  world.CheckSettled();
  EXPECT_GT(world.kills, 3);
  EXPECT_THAT(Volumes(), UnorderedElementsAre("data-0 of 2", "data-1 of 2"));
}

}  // namespace
}  // namespace ingot::rollout
