// PostgreSQL behind Result: the one place that knows libpq (libpq.so.5, opened when it is first needed).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace ingot::adapters {

struct PostgresOptions {
  std::string url;                  // postgres://…, or any connection string of libpq
  bool url_is_secret = false;       // nothing that libpq says of the URL itself is repeated
  std::string password;             // empty: as the URL, a password file or the server's rules have it
  std::string application;          // what pg_stat_activity calls the session
  std::function<bool()> cancelled;  // asked while waiting; true ends the statement
};

// One session. One thread at a time.
class PostgresSession {
 public:
  using Row = std::vector<std::optional<std::string>>;  // text; unset: NULL

  // kUnavailable with the reason when it cannot be reached within 10 s and what the resolver takes;
  // kUnsupported without the library. No message repeats the password, or anything of a URL that is a secret.
  static Result<std::unique_ptr<PostgresSession>> Open(const PostgresOptions& options);
  ~PostgresSession();

  // One statement of ours; parameters are text. kUnavailable when there is no answer within 30 s: the session
  // is of no more use then. The errors' codes are those of migrate::Database; the message is the server's,
  // with its SQLSTATE: "ERROR 42P07: relation … already exists".
  Result<std::vector<Row>> Query(const std::string& sql, const std::vector<std::string>& parameters = {});
  // The same for a statement that may take however long it takes, without rows; the message begins with "line
  // N: ", counted from `line` at the begin of the text, where the server names a place.
  Result<void> Execute(const std::string& sql, int line = 0);
  // False when the server has closed the connection, as far as is known without asking.
  bool Alive();
  int server_version() const;  // 150004
  std::string Quoted(const std::string& identifier) const;

 private:
  struct Impl;
  explicit PostgresSession(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ingot::adapters
