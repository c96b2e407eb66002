// The rollout journal in state.db.
#pragma once

#include <memory>

#include "base/file.h"
#include "rollout/journal.h"

namespace ingot::adapters {

class SqliteJournal final : public rollout::Journal {
 public:
  // Opens state.db, making or migrating it. The codes of sqlite.h; kUnsupported when a newer version of Ingot
  // wrote it.
  static Result<std::unique_ptr<SqliteJournal>> Open(const fs::path& path);
  ~SqliteJournal() override;

  // kCorrupt names the environment whose document cannot be read.
  Result<std::vector<rollout::EnvironmentState>> Load() override;
  Result<void> Commit(const rollout::JournalStep& step) override;
  Result<plan::Revision> ReadRevision(const platform::EnvironmentId& environment, uint64_t number) override;
  Result<std::vector<plan::Revision>> ReadRevisions(const platform::EnvironmentId& environment,
                                                    size_t limit) override;
  Result<std::vector<rollout::Rollout>> ReadHistory(const platform::EnvironmentId& environment,
                                                    size_t limit) override;

 private:
  struct Impl;
  explicit SqliteJournal(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ingot::adapters
