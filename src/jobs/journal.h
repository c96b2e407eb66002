// Where runs are kept: what a killed daemon finds again. One transaction per step.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "jobs/run.h"

namespace ingot::jobs {

struct JournalStep {
  const State* state = nullptr;
  std::vector<const Run*> changed;  // of state->runs
};

// Used by one thread at a time.
class Journal {
 public:
  virtual ~Journal() = default;
  // The last state of every environment, with its open runs.
  virtual Result<std::vector<State>> Load() = 0;
  // Durable when it returns; on an error nothing of it is there.
  virtual Result<void> Commit(const JournalStep& step) = 0;
  // kNotFound.
  virtual Result<Run> Read(const platform::EnvironmentId& environment, uint64_t run) = 0;
  // The newest first, open or ended; `job` empty: of all.
  virtual Result<std::vector<Run>> List(const platform::EnvironmentId& environment, const std::string& job,
                                        size_t limit) = 0;
  // Ended runs of the job but the newest `keep`, at most 100 of them.
  virtual Result<std::vector<Run>> Old(const platform::EnvironmentId& environment, const std::string& job,
                                       size_t keep) = 0;
  virtual Result<void> Forget(const platform::EnvironmentId& environment,
                              const std::vector<uint64_t>& runs) = 0;
};

class MemoryJournal final : public Journal {
 public:
  Result<std::vector<State>> Load() override;
  Result<void> Commit(const JournalStep& step) override;
  Result<Run> Read(const platform::EnvironmentId& environment, uint64_t run) override;
  Result<std::vector<Run>> List(const platform::EnvironmentId& environment, const std::string& job,
                                size_t limit) override;
  Result<std::vector<Run>> Old(const platform::EnvironmentId& environment, const std::string& job,
                               size_t keep) override;
  Result<void> Forget(const platform::EnvironmentId& environment, const std::vector<uint64_t>& runs) override;

 private:
  struct Environment {
    std::string state;                     // as JSON, as on disk
    std::map<uint64_t, std::string> runs;  // the same
  };
  std::map<platform::EnvironmentId, Environment> environments_;
};

}  // namespace ingot::jobs
