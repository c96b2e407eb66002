// Database: what the runner needs of a database; one session that works, and the lock that keeps others out.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "migrate/ledger.h"
#include "migrate/statement.h"

namespace ingot::migrate {

// How a statement that ran alone has ended, of which that was not noted.
enum class Outcome { kDone, kNotDone };

// One thread at a time. Codes: kUnavailable when the database cannot be reached or the connection was lost,
// kConflict for what is worth another try (a lock not had in time, a deadlock), kCancelled, kFailed for what
// it refuses; the message has its own words, and the line of the script as "line N: …" where it names one.
class Database {
 public:
  virtual ~Database() = default;
  // Keeps every other Ingot out of the ledger until this object dies, and waits until what a killed one began
  // has ended. kConflict naming the holder after a bounded time.
  virtual Result<void> Lock() = 0;
  // Makes no ledger: without one it is empty.
  virtual Result<std::vector<LedgerEntry>> ReadLedger(const std::string& set) = 0;
  // Makes the ledger if there is none. In a transaction, part of it.
  virtual Result<void> WriteLedger(const LedgerEntry& entry) = 0;
  // Forgets what former statements have set for the session.
  virtual Result<void> NewSession() = 0;
  // Commits what `work` does when it succeeds, and takes it back when not.
  virtual Result<void> InTransaction(const std::function<Result<void>()>& work) = 0;
  // Waits for locks a bounded time only.
  virtual Result<void> Execute(const Statement& statement) = 0;
  // Looks how a statement that was begun alone has ended, and removes what a half of it left behind.
  virtual Result<Outcome> Settle(const Statement& statement) = 0;
};

}  // namespace ingot::migrate
