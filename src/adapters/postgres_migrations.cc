// Migrations of a PostgreSQL database.
//
// Two sessions. One holds the advisory lock that keeps others out, and does nothing else: no script can give
// it away. The other works, and holds a second lock: after a kill the first is free at once, the second when
// the statement that was left behind has ended. Locks are asked for again and again with
// pg_try_advisory_lock: whoever waits inside pg_advisory_lock has a snapshot, and CREATE INDEX CONCURRENTLY
// of the holder would wait for it for ever.
#include <thread>

#include "adapters/migration_database.h"
#include "adapters/postgres.h"

namespace ingot::adapters {
namespace {

using migrate::LedgerEntry;
using migrate::Outcome;

constexpr int64_t kLock = 0x696e676f746d6967;  // "ingotmig"
constexpr int64_t kWorkLock = kLock + 1;
constexpr auto kAskAgain = std::chrono::milliseconds(100);
// A statement that waits for a lock holds up everybody who comes after it.
constexpr const char* kLockTimeout = "5s";

class PostgresMigrations final : public migrate::Database {
 public:
  PostgresMigrations(std::unique_ptr<PostgresSession> work, MigrationTarget target, std::string schema)
      : work_(std::move(work)),
        target_(std::move(target)),
        table_(work_->Quoted(schema) + ".ingot_migrations") {}

  Result<void> Lock() override {
    lock_ = TRY(OpenSession(target_, " (lock)"));
    if (lock_->server_version() >= 140000) TRY(lock_->Query("SET idle_session_timeout = 0"));
    TRY(Take(*lock_, kLock));
    TRY(NewSession());
    const auto there = TRY(work_->Query("SELECT to_regclass($1)", {table_}));
    if (there.at(0).at(0)) return {};
    TRY(work_->Query(
        "CREATE TABLE " + table_ +
        " (migration text NOT NULL, version bigint NOT NULL, name text NOT NULL, stage text NOT NULL,"
        " checksum text NOT NULL, statements integer NOT NULL, done integer NOT NULL,"
        " running boolean NOT NULL, started timestamptz NOT NULL, ended timestamptz,"
        " revision text NOT NULL, who text NOT NULL, PRIMARY KEY (migration, version))"));
    return {};
  }

  Result<std::vector<LedgerEntry>> ReadLedger(const std::string& set) override {
    std::vector<LedgerEntry> out;
    const auto there = TRY(work_->Query("SELECT to_regclass($1)", {table_}));
    if (!there.at(0).at(0)) return out;
    const std::string time = "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'";
    const auto rows =
        TRY(work_->Query("SELECT version, name, stage, checksum, statements, done, running::int,"
                         " to_char(started AT TIME ZONE 'UTC', " +
                             time + "), to_char(ended AT TIME ZONE 'UTC', " + time +
                             "), revision, who FROM " + table_ + " WHERE migration = $1 ORDER BY version",
                         {set}));
    for (const PostgresSession::Row& row : rows) {
      const auto text = [&](size_t column) { return row.at(column).value_or(""); };
      LedgerEntry entry;
      entry.set = set;
      entry.version = std::strtoull(text(0).c_str(), nullptr, 10);
      entry.name = text(1);
      entry.stage = TRY(migrate::ParseStage(text(2)));
      entry.checksum = text(3);
      entry.statements = static_cast<uint32_t>(std::strtoul(text(4).c_str(), nullptr, 10));
      entry.done = static_cast<uint32_t>(std::strtoul(text(5).c_str(), nullptr, 10));
      entry.running = text(6) == "1";
      entry.started = TRY(ParseTime(text(7)));
      if (row.at(8)) entry.ended = TRY(ParseTime(text(8)));
      entry.revision = text(9);
      entry.who = text(10);
      out.push_back(std::move(entry));
    }
    return out;
  }

  Result<void> WriteLedger(const LedgerEntry& entry) override {
    TRY(StillLocked());
    const std::string ended = entry.ended ? RenderTime(*entry.ended) : "";
    TRY(work_->Query(
        "INSERT INTO " + table_ +
            " (migration, version, name, stage, checksum, statements, done, running, started, ended,"
            " revision, who) VALUES ($1, $2, $3, $4, $5, $6, $7, $8::int::boolean, $9::timestamptz,"
            " nullif($10, '')::timestamptz, $11, $12) ON CONFLICT (migration, version) DO UPDATE SET"
            " statements = excluded.statements, done = excluded.done, running = excluded.running,"
            " ended = excluded.ended",
        {entry.set, std::to_string(entry.version), entry.name, std::string(migrate::StageName(entry.stage)),
         entry.checksum, std::to_string(entry.statements), std::to_string(entry.done),
         entry.running ? "1" : "0", RenderTime(entry.started), ended, entry.revision, entry.who}));
    return {};
  }

  Result<void> NewSession() override {
    TRY(work_->Query("DISCARD ALL"));
    TRY(work_->Query(std::string("SET lock_timeout = '") + kLockTimeout + "'"));
    // What a role has for its requests is not meant for these.
    TRY(work_->Query("SET statement_timeout = 0"));
    TRY(work_->Query("SET idle_in_transaction_session_timeout = 0"));
    // A server whose client was killed looks for it, and ends the statement (from 14 on; before that it runs
    // to its end, and the second lock has us wait for it).
    if (work_->server_version() >= 140000) TRY(work_->Query("SET client_connection_check_interval = '1s'"));
    return Take(*work_, kWorkLock);
  }

  Result<void> InTransaction(const std::function<Result<void>()>& work) override {
    TRY(StillLocked());
    TRY(work_->Query("BEGIN"));
    auto done = work();
    if (!done) {
      // One that was told to end is left to the end of its session.
      if (done.error().code() != Code::kCancelled) static_cast<void>(work_->Query("ROLLBACK").has_value());
      return done;
    }
    TRY(StillLocked());
    return work_->Execute("COMMIT");
  }

  Result<void> Execute(const migrate::Statement& statement) override {
    TRY(StillLocked());
    // What runs CONCURRENTLY waits for old transactions without holding anybody up.
    const bool patient = statement.alone && statement.Has("concurrently");
    const auto run = [&] { return work_->Execute(statement.text, statement.line); };
    return patient ? Patiently(run) : run();
  }

  Result<Outcome> Settle(const migrate::Statement& statement) override {
    if (statement.Begins({"create"})) return SettleIndex(statement);
    if (statement.Begins({"drop", "index"})) {
      const std::string name = NameAfter(statement, {"concurrently", "exists"});
      return TRY(work_->Query("SELECT to_regclass($1)", {name})).at(0).at(0) ? Outcome::kNotDone
                                                                             : Outcome::kDone;
    }
    if (statement.Begins({"alter", "type"})) return SettleValue(statement);
    if (statement.Begins({"alter", "table"})) return SettleDetach(statement);
    return Outcome::kNotDone;  // VACUUM, REINDEX: may be said again
  }

  static Result<std::unique_ptr<PostgresSession>> OpenSession(const MigrationTarget& target,
                                                              const std::string& suffix) {
    PostgresOptions options;
    const bool whole = target.secret.starts_with("postgres://") || target.secret.starts_with("postgresql://");
    options.url = whole ? target.secret : target.url;
    options.url_is_secret = whole;
    if (!whole) options.password = target.secret;
    while (!options.url.empty() && options.url.back() == '\n') options.url.pop_back();
    while (!options.password.empty() && options.password.back() == '\n') options.password.pop_back();
    options.application = target.application.substr(0, 50) + suffix;
    options.cancelled = target.cancelled;
    return PostgresSession::Open(options);
  }

 private:
  // Without a limit of waiting for locks; then with the one that was in force, which a script may have set.
  Result<void> Patiently(const std::function<Result<void>()>& run) {
    const auto former = TRY(work_->Query("SELECT current_setting('lock_timeout')")).at(0).at(0).value_or("0");
    TRY(work_->Query("SET lock_timeout = 0"));
    TRY(run());
    TRY(work_->Query("SELECT set_config('lock_timeout', $1, false)", {former}));
    return {};
  }

  Result<void> Take(PostgresSession& session, int64_t lock) {
    const auto until = std::chrono::steady_clock::now() + target_.lock_wait;
    while (true) {
      const auto taken = TRY(session.Query("SELECT pg_try_advisory_lock($1)::int", {std::to_string(lock)}));
      if (taken.at(0).at(0) == "1") return {};
      if (target_.cancelled && target_.cancelled()) return Error(Code::kCancelled, "ended, as was asked for");
      if (std::chrono::steady_clock::now() >= until) return Held(session, lock);
      std::this_thread::sleep_for(kAskAgain);
    }
  }

  Error Held(PostgresSession& session, int64_t lock) {
    std::string holder = "a session that the server does not show";
    const auto rows = session.Query(
        "SELECT a.pid, a.application_name, coalesce(host(a.client_addr), 'this host'), a.backend_start::text"
        " FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND "
        "l.granted"
        " AND l.objsubid = 1 AND l.database = (SELECT oid FROM pg_database WHERE datname = "
        "current_database())"
        " AND (l.classid::bigint << 32) | l.objid::bigint = $1",
        {std::to_string(lock)});
    if (rows && !rows->empty()) {
      const auto text = [&](size_t column) { return rows->front().at(column).value_or(""); };
      holder = "\"" + text(1) + "\" (process " + text(0) + " of the server, from " + text(2) + ", since " +
               text(3) + ")";
    }
    return Error(Code::kConflict,
                 (lock == kLock ? "another migration of this database is running: "
                                : "a statement of a migration that was killed is still running: ") +
                     holder + " did not end within " + std::to_string(target_.lock_wait.count() / 1000) +
                     " s. Try again when it has, or end it with pg_terminate_backend");
  }

  // A lock whose session is gone may be somebody else's by now.
  Result<void> StillLocked() {
    if (lock_ != nullptr && lock_->Alive()) return {};
    return Error(Code::kUnavailable,
                 "the session that holds the lock on the database was ended by the server");
  }

  // The name, perhaps with its schema, at the first token that is none of these words; from there `at` goes
  // on.
  static std::string TakeName(const migrate::Statement& statement, size_t& at) {
    std::string name;
    const auto& tokens = statement.tokens;
    for (; at < tokens.size(); ++at) {
      name += tokens[at].text;
      const bool more = at + 1 < tokens.size() && (tokens[at + 1].Is(".") || tokens[at].Is("."));
      if (!more) {
        ++at;
        break;
      }
    }
    return name;
  }
  // The name after the last of these words.
  static std::string NameAfter(const migrate::Statement& statement,
                               std::initializer_list<std::string_view> words) {
    size_t at = 0;
    for (size_t i = 0; i < statement.tokens.size(); ++i)
      for (const std::string_view word : words)
        if (statement.tokens[i].Is(word)) at = i + 1;
    return TakeName(statement, at);
  }

  // An index that was being made is there and invalid: it is of no use to anybody, and in the way.
  Result<Outcome> SettleIndex(const migrate::Statement& statement) {
    size_t at = 0;
    const auto& tokens = statement.tokens;
    while (at < tokens.size() && !tokens[at].Is("concurrently")) ++at;
    ++at;
    if (at + 2 < tokens.size() && tokens[at].Is("if")) at += 3;
    const std::string name = TakeName(statement, at);
    while (at < tokens.size() && (tokens[at].Is("on") || tokens[at].Is("only"))) ++at;
    const std::string table = TakeName(statement, at);
    const auto rows = TRY(work_->Query(
        "SELECT i.indisvalid::int, quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relname = (parse_ident($1))[1] AND i.indrelid = to_regclass($2)",
        {name, table}));
    if (rows.empty()) return Outcome::kNotDone;
    if (rows.front().at(0) == "1") return Outcome::kDone;
    TRY(Patiently(
        [&] { return work_->Execute("DROP INDEX CONCURRENTLY " + rows.front().at(1).value_or("")); }));
    return Outcome::kNotDone;
  }

  Result<Outcome> SettleValue(const migrate::Statement& statement) {
    size_t at = 2;
    const std::string type = TakeName(statement, at);
    for (const migrate::Token& token : statement.tokens) {
      if (token.kind != migrate::Token::Kind::kString) continue;
      const std::string value =
          statement.text.substr(token.begin - statement.tokens.front().begin, token.end - token.begin);
      const auto rows = TRY(work_->Query(
          "SELECT 1 FROM pg_enum WHERE enumtypid = to_regtype($1) AND enumlabel = " + value, {type}));
      return rows.empty() ? Outcome::kNotDone : Outcome::kDone;
    }
    return Outcome::kNotDone;
  }

  // A partition that was being detached may be so by half; then it can only be finished.
  Result<Outcome> SettleDetach(const migrate::Statement& statement) {
    const auto& tokens = statement.tokens;
    size_t at = 2;
    while (at < tokens.size() && (tokens[at].Is("if") || tokens[at].Is("exists") || tokens[at].Is("only")))
      ++at;
    const std::string table = TakeName(statement, at);
    const std::string partition = NameAfter(statement, {"partition"});
    const auto rows = TRY(work_->Query(
        "SELECT inhdetachpending::int FROM pg_inherits WHERE inhrelid = to_regclass($1) AND inhparent = "
        "to_regclass($2)",
        {partition, table}));
    if (rows.empty()) return Outcome::kDone;
    if (rows.front().at(0) != "1") return Outcome::kNotDone;
    TRY(work_->Execute("ALTER TABLE " + table + " DETACH PARTITION " + partition + " FINALIZE"));
    return Outcome::kDone;
  }

  std::unique_ptr<PostgresSession> work_;
  MigrationTarget target_;
  std::string table_;
  std::unique_ptr<PostgresSession> lock_;
};

}  // namespace

Result<std::unique_ptr<migrate::Database>> OpenPostgresMigrations(const MigrationTarget& target) {
  auto session = TRY(PostgresMigrations::OpenSession(target, ""));
  // Where the ledger is, also when a script has made a schema since that comes before it in the search_path.
  const auto rows = TRY(session->Query(
      "SELECT coalesce((SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
      " WHERE c.oid = to_regclass('ingot_migrations')), current_schema())"));
  if (!rows.at(0).at(0))
    return Error(Code::kFailed, "the user of the database has no schema to work in; set its search_path");
  const std::string schema = *rows.at(0).at(0);
  return std::unique_ptr<migrate::Database>(new PostgresMigrations(std::move(session), target, schema));
}

Result<std::unique_ptr<migrate::Database>> OpenMigrationDatabase(const MigrationTarget& target) {
  return target.engine == migrate::Engine::kSqlite ? OpenSqliteMigrations(target)
                                                   : OpenPostgresMigrations(target);
}

}  // namespace ingot::adapters
