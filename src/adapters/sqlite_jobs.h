// The journal of runs in state.db.
#pragma once

#include <memory>

#include "adapters/sqlite.h"
#include "jobs/journal.h"

namespace ingot::adapters {

class SqliteJobs final : public jobs::Journal {
 public:
  // Opens state.db, making or migrating it. The codes of sqlite.h.
  static Result<std::unique_ptr<SqliteJobs>> Open(const fs::path& path);

  // kCorrupt names the run that cannot be read.
  Result<std::vector<jobs::State>> Load() override;
  Result<void> Commit(const jobs::JournalStep& step) override;
  Result<jobs::Run> Read(const platform::EnvironmentId& environment, uint64_t run) override;
  Result<std::vector<jobs::Run>> List(const platform::EnvironmentId& environment, const std::string& job,
                                      size_t limit) override;
  Result<std::vector<jobs::Run>> Old(const platform::EnvironmentId& environment, const std::string& job,
                                     size_t keep) override;
  Result<void> Forget(const platform::EnvironmentId& environment, const std::vector<uint64_t>& runs) override;

 private:
  explicit SqliteJobs(Database database) : database_(std::move(database)) {}
  Database database_;
};

}  // namespace ingot::adapters
