// Migrations of an SQLite database: a file of this host. Its lock is one on a file beside it, since SQLite's
// own lasts as long as a transaction; each transaction begins with BEGIN IMMEDIATE.
#include <thread>

#include "adapters/migration_database.h"
#include "adapters/sqlite.h"

namespace ingot::adapters {
namespace {

using migrate::LedgerEntry;
using migrate::Outcome;

constexpr std::string_view kScheme = "sqlite://";

constexpr const char* kTable =
    "CREATE TABLE IF NOT EXISTS main.ingot_migrations ("
    "migration TEXT NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL, stage TEXT NOT NULL,"
    "checksum TEXT NOT NULL, statements INTEGER NOT NULL, done INTEGER NOT NULL, running INTEGER NOT NULL,"
    "started TEXT NOT NULL, ended TEXT, revision TEXT NOT NULL, who TEXT NOT NULL,"
    "PRIMARY KEY (migration, version))";

// Inside the class its base has the name.
using SqliteFile = Database;

class SqliteMigrations final : public migrate::Database {
 public:
  SqliteMigrations(SqliteFile db, const MigrationTarget& target) : db_(std::move(db)), target_(target) {}

  Result<void> Lock() override {
    const fs::path path = db_->path() + ".ingot-lock";
    const auto until = std::chrono::steady_clock::now() + target_.lock_wait;
    while (true) {
      auto lock = FileLock::Take(path, /*wait=*/false);
      if (lock) {
        lock_ = std::make_unique<FileLock>(std::move(*lock));
        break;
      }
      if (lock.error().code() != Code::kConflict) return std::move(lock).error();
      if (target_.cancelled && target_.cancelled()) return Error(Code::kCancelled, "ended, as was asked for");
      if (std::chrono::steady_clock::now() >= until)
        return Error(Code::kConflict, "another Ingot migrates " + db_->path() + "; `fuser " + path.string() +
                                          "` shows its process. Try again when it has ended");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return db_->Execute(kTable);
  }

  Result<std::vector<LedgerEntry>> ReadLedger(const std::string& set) override {
    std::vector<LedgerEntry> out;
    Statement there = TRY(
        db_->Prepare("SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = 'ingot_migrations'"));
    if (!TRY(there.Step())) return out;
    Statement rows = TRY(db_->Prepare(
        "SELECT version, name, stage, checksum, statements, done, running, started, ended, revision, who "
        "FROM main.ingot_migrations WHERE migration = ?1 ORDER BY version"));
    rows.Bind(1, set);
    while (TRY(rows.Step())) {
      LedgerEntry entry;
      entry.set = set;
      entry.version = static_cast<uint64_t>(rows.Int(0));
      entry.name = rows.Text(1);
      entry.stage = TRY(migrate::ParseStage(rows.Text(2)));
      entry.checksum = rows.Text(3);
      entry.statements = static_cast<uint32_t>(rows.Int(4));
      entry.done = static_cast<uint32_t>(rows.Int(5));
      entry.running = rows.Int(6) != 0;
      entry.started = TRY(ParseTime(rows.Text(7)));
      if (!rows.IsNull(8)) entry.ended = TRY(ParseTime(rows.Text(8)));
      entry.revision = rows.Text(9);
      entry.who = rows.Text(10);
      out.push_back(std::move(entry));
    }
    return out;
  }

  Result<void> WriteLedger(const LedgerEntry& entry) override {
    std::optional<std::string> ended;
    if (entry.ended) ended = RenderTime(*entry.ended);
    Statement write =
        TRY(db_->Prepare("INSERT INTO main.ingot_migrations (migration, version, name, stage, checksum, "
                         "statements, done, running,"
                         " started, ended, revision, who) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)"
                         " ON CONFLICT (migration, version) DO UPDATE SET statements = ?6, done = ?7, "
                         "running = ?8, ended = ?10"));
    return write
        .BindAll(entry.set, entry.version, entry.name, std::string(migrate::StageName(entry.stage)),
                 entry.checksum, static_cast<uint64_t>(entry.statements), static_cast<uint64_t>(entry.done),
                 entry.running, RenderTime(entry.started), ended, entry.revision, entry.who)
        .Run();
  }

  // A connection of its own is the only way to be rid of every PRAGMA.
  Result<void> NewSession() override {
    if (fresh_) return {};
    const fs::path path = db_->path();
    SqliteFile next = TRY(SqliteFile::OpenForeign(path));
    db_.emplace(std::move(next));
    fresh_ = true;
    return {};
  }

  Result<void> InTransaction(const std::function<Result<void>()>& work) override {
    Transaction transaction = TRY(Transaction::Begin(*db_));
    TRY(work());
    return transaction.Commit();
  }

  Result<void> Execute(const migrate::Statement& statement) override {
    fresh_ = false;
    return db_->RunForeign(statement.text, target_.cancelled);
  }

  // What runs alone here, VACUUM and settings of the session, may be said again.
  Result<Outcome> Settle(const migrate::Statement&) override { return Outcome::kNotDone; }

 private:
  std::optional<SqliteFile> db_;
  MigrationTarget target_;
  std::unique_ptr<FileLock> lock_;
  bool fresh_ = true;
};

}  // namespace

Result<std::unique_ptr<migrate::Database>> OpenSqliteMigrations(const MigrationTarget& target) {
  if (!target.url.starts_with(kScheme) || target.url.size() == kScheme.size() ||
      target.url[kScheme.size()] != '/')
    return Error(Code::kInvalid, "expected sqlite:///absolute/path");
  // Before the allocation, which a TRY inside it would leave behind.
  Database database = TRY(Database::OpenForeign(target.url.substr(kScheme.size())));
  return std::unique_ptr<migrate::Database>(new SqliteMigrations(std::move(database), target));
}

}  // namespace ingot::adapters
