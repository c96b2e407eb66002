// Controller of runs: journals what machine.h decides and carries it out. It owns no thread: the daemon's
// control thread calls Tick after that of rollouts.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "audit/sink.h"
#include "base/clock.h"
#include "jobs/journal.h"
#include "jobs/machine.h"
#include "platform/platform.h"

namespace ingot::jobs {

// Ended runs of a job that are kept, with their logs and artifacts.
inline constexpr size_t kRunsKept = 100;

// What serves in an environment.
struct Serving {
  const plan::Revision* active = nullptr;  // null: nothing; open runs are cancelled
  bool destroying = false;
  Release release{};
  uint64_t migrating = 0;  // the rollout whose migrations run, also of a first one; 0: none
};

class Controller {
 public:
  // Finds the open runs of the journal; the first Tick goes on with them. All references outlive it.
  // `forget` removes the logs and artifacts of instances; what it cannot remove it is given again.
  using Forget = std::function<Result<void>(const std::vector<platform::InstanceId>&)>;
  static Result<std::unique_ptr<Controller>> Open(platform::Platform& platform, Journal& journal,
                                                  audit::Sink& sink, Clock& clock, Forget forget);

  // Journals a run and answers with it; Tick begins it. The codes of Accept, or of the journal.
  Result<Run> Start(const platform::EnvironmentId& environment, const plan::Revision& active,
                    const StartRequest& request);
  // The run of the request's job for its rollout, which may be an open or ended one that was begun before: a
  // rollout has one, however often it is asked for.
  Result<Run> StartOnce(const platform::EnvironmentId& environment, const plan::Revision& revision,
                        const StartRequest& request);
  // The codes of jobs::Cancel, or of the journal.
  Result<Run> Cancel(const platform::EnvironmentId& environment, uint64_t run, const std::string& actor);

  // Decides, journals and acts until nothing is left to do now; the time after which it wants to be called
  // again at the latest. `serving` has every environment that anything was deployed to.
  Milliseconds Tick(const std::map<platform::EnvironmentId, Serving>& serving);

  // Open or ended (the newest kRunsKept of each job). kNotFound.
  Result<Run> Find(const platform::EnvironmentId& environment, uint64_t run) const;
  // The newest first; `job` empty: of all.
  Result<std::vector<Run>> List(const platform::EnvironmentId& environment, const std::string& job,
                                size_t limit) const;
  // Open runs. Their images must not be collected.
  std::vector<Run> OpenRuns(const platform::EnvironmentId& environment) const;

 private:
  Controller(platform::Platform& platform, Journal& journal, audit::Sink& sink, Clock& clock, Forget forget);
  struct Environment {
    State state;
    bool unsent = false;  // of the outbox
    WallTime retry{};     // after a failure of the journal or the record
  };

  WallTime Now() const;
  Result<void> Commit(Environment& environment, State next);
  // True when something has changed.
  bool Advance(Environment& environment, const Serving& serving, const View& seen);
  void Act(const State& state, const Decision& decision);
  void Send(Environment& environment);
  void Prune(Environment& environment);
  void WakeAt(WallTime at);
  Environment& Of(const platform::EnvironmentId& id);

  platform::Platform& platform_;
  Journal& journal_;
  audit::Sink& sink_;
  Clock& clock_;
  Forget forget_;
  WallTime wall_;
  SteadyTime steady_;
  std::map<platform::EnvironmentId, Environment> environments_;
  std::set<platform::InstanceId> unasked_;
  std::map<platform::EnvironmentId, std::set<std::string>> to_prune_;
  WallTime wake_{};
};

}  // namespace ingot::jobs
