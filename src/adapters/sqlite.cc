#include "adapters/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

namespace ingot::adapters {
namespace {

constexpr int kPatienceMs = 10'000;

Code CodeOf(int status) {
  switch (status & 0xff) {
    case SQLITE_FULL:
      return Code::kNoSpace;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Code::kConflict;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
      return Code::kCorrupt;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return Code::kPermission;
    case SQLITE_CONSTRAINT:
      return Code::kExists;
    case SQLITE_ERROR:
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
      return Code::kInternal;
    default:
      return Code::kIo;
  }
}

std::string_view Remedy(Code code) {
  switch (code) {
    case Code::kNoSpace:
      return " Free some space on its filesystem and try again.";
    case Code::kConflict:
      return " Another process holds it; try again when that has ended.";
    case Code::kCorrupt:
      return " Restore it from a backup.";
    case Code::kPermission:
      return " Ingot needs root, and a filesystem that is mounted read-write.";
    default:
      return "";
  }
}

Error SqlError(sqlite3* db, int status, const std::string& path) {
  const Code code = CodeOf(status);
  // The connection's text says more than the code's, when it is about this very error.
  const bool own = db != nullptr && (sqlite3_errcode(db) & 0xff) == (status & 0xff);
  std::string text = own ? sqlite3_errmsg(db) : sqlite3_errstr(status);
  const int system = db != nullptr ? sqlite3_system_errno(db) : 0;
  if ((status & 0xff) == SQLITE_IOERR || (status & 0xff) == SQLITE_CANTOPEN) {
    // A write that failed for want of space is an I/O error to SQLite.
    if (system == ENOSPC || system == EDQUOT) {
      return Error(Code::kNoSpace,
                   "database " + path + ": no space left." + std::string(Remedy(Code::kNoSpace)));
    }
    if (system != 0) {
      const Error by_system = ErrnoError(system, "use the database " + path);
      return Error(by_system.code(), by_system.message() + " (" + text + ")");
    }
  }
  return Error(code, "database " + path + ": " + text + "." + std::string(Remedy(code)));
}

// SQLite's own waits grow to a tenth of a second. Whoever writes again and again leaves only short gaps, and
// who looks that rarely finds none of them: a collection beside pushes took a second, most of it asleep.
int WaitForOthers(void*, int times) {
  if (times >= kPatienceMs) return 0;
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return 1;
}

}  // namespace

// Statement

Statement::Statement(Statement&& other) noexcept
    : db_(other.db_),
      stmt_(std::exchange(other.stmt_, nullptr)),
      path_(other.path_),
      bind_error_(other.bind_error_) {}

Statement::~Statement() {
  sqlite3_finalize(stmt_);
}

void Statement::Bind(int index, int64_t value) {
  if (const int status = sqlite3_bind_int64(stmt_, index, value); status != SQLITE_OK) bind_error_ = status;
}

void Statement::Bind(int index, std::string_view text) {
  // A null pointer would bind NULL; an empty text is not that.
  const char* data = text.data() == nullptr ? "" : text.data();
  const int status = sqlite3_bind_text64(stmt_, index, data, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (status != SQLITE_OK) bind_error_ = status;
}

void Statement::Bind(int index, SqlBlob blob) {
  const char* data = blob.bytes.data() == nullptr ? "" : blob.bytes.data();
  const int status = sqlite3_bind_blob64(stmt_, index, data, blob.bytes.size(), SQLITE_TRANSIENT);
  if (status != SQLITE_OK) bind_error_ = status;
}

void Statement::Bind(int index, std::nullptr_t) {
  if (const int status = sqlite3_bind_null(stmt_, index); status != SQLITE_OK) bind_error_ = status;
}

Result<bool> Statement::Step() {
  if (bind_error_ != 0) {
    const int status = std::exchange(bind_error_, 0);
    return SqlError(db_, status, *path_).While("binding a parameter of: " + std::string(sqlite3_sql(stmt_)));
  }
  const int status = sqlite3_step(stmt_);
  if (status == SQLITE_ROW) return true;
  if (status == SQLITE_DONE) {
    sqlite3_reset(stmt_);
    return false;
  }
  Error error = SqlError(db_, status, *path_);
  sqlite3_reset(stmt_);
  return error;
}

Result<void> Statement::Run() {
  while (TRY(Step())) {
  }
  return {};
}

void Statement::Reset() {
  sqlite3_reset(stmt_);
  sqlite3_clear_bindings(stmt_);
  bind_error_ = 0;
}

int64_t Statement::Int(int column) const {
  return sqlite3_column_int64(stmt_, column);
}

std::string Statement::Text(int column) const {
  const unsigned char* text = sqlite3_column_text(stmt_, column);
  if (text == nullptr) return {};
  return std::string(reinterpret_cast<const char*>(text),
                     static_cast<size_t>(sqlite3_column_bytes(stmt_, column)));
}

std::string Statement::Blob(int column) const {
  const void* blob = sqlite3_column_blob(stmt_, column);
  if (blob == nullptr) return {};
  return std::string(static_cast<const char*>(blob),
                     static_cast<size_t>(sqlite3_column_bytes(stmt_, column)));
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(stmt_, column) == SQLITE_NULL;
}

// Database

Result<Database> Database::Open(const fs::path& path) {
  struct stat st {};
  const bool fresh = ::stat(path.c_str(), &st) != 0 && errno == ENOENT;
  sqlite3* handle = nullptr;
  const int status = sqlite3_open_v2(
      path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  Database db(handle, std::make_unique<std::string>(path.string()));
  if (status != SQLITE_OK) return SqlError(handle, status, path.string()).While("opening the database");
  // By name: closing a descriptor of the file would drop the locks of this process's other connections.
  if (fresh && ::chmod(path.c_str(), 0600) != 0) return ErrnoError(errno, "protect " + path.string());
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_handler(handle, WaitForOthers, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  int persist = 1;
  sqlite3_file_control(handle, "main", SQLITE_FCNTL_PERSIST_WAL, &persist);
  // Only the change to WAL by two processes at once gives BUSY without waiting.
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  while (true) {
    auto done = db.Execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;");
    if (done) break;
    if (done.error().code() != Code::kConflict || std::chrono::steady_clock::now() > until)
      return std::move(done).error().While("opening the database");
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return db;
}

Result<Database> Database::OpenForeign(const fs::path& path) {
  sqlite3* handle = nullptr;
  const int status = sqlite3_open_v2(
      path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  Database db(handle, std::make_unique<std::string>(path.string()));
  if (status != SQLITE_OK) return SqlError(handle, status, path.string()).While("opening the database");
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_handler(handle, WaitForOthers, nullptr);
  // Somebody else's statements are about this file alone. VACUUM attaches one without a name.
  sqlite3_set_authorizer(
      handle,
      [](void*, int action, const char* file, const char*, const char*, const char*) {
        return action == SQLITE_ATTACH && file != nullptr && *file != '\0' ? SQLITE_DENY : SQLITE_OK;
      },
      nullptr);
  // It is opened when it is first read; what is no database is met here.
  TRY(db.Execute("SELECT count(*) FROM sqlite_schema"));
  return db;
}

Result<void> Database::RunForeign(const std::string& sql, const std::function<bool()>& interrupted) {
  constexpr int kInstructions = 100'000;
  const auto ask = [](void* asked) {
    const auto& stop = *static_cast<const std::function<bool()>*>(asked);
    return stop && stop() ? 1 : 0;
  };
  sqlite3_progress_handler(db_, kInstructions, ask, const_cast<std::function<bool()>*>(&interrupted));
  const int status = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  sqlite3_progress_handler(db_, 0, nullptr, nullptr);
  if (status == SQLITE_OK) return {};
  if ((status & 0xff) == SQLITE_INTERRUPT) return Error(Code::kCancelled, "ended, as was asked for");
  const Code code = CodeOf(status);
  if (code == Code::kInternal || code == Code::kExists) return Error(Code::kFailed, sqlite3_errmsg(db_));
  return SqlError(db_, status, *path_);
}

Database::Database(Database&& other) noexcept
    : path_(std::move(other.path_)),
      db_(std::exchange(other.db_, nullptr)),
      cached_(std::move(other.cached_)) {}

Database::~Database() {
  cached_.clear();
  sqlite3_close(db_);
}

Result<void> Database::Execute(const std::string& sql) {
  const int status = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  if (status != SQLITE_OK) return SqlError(db_, status, *path_);
  return {};
}

Result<Statement> Database::Prepare(std::string_view sql) {
  sqlite3_stmt* stmt = nullptr;
  const int status = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &stmt, nullptr);
  if (status != SQLITE_OK) return SqlError(db_, status, *path_).While("preparing: " + std::string(sql));
  if (stmt == nullptr) return Error(Code::kInternal, "an empty SQL statement");
  return Statement(db_, stmt, path_.get());
}

Result<Statement*> Database::Cached(std::string_view sql) {
  auto found = cached_.find(sql);
  if (found == cached_.end()) {
    auto statement = std::make_unique<Statement>(TRY(Prepare(sql)));
    found = cached_.emplace(std::string(sql), std::move(statement)).first;
  }
  found->second->Reset();
  return found->second.get();
}

int64_t Database::Changes() const {
  return sqlite3_changes64(db_);
}
int64_t Database::LastInsertRowId() const {
  return sqlite3_last_insert_rowid(db_);
}
bool Database::InTransaction() const {
  return sqlite3_get_autocommit(db_) == 0;
}

// Transaction

Result<Transaction> Transaction::Begin(Database& db) {
  TRY(db.Run("BEGIN IMMEDIATE"));
  return Transaction(&db);
}

Transaction::~Transaction() {
  // A full disk makes SQLite roll back by itself.
  if (db_ != nullptr && db_->InTransaction()) [[maybe_unused]]
    auto ignored = db_->Run("ROLLBACK");
}

Result<void> Transaction::Commit() {
  if (db_ == nullptr) return Error(Code::kInternal, "a transaction was committed twice");
  auto committed = db_->Run("COMMIT");
  if (!committed && db_->InTransaction()) [[maybe_unused]]
    auto ignored = db_->Run("ROLLBACK");
  db_ = nullptr;
  return committed;
}

// Migrate

namespace {

Result<int64_t> SchemaVersion(Database& db) {
  Statement query = TRY(db.Prepare("PRAGMA user_version"));
  if (!TRY(query.Step())) return Error(Code::kInternal, "PRAGMA user_version gave no row");
  return query.Int(0);
}

// As it was in `version`, under a name of its own: what an older Ingot would need. Once per version; a copy
// that was not finished is not there.
Result<void> KeepCopy(Database& db, int64_t version) {
  const fs::path copy = SchemaCopy(db.path(), version);
  if (::access(copy.c_str(), F_OK) == 0) return {};
  const fs::path made = copy.string() + ".tmp." + std::to_string(::getpid());
  ::unlink(made.c_str());
  auto written = [&]() -> Result<bool> {
    TRY(db.Run("VACUUM INTO ?", made.string()));
    Fd file = TRY(OpenFile(made, O_RDONLY));
    if (::fchmod(file.get(), 0600) < 0 || ::fsync(file.get()) < 0)
      return ErrnoError(errno, "make " + made.string() + " durable");
    // Another process may have gone on to the next version meanwhile: that one has kept its copy.
    Database same = TRY(Database::Open(made));
    return TRY(SchemaVersion(same)) == version;
  }();
  if (written && *written) {
    if (::rename(made.c_str(), copy.c_str()) < 0) return ErrnoError(errno, "rename " + made.string());
    return SyncDirectory(copy.parent_path());
  }
  for (const char* part : {"", "-wal", "-shm"}) ::unlink((made.string() + part).c_str());
  if (written) return {};
  return std::move(written).error().While("keeping a copy of " + db.path() + " before its schema changes");
}

}  // namespace

fs::path SchemaCopy(const fs::path& database, int64_t version) {
  return database.string() + ".schema-" + std::to_string(version);
}

Result<void> Migrate(Database& db, const std::vector<std::string>& steps) {
  const auto known = static_cast<int64_t>(steps.size());
  const auto too_new = [&](int64_t version) {
    return Error(
        Code::kUnsupported,
        "database " + db.path() + " has schema version " + std::to_string(version) +
            "; this version of Ingot knows " + std::to_string(known) +
            ". A newer Ingot wrote it: use that one, or another --root" +
            (::access(SchemaCopy(db.path(), known).c_str(), F_OK) == 0
                 ? "; " + SchemaCopy(db.path(), known).string() + " is how it was before that one changed it"
                 : "") +
            ".");
  };
  int64_t version = TRY(SchemaVersion(db));
  if (version > known || version < 0) return too_new(version);
  if (version > 0 && version < known) TRY(KeepCopy(db, version));
  while (version < known) {
    Transaction transaction = TRY(Transaction::Begin(db));
    version = TRY(SchemaVersion(db));  // somebody may have migrated while we waited
    if (version > known) return too_new(version);
    if (version == known) break;
    auto applied = db.Execute(steps[static_cast<size_t>(version)]);
    if (!applied) {
      return std::move(applied).error().While("migrating " + db.path() + " to schema version " +
                                              std::to_string(version + 1));
    }
    TRY(db.Execute("PRAGMA user_version=" + std::to_string(version + 1)));
    TRY(transaction.Commit());
    ++version;
  }
  return {};
}

}  // namespace ingot::adapters
