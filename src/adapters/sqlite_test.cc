#include "adapters/sqlite.h"

#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <fstream>
#include <thread>

namespace ingot::adapters {
namespace {

const std::vector<std::string> kSteps = {
    "CREATE TABLE t(k TEXT PRIMARY KEY, n INTEGER, b BLOB); CREATE TABLE child(k TEXT REFERENCES t(k));",
    "ALTER TABLE t ADD COLUMN extra TEXT;",
};

class SqliteTest : public testing::Test {
 protected:
  TempDirectory directory_ = *TempDirectory::Make("/tmp/ingot-test", "sqlite");
  fs::path path_ = directory_.path() / "x.db";

  Database Opened() {
    auto db = Database::Open(path_);
    EXPECT_TRUE(db) << db.error().Render();
    auto migrated = Migrate(*db, kSteps);
    EXPECT_TRUE(migrated) << migrated.error().Render();
    return *std::move(db);
  }
  int64_t Count(Database& db) {
    Statement query = *db.Prepare("SELECT count(*) FROM t");
    EXPECT_TRUE(*query.Step());
    return query.Int(0);
  }
};

TEST_F(SqliteTest, KeepsValuesOfEachTypeExactly) {
  Database db = Opened();
  const std::string bytes("\0\xff\n", 3);
  ASSERT_TRUE(db.Run("INSERT INTO t(k,n,b) VALUES(?,?,?)", "a\nb", int64_t{-5}, SqlBlob{bytes}));
  ASSERT_TRUE(db.Run("INSERT INTO t(k,n,b) VALUES(?,?,?)", std::string(), uint64_t{1} << 62, nullptr));
  EXPECT_EQ(db.Changes(), 1);
  Statement query = *db.Prepare("SELECT k,n,b FROM t ORDER BY n");
  ASSERT_TRUE(*query.Step());
  EXPECT_EQ(query.Text(0), "a\nb");
  EXPECT_EQ(query.Int(1), -5);
  EXPECT_EQ(query.Blob(2), bytes);
  EXPECT_FALSE(query.IsNull(2));
  ASSERT_TRUE(*query.Step());
  EXPECT_EQ(query.Text(0), "");
  EXPECT_FALSE(query.IsNull(0));
  EXPECT_EQ(query.Int(1), int64_t{1} << 62);
  EXPECT_TRUE(query.IsNull(2));
  EXPECT_FALSE(*query.Step());
}

TEST_F(SqliteTest, IsOpenedForDurability) {
  Database db = Opened();
  const auto pragma = [&](const std::string& name) {
    Statement query = *db.Prepare("PRAGMA " + name);
    EXPECT_TRUE(*query.Step());
    return query.Text(0);
  };
  EXPECT_EQ(pragma("journal_mode"), "wal");
  EXPECT_EQ(pragma("synchronous"), "2");
  EXPECT_EQ(pragma("foreign_keys"), "1");
  struct stat st {};
  ASSERT_EQ(::stat(path_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600U);
}

TEST_F(SqliteTest, RollsBackWhatIsNotCommitted) {
  Database db = Opened();
  {
    Transaction transaction = *Transaction::Begin(db);
    ASSERT_TRUE(db.Run("INSERT INTO t(k) VALUES('lost')"));
    EXPECT_TRUE(db.InTransaction());
  }
  EXPECT_FALSE(db.InTransaction());
  EXPECT_EQ(Count(db), 0);
  Transaction transaction = *Transaction::Begin(db);
  ASSERT_TRUE(db.Run("INSERT INTO t(k) VALUES('kept')"));
  ASSERT_TRUE(transaction.Commit());
  EXPECT_EQ(transaction.Commit().error().code(), Code::kInternal);
  Database other = Opened();
  EXPECT_EQ(Count(other), 1);
}

TEST_F(SqliteTest, TellsKindsOfFailureApart) {
  Database db = Opened();
  ASSERT_TRUE(db.Run("INSERT INTO t(k) VALUES('a')"));
  EXPECT_EQ(db.Run("INSERT INTO t(k) VALUES('a')").error().code(), Code::kExists);
  EXPECT_EQ(db.Run("INSERT INTO child(k) VALUES('nobody')").error().code(), Code::kExists);
  EXPECT_EQ(db.Run("INSERT INTO nowhere VALUES(1)").error().code(), Code::kInternal);
  EXPECT_EQ(db.Run("INSERT INTO t(k) VALUES(?)", "b", "too many").error().code(), Code::kInternal);
  EXPECT_EQ(Database::Open(directory_.path() / "no" / "x.db").error().code(), Code::kNotFound);
  EXPECT_EQ(Database::Open(directory_.path()).error().code(), Code::kIo);
}

TEST_F(SqliteTest, ACorruptFileIsCalledCorrupt) {
  std::ofstream(path_) << std::string(8192, 'x');
  auto db = Database::Open(path_);
  ASSERT_FALSE(db);
  EXPECT_EQ(db.error().code(), Code::kCorrupt);
  EXPECT_THAT(db.error().Render(), testing::HasSubstr(path_.string()));
}

TEST_F(SqliteTest, MigratesStepByStepAndOnce) {
  {
    Database db = *Database::Open(path_);
    ASSERT_TRUE(Migrate(db, {kSteps[0]}));
    ASSERT_TRUE(db.Run("INSERT INTO t(k) VALUES('old')"));
  }
  Database db = *Database::Open(path_);
  ASSERT_TRUE(Migrate(db, kSteps));
  ASSERT_TRUE(Migrate(db, kSteps));
  Statement query = *db.Prepare("SELECT k, extra FROM t");
  ASSERT_TRUE(*query.Step());
  EXPECT_EQ(query.Text(0), "old");
  EXPECT_TRUE(query.IsNull(1));
}

TEST_F(SqliteTest, KeepsACopyOfWhatAnOlderVersionKnows) {
  {
    Database db = *Database::Open(path_);
    ASSERT_TRUE(Migrate(db, {kSteps[0]}));
    EXPECT_FALSE(fs::exists(SchemaCopy(path_, 0)));
    ASSERT_TRUE(db.Run("INSERT INTO t(k) VALUES('old')"));
    ASSERT_TRUE(Migrate(db, kSteps));
    ASSERT_TRUE(db.Run("INSERT INTO t(k) VALUES('new')"));
    // The older one says where its own is.
    auto older = Migrate(db, {kSteps[0]});
    ASSERT_FALSE(older);
    EXPECT_THAT(older.error().message(), testing::HasSubstr(SchemaCopy(path_, 1).string()));
  }
  struct stat st {};
  ASSERT_EQ(::stat(SchemaCopy(path_, 1).c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  Database copy = *Database::Open(SchemaCopy(path_, 1));
  ASSERT_TRUE(Migrate(copy, {kSteps[0]}));
  EXPECT_EQ(Count(copy), 1);
}

TEST_F(SqliteTest, WithoutACopyNothingIsMigrated) {
  Database db = *Database::Open(path_);
  ASSERT_TRUE(Migrate(db, {kSteps[0]}));
  // As a full disk would: the copy cannot be made under its name.
  const fs::path made = SchemaCopy(path_, 1).string() + ".tmp." + std::to_string(::getpid());
  fs::create_directories(made / "in the way");
  const auto migrated = Migrate(db, kSteps);
  ASSERT_FALSE(migrated);
  EXPECT_THAT(migrated.error().Render(), testing::HasSubstr("keeping a copy"));
  fs::remove_all(made);
  EXPECT_TRUE(Migrate(db, {kSteps[0]}));
  EXPECT_TRUE(Migrate(db, kSteps));
}

TEST_F(SqliteTest, AFailedMigrationChangesNothing) {
  Database db = *Database::Open(path_);
  auto migrated = Migrate(db, {kSteps[0], "CREATE TABLE second(a); CREATE TABLE t(a);"});
  ASSERT_FALSE(migrated);
  EXPECT_THAT(migrated.error().Render(), testing::HasSubstr("to schema version 2"));
  EXPECT_FALSE(db.InTransaction());
  // The first step holds, the second not at all, and it can be done right later.
  ASSERT_TRUE(Migrate(db, {kSteps[0], "CREATE TABLE second(a);"}));
}

TEST_F(SqliteTest, RefusesANewerSchema) {
  { Database db = Opened(); }
  Database db = *Database::Open(path_);
  auto migrated = Migrate(db, {kSteps[0]});
  ASSERT_FALSE(migrated);
  EXPECT_EQ(migrated.error().code(), Code::kUnsupported);
  EXPECT_THAT(migrated.error().message(), testing::HasSubstr("has schema version 2"));
  EXPECT_THAT(migrated.error().message(), testing::HasSubstr("knows 1"));
}

TEST_F(SqliteTest, ManyProcessesMayCreateItAtOnce) {
  std::vector<pid_t> children;
  for (int i = 0; i < 12; ++i) {
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      auto db = Database::Open(path_);
      if (!db) ::_exit(1);
      if (!Migrate(*db, kSteps)) ::_exit(2);
      auto transaction = Transaction::Begin(*db);
      if (!transaction) ::_exit(3);
      if (!db->Run("INSERT INTO t(k) VALUES(?)", i)) ::_exit(4);
      ::_exit(transaction->Commit() ? 0 : 5);
    }
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
  }
  Database db = Opened();
  EXPECT_EQ(Count(db), 12);
}

TEST_F(SqliteTest, WritersWaitForEachOther) {
  Database first = Opened();
  Database second = Opened();
  auto holding = std::make_optional(*Transaction::Begin(first));
  std::thread releasing([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ASSERT_TRUE(holding->Commit());
  });
  auto waited = Transaction::Begin(second);
  releasing.join();
  EXPECT_TRUE(waited) << waited.error().Render();
}

TEST_F(SqliteTest, AFullDiskIsNoSpaceAndLosesNothing) {
  const fs::path small = directory_.path() / "small";
  ASSERT_TRUE(MakeDirectories(small));
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=512k") != 0) GTEST_SKIP() << "SKIP: cannot mount";
  {
    Database db = *Database::Open(small / "x.db");
    ASSERT_TRUE(Migrate(db, kSteps));
    ASSERT_TRUE(db.Run("INSERT INTO t(k) VALUES('kept')"));
    auto inserted = db.Run("INSERT INTO t(k,b) VALUES('big', ?)", SqlBlob{std::string(1 << 20, 'x')});
    ASSERT_FALSE(inserted);
    EXPECT_EQ(inserted.error().code(), Code::kNoSpace) << inserted.error().Render();
    EXPECT_FALSE(db.InTransaction());
    EXPECT_EQ(Count(db), 1);
    EXPECT_TRUE(db.Run("INSERT INTO t(k) VALUES('small')"));
  }
  EXPECT_EQ(::umount(small.c_str()), 0);
}

}  // namespace
}  // namespace ingot::adapters
