// SQLite behind Result: the one place that knows sqlite3.h.
//
// A Database is opened for crash safety between processes: WAL, synchronous=FULL (a commit that returned is
// on disk), foreign keys on, ten seconds of patience with other writers. Opening costs a few hundred
// microseconds: nothing is prepared until it is used. Closing does not checkpoint, so that a short verb does
// not pay for what others wrote; commits do that now and then.
//
// Codes, everywhere below: SQLITE_FULL → kNoSpace, BUSY and LOCKED → kConflict, CORRUPT and NOTADB →
// kCorrupt, READONLY, PERM and AUTH → kPermission, CANTOPEN → kNotFound or kIo, CONSTRAINT → kExists,
// anything else → kIo; wrong SQL or a wrong index is our bug, kInternal. Messages name the file.
//
// Thread rule: a Database and its Statements belong to one thread at a time (keep them in a Sync). Never use
// one across fork(2).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace ingot::adapters {

// Bytes, where a string would be text.
struct SqlBlob {
  std::string_view bytes;
};

// A prepared statement. Parameters and columns are numbered as SQLite does: parameters from 1, columns from
// 0.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  void Bind(int index, int64_t value);
  void Bind(int index, int value) { Bind(index, static_cast<int64_t>(value)); }
  void Bind(int index, uint64_t value) { Bind(index, static_cast<int64_t>(value)); }
  void Bind(int index, bool value) { Bind(index, static_cast<int64_t>(value)); }
  void Bind(int index, std::string_view text);  // copied
  void Bind(int index, const char* text) { Bind(index, std::string_view(text)); }
  void Bind(int index, SqlBlob blob);  // copied
  void Bind(int index, std::nullptr_t);
  template <typename T>
  void Bind(int index, const std::optional<T>& value) {
    value ? Bind(index, *value) : Bind(index, nullptr);
  }
  // Parameters 1, 2, … in order.
  template <typename... Values>
  Statement& BindAll(const Values&... values) {
    int index = 0;
    (Bind(++index, values), ...);
    return *this;
  }

  // The next row: true when there is one. After false or an Error the statement is reset, its parameters
  // kept. An error in an earlier Bind is returned here.
  Result<bool> Step();
  // For statements without rows: Step until done.
  Result<void> Run();
  // Ends a query early; parameters are cleared.
  void Reset();

  // Of the current row. A NULL reads as 0 or "". The copy is the caller's.
  int64_t Int(int column) const;
  std::string Text(int column) const;
  std::string Blob(int column) const;
  bool IsNull(int column) const;

 private:
  friend class Database;
  Statement(sqlite3* db, sqlite3_stmt* stmt, const std::string* path) : db_(db), stmt_(stmt), path_(path) {}
  sqlite3* db_;
  sqlite3_stmt* stmt_;
  const std::string* path_;  // the Database's
  int bind_error_ = 0;
};

class Database {
 public:
  // Opens the file, making it (mode 0600) if missing; its folder must exist. An empty file is as a missing
  // one.
  static Result<Database> Open(const fs::path& path);
  // Somebody else's file, with its own journal mode and settings; made if missing, in a folder that exists.
  static Result<Database> OpenForeign(const fs::path& path);
  Database(Database&& other) noexcept;
  Database& operator=(Database&& other) = delete;
  ~Database();

  // One or more statements without parameters, separated by ';'.
  Result<void> Execute(const std::string& sql);
  Result<Statement> Prepare(std::string_view sql);
  // The prepared statement of this text, made on first use and kept; reset. One user at a time: not for a
  // query inside which the same text is used again. Valid as long as the Database.
  Result<Statement*> Cached(std::string_view sql);
  // Cached(sql) with the parameters bound, run to its end.
  template <typename... Values>
  Result<void> Run(std::string_view sql, const Values&... values) {
    Statement* statement = TRY(Cached(sql));
    return statement->BindAll(values...).Run();
  }

  // One statement of somebody else's, its rows dropped: what is wrong with it is his mistake, kFailed, and
  // the message is SQLite's alone. `interrupted`, asked now and then, true ends it: kCancelled.
  Result<void> RunForeign(const std::string& sql, const std::function<bool()>& interrupted);

  // Rows changed by the last INSERT, UPDATE or DELETE.
  int64_t Changes() const;
  int64_t LastInsertRowId() const;
  bool InTransaction() const;
  const std::string& path() const { return *path_; }

 private:
  Database(sqlite3* db, std::unique_ptr<std::string> path) : path_(std::move(path)), db_(db) {}
  std::unique_ptr<std::string> path_;  // stays where it is when the Database moves
  sqlite3* db_;
  std::map<std::string, std::unique_ptr<Statement>, std::less<>> cached_;
};

// A write transaction (BEGIN IMMEDIATE: it waits for other writers at its begin, never in its middle), rolled
// back when it dies uncommitted.
class Transaction {
 public:
  // kConflict when another process held the write lock for ten seconds.
  static Result<Transaction> Begin(Database& db);
  Transaction(Transaction&& other) noexcept : db_(std::exchange(other.db_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  // On disk when it returns. On an error it is rolled back.
  Result<void> Commit();

 private:
  explicit Transaction(Database* db) : db_(db) {}
  Database* db_;
};

// Brings the schema to version steps.size(): step i (SQL, several statements) leads from version i to i + 1
// and is never changed once released. Each runs in one transaction together with the new version number
// (PRAGMA user_version), so processes that start together migrate once. kUnsupported when the file was
// written by a newer version of Ingot. Costs one read when there is nothing to do. Of a database that has a
// schema already, a copy is kept first (SchemaCopy); without room for it, nothing is changed.
Result<void> Migrate(Database& db, const std::vector<std::string>& steps);

// "state.db.schema-3": the database as it was before its schema left that version.
fs::path SchemaCopy(const fs::path& database, int64_t version);

}  // namespace ingot::adapters
