// The journal: what a killed daemon finds again. One transaction per step.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rollout/environment_state.h"

namespace ingot::rollout {

struct JournalStep {
  const EnvironmentState* state = nullptr;
  RevisionPtr new_revision;       // made in this step; may be null
  std::vector<Rollout> finished;  // ended in this step: kCompleted or kReverted
};

// Used by one thread at a time.
class Journal {
 public:
  virtual ~Journal() = default;
  // The last state of every environment, without revisions.
  virtual Result<std::vector<EnvironmentState>> Load() = 0;
  // Durable when it returns; on an error nothing of it is there.
  virtual Result<void> Commit(const JournalStep& step) = 0;
  // kNotFound when there is no such revision.
  virtual Result<plan::Revision> ReadRevision(const platform::EnvironmentId& environment,
                                              uint64_t number) = 0;
  // The newest first.
  virtual Result<std::vector<plan::Revision>> ReadRevisions(const platform::EnvironmentId& environment,
                                                            size_t limit) = 0;
  virtual Result<std::vector<Rollout>> ReadHistory(const platform::EnvironmentId& environment,
                                                   size_t limit) = 0;
};

class MemoryJournal final : public Journal {
 public:
  Result<std::vector<EnvironmentState>> Load() override;
  Result<void> Commit(const JournalStep& step) override;
  Result<plan::Revision> ReadRevision(const platform::EnvironmentId& environment, uint64_t number) override;
  Result<std::vector<plan::Revision>> ReadRevisions(const platform::EnvironmentId& environment,
                                                    size_t limit) override;
  Result<std::vector<Rollout>> ReadHistory(const platform::EnvironmentId& environment, size_t limit) override;
  // --- for tests ---
  // Forgets all but the newest `keep` finished rollouts and revisions.
  void Trim(size_t keep);
  size_t commits() const { return commits_; }

 private:
  struct Environment {
    std::string state;  // as JSON, as on disk
    std::map<uint64_t, RevisionPtr> revisions;
    std::vector<Rollout> finished;
  };
  std::map<platform::EnvironmentId, Environment> environments_;
  size_t commits_ = 0;
};

}  // namespace ingot::rollout
