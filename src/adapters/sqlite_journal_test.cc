#include "adapters/sqlite_journal.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "adapters/sqlite.h"
#include "adapters/sqlite_events.h"

namespace ingot::adapters {
namespace {

class StateDb : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "ingot-state-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    path_ = directory_ / "state.db";
  }
  void TearDown() override { fs::remove_all(directory_); }

  static rollout::EnvironmentState State() {
    rollout::EnvironmentState state;
    state.id = {"shop", "local"};
    state.step = 3;
    state.next_ordinal = 9;
    state.active = 1;
    rollout::LiveRevision live;
    live.role = rollout::Role::kActive;
    live.replicas["web"] = 2;
    state.live[1] = live;
    rollout::FleetState fleet;
    fleet.proven = true;
    fleet.instances.push_back({.ordinal = 8, .seen = true, .ready = true});
    fleet.reason = "exited with code 3";
    state.fleets[platform::FleetId(state.id, "web", "0123456789ab")] = fleet;
    state.outbox.push_back(
        {.key = "3.0", .environment = "shop/local", .kind = "x", .actor = "a", .detail = {}});
    return state;
  }

  static rollout::RevisionPtr Revision(uint64_t number) {
    definition::Resolved resolved;
    resolved.project = "shop";
    resolved.environment = "local";
    return std::make_shared<const plan::Revision>(plan::MakeRevision(
        number, number > 1 ? std::optional(number - 1) : std::nullopt, resolved, "uid:0", WallTime{}));
  }

  fs::path directory_;
  fs::path path_;
};

TEST_F(StateDb, WhatIsCommittedIsFoundAgain) {
  rollout::EnvironmentState state = State();
  rollout::Rollout ended;
  ended.id = 4;
  ended.to = 1;
  ended.phase = rollout::Phase::kReverted;
  ended.reason = "web-5 exited with code 3";
  ended.entered["reverted"] = WallTime(Milliseconds(77));
  {
    auto journal = SqliteJournal::Open(path_);
    ASSERT_TRUE(journal) << journal.error().Render();
    EXPECT_TRUE((*journal)->Load()->empty());
    ASSERT_TRUE((*journal)->Commit({&state, Revision(1), {}}));
    state.step = 4;
    ASSERT_TRUE((*journal)->Commit({&state, Revision(2), {ended}}));
  }
  auto journal = *SqliteJournal::Open(path_);
  auto loaded = journal->Load();
  ASSERT_TRUE(loaded) << loaded.error().Render();
  ASSERT_EQ(loaded->size(), 1u);
  EXPECT_EQ((*loaded)[0], state);
  EXPECT_EQ(*journal->ReadRevision(state.id, 2), *Revision(2));
  EXPECT_EQ(journal->ReadRevision(state.id, 3).error().code(), Code::kNotFound);
  auto revisions = *journal->ReadRevisions(state.id, 10);
  ASSERT_EQ(revisions.size(), 2u);
  EXPECT_EQ(revisions[0].number, 2u);
  auto history = *journal->ReadHistory(state.id, 10);
  ASSERT_EQ(history.size(), 1u);
  EXPECT_EQ(history[0], ended);
}

TEST_F(StateDb, AStepIsWrittenWholeOrNotAtAll) {
  rollout::EnvironmentState state = State();
  auto journal = *SqliteJournal::Open(path_);
  ASSERT_TRUE(journal->Commit({&state, Revision(1), {}}));
  state.step = 4;
  auto twice = journal->Commit({&state, Revision(1), {}});  // a revision's number is never used twice
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code(), Code::kExists);
  EXPECT_EQ((*journal->Load())[0].step, 3u);
}

TEST_F(StateDb, AnUnreadableStateIsCorruptAndNamesItsEnvironment) {
  rollout::EnvironmentState state = State();
  auto journal = *SqliteJournal::Open(path_);
  ASSERT_TRUE(journal->Commit({&state, nullptr, {}}));
  auto database = *Database::Open(path_);
  ASSERT_TRUE(database.Execute("UPDATE environments SET state = '{\"version\": 1}'"));
  auto loaded = journal->Load();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code(), Code::kCorrupt);
  EXPECT_NE(loaded.error().message().find("shop/local"), std::string::npos);
}

TEST_F(StateDb, EventsAreChainedOverRestartsAndKnownKeysAreLeftOut) {
  FakeClock clock;
  const auto draft = [](const std::string& key, const std::string& kind) {
    return audit::Draft{
        .key = key, .environment = "shop/local", .kind = kind, .actor = "ingot", .detail = {{"n", 1}}};
  };
  {
    auto sink = SqliteEvents::Open(path_, clock);
    ASSERT_TRUE(sink) << sink.error().Render();
    ASSERT_TRUE((*sink)->Append({draft("1.0", "a"), draft("", "b"), draft("", "b")}));
  }
  clock.Advance(Milliseconds(10));
  auto sink = *SqliteEvents::Open(path_, clock);
  ASSERT_TRUE(sink->Append({draft("1.0", "a"), draft("1.1", "c")}));
  EXPECT_EQ(*sink->Last(), 4u);
  auto events = *sink->Read({});
  ASSERT_EQ(events.size(), 4u);
  EXPECT_TRUE(audit::Verify(events));
  EXPECT_EQ(events[3].kind, "c");
  EXPECT_EQ(sink->Read({.after = 3})->size(), 1u);
  EXPECT_EQ(sink->Read({.limit = 2})->size(), 2u);
  EXPECT_EQ(sink->Read({.environment = "shop/staging"})->size(), 0u);
  // A change in the database is found.
  auto database = *Database::Open(path_);
  ASSERT_TRUE(database.Execute(
      "UPDATE events SET document = replace(document, '\"n\":1', '\"n\":2') WHERE sequence = 2"));
  auto verified = audit::Verify(*sink->Read({}));
  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace ingot::adapters
