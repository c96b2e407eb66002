#include "migrate/runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace ingot::migrate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Killed {};

// What a database keeps when its client is killed.
struct Disk {
  std::map<uint64_t, LedgerEntry> ledger;
  std::vector<std::string> done;  // statements, in the order in which they took effect
  std::string half;               // one that runs alone and was killed in its middle
};

class FakeDatabase final : public Database {
 public:
  explicit FakeDatabase(Disk& disk) : disk_(disk) {}
  // Called before each thing that is done, and in the middle of what runs alone.
  std::function<void()> step = [] {};
  std::function<Result<void>(const Statement&)> fails;
  int sessions = 0;

  Result<void> Lock() override { return {}; }
  Result<std::vector<LedgerEntry>> ReadLedger(const std::string&) override {
    step();
    std::vector<LedgerEntry> out;
    for (const auto& [version, entry] : disk_.ledger) out.push_back(entry);
    return out;
  }
  Result<void> WriteLedger(const LedgerEntry& entry) override {
    step();
    disk_.ledger[entry.version] = entry;
    return {};
  }
  Result<void> NewSession() override {
    ++sessions;
    return {};
  }
  Result<void> InTransaction(const std::function<Result<void>()>& work) override {
    const Disk before = disk_;
    in_transaction_ = true;
    try {
      auto done = work();
      step();
      in_transaction_ = false;
      if (!done) disk_ = before;
      return done;
    } catch (const Killed&) {
      disk_ = before;
      throw;
    }
  }
  Result<void> Execute(const Statement& statement) override {
    step();
    EXPECT_EQ(in_transaction_, !statement.alone && !(statement.setting && !in_transaction_))
        << statement.text;
    if (fails) TRY(fails(statement));
    if (statement.alone) {
      EXPECT_EQ(disk_.half, "") << "begun over a half of it";
      disk_.half = statement.text;
      step();
      disk_.half.clear();
    }
    disk_.done.push_back(statement.text);
    return {};
  }
  Result<Outcome> Settle(const Statement& statement) override {
    step();
    disk_.half.clear();
    const bool done = std::find(disk_.done.begin(), disk_.done.end(), statement.text) != disk_.done.end();
    return done ? Outcome::kDone : Outcome::kNotDone;
  }

 private:
  Disk& disk_;
  bool in_transaction_ = false;
};

class RunnerTest : public ::testing::Test {
 protected:
  RunnerTest() {
    Add("001_one.sql", "a; b;");
    Add("002_two.sql", "c; CREATE INDEX CONCURRENTLY i ON t (x); d; e; VACUUM t;");
    Add("003_three.contract.sql", "f;");
    Add("004_four.sql", "-- ingot: no-transaction\ng; h;");
    hooks.text = [this](const Script& script) -> Result<std::string> { return texts.at(script.version); };
    options.set = "shop/shop";
    options.revision = "r1";
  }

  void Add(const std::string& file, const std::string& text) {
    Script script = *ParseScriptName(file);
    script.file = "m/" + file;
    script.checksum = text;
    texts[script.version] = text;
    scripts.push_back(script);
  }

  Result<std::vector<Script>> RunOn(FakeDatabase& database) {
    return migrate::Run(database, scripts, options, hooks, clock);
  }

  std::map<uint64_t, std::string> texts;
  std::vector<Script> scripts;
  RunOptions options;
  RunHooks hooks;
  FakeClock clock;
  Disk disk;
};

const std::vector<std::string> kExpanded = {
    "a", "b", "c", "CREATE INDEX CONCURRENTLY i ON t (x)", "d", "e", "VACUUM t", "g", "h"};

TEST_F(RunnerTest, RunsWhatIsDueOnceInOrder) {
  FakeDatabase database(disk);
  const auto first = RunOn(database);
  ASSERT_TRUE(first) << first.error().Render();
  EXPECT_EQ(first->size(), 3u);
  EXPECT_EQ(disk.done, kExpanded);
  EXPECT_EQ(database.sessions, 3);
  EXPECT_EQ(disk.ledger.size(), 3u);
  EXPECT_TRUE(disk.ledger.at(2).ended);
  EXPECT_EQ(disk.ledger.at(2).done, 5u);
  EXPECT_EQ(disk.ledger.at(2).revision, "r1");
  EXPECT_THAT(*RunOn(database), IsEmpty());
  EXPECT_EQ(disk.done, kExpanded);
  options.expand = false;
  options.contracts = {3};
  EXPECT_EQ(RunOn(database)->size(), 1u);
  EXPECT_EQ(disk.done.back(), "f");
}

TEST_F(RunnerTest, KilledAnywhereItIsGoneOnWithAndNothingIsDoneTwice) {
  int steps = 0;
  {
    FakeDatabase database(disk);
    database.step = [&] { ++steps; };
    ASSERT_TRUE(RunOn(database));
  }
  ASSERT_GT(steps, 25);
  for (int first = 0; first < steps; ++first) {
    for (const int second : {0, 1, 2, 5, steps}) {
      SCOPED_TRACE("killed at step " + std::to_string(first) + ", then at " + std::to_string(second));
      disk = {};
      for (const int kill_at : {first, second}) {
        FakeDatabase database(disk);
        int at = 0;
        database.step = [&] {
          if (at++ == kill_at) throw Killed{};
        };
        try {
          (void)RunOn(database);
        } catch (const Killed&) {
        }
      }
      FakeDatabase database(disk);
      const auto last = RunOn(database);
      ASSERT_TRUE(last) << last.error().Render();
      // VACUUM leaves nothing by which one could see that it has been.
      std::vector<std::string> once;
      for (const std::string& statement : disk.done)
        if (once.empty() || once.back() != statement) once.push_back(statement);
      EXPECT_EQ(once, kExpanded);
      EXPECT_EQ(disk.half, "");
      for (const auto& [version, entry] : disk.ledger) EXPECT_TRUE(entry.ended && !entry.running) << version;
    }
  }
}

TEST_F(RunnerTest, AFailureNamesTheFileAndTheLineAndTakesItsTransactionBack) {
  texts[1] = "a;\n\nb;";
  FakeDatabase database(disk);
  database.fails = [](const Statement& statement) -> Result<void> {
    if (statement.text == "b") return Error(Code::kFailed, "ERROR 42P07: there is one");
    return {};
  };
  auto failed = RunOn(database);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().Render(), "m/001_one.sql:3: ERROR 42P07: there is one");
  EXPECT_THAT(disk.done, IsEmpty());
  EXPECT_TRUE(disk.ledger.empty());
  // The database may know the line better.
  database.fails = [](const Statement&) -> Result<void> { return Error(Code::kFailed, "line 2: ERROR"); };
  EXPECT_EQ(RunOn(database).error().Render(), "m/001_one.sql:2: ERROR");
}

TEST_F(RunnerTest, WhatFailsAloneIsTriedAnewTheNextTime) {
  FakeDatabase database(disk);
  database.fails = [](const Statement& statement) -> Result<void> {
    if (statement.alone) return Error(Code::kFailed, "ERROR 23505: not unique");
    return {};
  };
  ASSERT_FALSE(RunOn(database));
  EXPECT_THAT(disk.done, ElementsAre("a", "b", "c"));
  EXPECT_EQ(disk.ledger.at(2).done, 1u);
  EXPECT_FALSE(disk.ledger.at(2).running);
  database.fails = nullptr;
  ASSERT_TRUE(RunOn(database));
  EXPECT_EQ(disk.done, kExpanded);
}

TEST_F(RunnerTest, ALockThatIsNotHadInTimeIsTriedAgain) {
  FakeDatabase database(disk);
  int refusals = 3;
  database.fails = [&](const Statement& statement) -> Result<void> {
    if (statement.text == "b" && refusals-- > 0) return Error(Code::kConflict, "ERROR 55P03: lock timeout");
    return {};
  };
  ASSERT_TRUE(RunOn(database));
  EXPECT_EQ(disk.done, kExpanded);
  refusals = 100;
  disk = {};
  const auto failed = RunOn(database);
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message(), HasSubstr("m/001_one.sql:1: ERROR 55P03"));
  EXPECT_EQ(refusals, 94);
}

TEST_F(RunnerTest, AChangedScriptRefusesAllBeforeAnythingIsRun) {
  FakeDatabase database(disk);
  ASSERT_TRUE(RunOn(database));
  scripts[0].checksum = "other";
  Add("005_five.sql", "z;");
  const auto refused = RunOn(database);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kRefused);
  EXPECT_THAT(refused.error().message(), HasSubstr("m/001_one.sql is not what was applied"));
  EXPECT_EQ(disk.done, kExpanded);
}

TEST_F(RunnerTest, ToldToEndItEndsBetweenStatements) {
  FakeDatabase database(disk);
  hooks.cancelled = [&] { return disk.done.size() >= 3; };
  const auto ended = RunOn(database);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code(), Code::kCancelled);
  hooks.cancelled = nullptr;
  ASSERT_TRUE(RunOn(database));
  EXPECT_EQ(disk.done, kExpanded);
}

TEST_F(RunnerTest, SettingsOfTheSessionAreSaidAgainWhenItIsGoneOnWith) {
  scripts.clear();
  Add("009_set.sql", "SET search_path = x; a; VACUUM t; b;");
  FakeDatabase database(disk);
  database.fails = [](const Statement& statement) -> Result<void> {
    if (statement.text == "b") return Error(Code::kUnavailable, "gone");
    return {};
  };
  ASSERT_FALSE(RunOn(database));
  database.fails = nullptr;
  ASSERT_TRUE(RunOn(database));
  EXPECT_THAT(disk.done, ElementsAre("SET search_path = x", "a", "VACUUM t", "SET search_path = x", "b"));
}

}  // namespace
}  // namespace ingot::migrate
