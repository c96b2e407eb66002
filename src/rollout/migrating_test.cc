#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rollout/controller_fixture.h"

namespace ingot::rollout {
namespace {

using testing::ControllerTest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Kinds;
using testing::Shop;

class MigratingTest : public ControllerTest {
 protected:
  std::vector<uint64_t> Applied() {
    std::vector<uint64_t> out;
    for (const migrate::LedgerEntry& entry : world.databases["shop"]) out.push_back(entry.version);
    return out;
  }
};

// Scripts 3, 6, … are contract scripts.
TEST_F(MigratingTest, AFirstReleaseRunsAllInOrderBeforeItsInstancesStart) {
  EXPECT_EQ(Deploy({.migrations = 4}), 1u);
  EXPECT_THAT(Applied(), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(Kinds(world, "migration."), ElementsAre("migration.applied", "migration.applied",
                                                      "migration.applied", "migration.applied"));
  EXPECT_TRUE(world.History()[0].entered.contains("migrating"));
}

TEST_F(MigratingTest, ContractScriptsWaitForTheWindow) {
  Deploy({.migrations = 2});
  EXPECT_EQ(Deploy({.web = "2", .migrations = 4}), 2u);
  EXPECT_THAT(Applied(), ElementsAre(1, 2, 4));
  world.clock.Advance(Milliseconds(590'000));
  world.Settle();
  EXPECT_THAT(Applied(), ElementsAre(1, 2, 4));
  world.clock.Advance(Milliseconds(20'000));
  world.Settle();
  EXPECT_TRUE(world.RunUntil([&] { return !world.state().contracting; }));
  EXPECT_THAT(Applied(), ElementsAre(1, 2, 4, 3));
  EXPECT_THAT(Kinds(world, "migration.contracting"), ElementsAre("migration.contracting"));
  // There is no way back to what may need what was taken away.
  const auto back = world.Do(Rollback{});
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().code(), Code::kRefused);
  EXPECT_THAT(back.error().message(), HasSubstr("contract script 3 of migration shop has been run since r1"));
}

TEST_F(MigratingTest, ARollbackInTheWindowNeedsNoScript) {
  Deploy({.migrations = 2});
  Deploy({.web = "2", .migrations = 4});
  ASSERT_TRUE(world.Do(Rollback{}));
  world.Settle();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_FALSE(world.state().rollout->entered.contains("migrating"));
  EXPECT_THAT(Applied(), ElementsAre(1, 2, 4));
  // r2 leaves the window; r1 does not know the contract script, so it is not run.
  world.clock.Advance(Milliseconds(700'000));
  world.Settle();
  EXPECT_THAT(Applied(), ElementsAre(1, 2, 4));
}

TEST_F(MigratingTest, AFailureRevertsBeforeAnythingWasStarted) {
  Deploy({.migrations = 1});
  world.migrator_fails = [](const migrate::Script& script) { return script.version == 4; };
  const auto before = world.Instances();
  ASSERT_TRUE(world.DoApply({.web = "2", .migrations = 5}));
  world.Settle();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_EQ(world.Instances(), before);
  EXPECT_THAT(Applied(), ElementsAre(1, 2));
  EXPECT_EQ(world.History()[0].reason, "its migration failed: it fails");
  EXPECT_THAT(Kinds(world, "migration.failed"), ElementsAre("migration.failed"));
  EXPECT_FALSE(world.History()[0].entered.contains("starting"));
  // The same again, mended.
  world.migrator_fails = nullptr;
  EXPECT_EQ(Deploy({.web = "2", .migrations = 5}), 3u);
  EXPECT_THAT(Applied(), ElementsAre(1, 2, 4, 5));
}

TEST_F(MigratingTest, WhatNeverCameThroughIsNothingToGoBackTo) {
  Deploy({.migrations = 1});
  world.migrator_fails = [](const migrate::Script&) { return true; };
  ASSERT_TRUE(world.DoApply({.web = "2", .migrations = 2}));
  world.Settle();
  Deploy({.web = "3", .migrations = 1});
  world.migrator_fails = nullptr;
  EXPECT_EQ(world.Do(Rollback{2}).error().code(), Code::kRefused);
  EXPECT_EQ(world.Served(), 3u);
  EXPECT_THAT(Applied(), ElementsAre(1));
}

TEST_F(MigratingTest, AnAbortEndsTheRunAndReverts) {
  Deploy({});
  world.migrator->takes = Milliseconds(5'000);
  ASSERT_TRUE(world.DoApply({.web = "2", .migrations = 2}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kMigrating));
  ASSERT_TRUE(world.Do(Abort{}));
  world.Settle();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_THAT(Applied(), IsEmpty());
}

TEST_F(MigratingTest, ScriptsAloneAreARevision) {
  Deploy({.migrations = 1});
  EXPECT_EQ(Deploy({.migrations = 2}), 2u);
  EXPECT_EQ(world.Instances().size(), 4u);  // the same fleets
  EXPECT_THAT(Applied(), ElementsAre(1, 2));
}

TEST_F(MigratingTest, AContractScriptThatFailsIsTriedAgainAndDisturbsNothing) {
  Deploy({.keep_old = Milliseconds(0), .migrations = 2});
  int failures = 2;
  world.migrator_fails = [&](const migrate::Script&) { return failures-- > 0; };
  ASSERT_TRUE(world.DoApply({.web = "2", .keep_old = Milliseconds(0), .migrations = 3}));
  world.Settle();
  EXPECT_EQ(world.Served(), 2u);
  ASSERT_TRUE(world.RunUntil([&] { return failures < 2 && world.state().contracting->again.has_value(); }));
  EXPECT_THAT(Applied(), ElementsAre(1, 2));
  ASSERT_TRUE(world.RunUntil([&] { return !world.state().contracting; }, Milliseconds(400'000)));
  EXPECT_THAT(Applied(), ElementsAre(1, 2, 3));
  EXPECT_EQ(Kinds(world, "migration.failed").size(), 2u);
}

TEST_F(MigratingTest, WithoutAMigratorItFails) {
  world.without_migrator = true;
  world.Restart();
  ASSERT_TRUE(world.DoApply({.migrations = 1}));
  world.Settle();
  EXPECT_EQ(world.History()[0].reason, "this daemon runs no migrations");
}

}  // namespace
}  // namespace ingot::rollout
