#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <random>

#include "adapters/migration_database.h"
#include "adapters/sqlite.h"
#include "migrate/runner.h"

namespace ingot::adapters {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SqliteMigrationsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "ingot-migrate-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    target_.engine = migrate::Engine::kSqlite;
    target_.url = "sqlite://" + (directory_ / "shop.db").string();
    options_.set = "shop/shop";
    options_.engine = migrate::Engine::kSqlite;
    hooks_.text = [this](const migrate::Script& script) -> Result<std::string> {
      return texts_.at(script.version);
    };
  }
  void TearDown() override { fs::remove_all(directory_); }

  void Add(const std::string& file, const std::string& text) {
    migrate::Script script = *migrate::ParseScriptName(file);
    script.file = "m/" + file;
    script.checksum = text;
    texts_[script.version] = text;
    scripts_.push_back(script);
  }
  Result<std::vector<migrate::Script>> Migrated() {
    auto database = TRY(OpenMigrationDatabase(target_));
    return migrate::Run(*database, scripts_, options_, hooks_, clock_);
  }
  int64_t Number(const std::string& sql) {
    Database db = *Database::OpenForeign(directory_ / "shop.db");
    auto query = *db.Prepare(sql);
    EXPECT_TRUE(*query.Step());
    return query.Int(0);
  }

  fs::path directory_;
  MigrationTarget target_;
  migrate::RunOptions options_;
  migrate::RunHooks hooks_;
  std::map<uint64_t, std::string> texts_;
  std::vector<migrate::Script> scripts_;
  SystemClock clock_;
};

TEST_F(SqliteMigrationsTest, RunsAndRemembers) {
  Add("001_one.sql", "CREATE TABLE t (a INT); INSERT INTO t VALUES (1);");
  Add("002_two.sql", "PRAGMA foreign_keys = on; INSERT INTO t VALUES (2); VACUUM; INSERT INTO t VALUES (3);");
  ASSERT_THAT(*Migrated(), SizeIs(2));
  EXPECT_THAT(*Migrated(), IsEmpty());
  EXPECT_EQ(Number("SELECT count(*) FROM t"), 3);
  const auto database = *OpenMigrationDatabase(target_);
  const auto ledger = *database->ReadLedger("shop/shop");
  ASSERT_THAT(ledger, SizeIs(2));
  EXPECT_EQ(ledger[1].done, 4u);
  EXPECT_TRUE(ledger[1].ended);
  EXPECT_THAT(*database->ReadLedger("shop/other"), IsEmpty());
  // What a script sets for its session ends with it, and the file's own journal mode stays.
  EXPECT_EQ(Number("SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'delete'"), 1);
}

TEST_F(SqliteMigrationsTest, AFailureTakesItsTransactionBack) {
  Add("001_one.sql", "CREATE TABLE t (a INT UNIQUE);\nINSERT INTO t VALUES (1);\nINSERT INTO t VALUES (1);");
  const auto failed = Migrated();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code(), Code::kFailed);
  EXPECT_EQ(failed.error().Render(), "m/001_one.sql:3: UNIQUE constraint failed: t.a");
  EXPECT_EQ(Number("SELECT count(*) FROM sqlite_schema WHERE name = 't'"), 0);
  EXPECT_EQ(Number("SELECT count(*) FROM ingot_migrations"), 0);
}

TEST_F(SqliteMigrationsTest, OneAtATime) {
  target_.lock_wait = Milliseconds(50);
  const auto first = *OpenMigrationDatabase(target_);
  ASSERT_TRUE(first->Lock());
  const auto second = Migrated();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kConflict);
  EXPECT_THAT(second.error().message(), HasSubstr("another Ingot migrates"));
}

TEST_F(SqliteMigrationsTest, WhatIsNoDatabaseIsNotEmpty) {
  ASSERT_TRUE(WriteFileAtomic(directory_ / "shop.db", std::string(5'000, 'x')));
  const auto opened = OpenMigrationDatabase(target_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::kCorrupt);
}

TEST_F(SqliteMigrationsTest, KilledAnywhereItIsGoneOnWith) {
  std::string inserts;
  for (int i = 0; i < 40; ++i) inserts += "INSERT INTO t VALUES (" + std::to_string(i) + ");\n";
  Add("001_t.sql", "CREATE TABLE t (a INT);");
  Add("002_whole.sql", inserts);
  Add("003_each.sql", "-- ingot: no-transaction\n" + inserts);
  Add("004_alone.sql", inserts + "VACUUM;\n" + inserts);
  std::mt19937 random(3);
  int kills = 0;
  for (int i = 0; i < 200; ++i) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) ::_exit(Migrated() ? 0 : 1);
    ::usleep(random() % 4'000);
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    kills += WIFSIGNALED(status) ? 1 : 0;
    if (!WIFSIGNALED(status)) break;
  }
  EXPECT_GT(kills, 0);
  const auto last = Migrated();
  ASSERT_TRUE(last) << last.error().Render();
  EXPECT_EQ(Number("SELECT count(*) FROM t"), 160);
  EXPECT_EQ(Number("SELECT count(*) FROM (SELECT a FROM t GROUP BY a HAVING count(*) = 4)"), 40);
  EXPECT_EQ(Number("SELECT count(*) FROM ingot_migrations WHERE ended IS NOT NULL AND NOT running"), 4);
}

}  // namespace
}  // namespace ingot::adapters
