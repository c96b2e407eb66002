#include "jobs/controller.h"

#include <algorithm>

namespace ingot::jobs {

namespace {

constexpr Milliseconds kIdle{1'000};
constexpr Milliseconds kPoll{25};
constexpr Milliseconds kTryAgain{1'000};
// One Tick: enough for a run that fails at once to be queued again.
constexpr int kMostPasses = 8;

}  // namespace

Controller::Controller(platform::Platform& platform, Journal& journal, audit::Sink& sink, Clock& clock,
                       Forget forget)
    : platform_(platform),
      journal_(journal),
      sink_(sink),
      clock_(clock),
      forget_(std::move(forget)),
      wall_(clock.Now()),
      steady_(clock.Steady()) {}

Result<std::unique_ptr<Controller>> Controller::Open(platform::Platform& platform, Journal& journal,
                                                     audit::Sink& sink, Clock& clock, Forget forget) {
  std::unique_ptr<Controller> made(new Controller(platform, journal, sink, clock, std::move(forget)));
  for (State& state : TRY(journal.Load())) {
    Environment& environment = made->Of(state.id);
    environment.unsent = !state.outbox.empty();
    environment.state = std::move(state);
  }
  return made;
}

Controller::Environment& Controller::Of(const platform::EnvironmentId& id) {
  Environment& environment = environments_[id];
  environment.state.id = id;
  return environment;
}

WallTime Controller::Now() const {
  return wall_ + std::chrono::duration_cast<Milliseconds>(clock_.Steady() - steady_);
}

void Controller::WakeAt(WallTime at) {
  wake_ = std::min(wake_, at);
}

Result<void> Controller::Commit(Environment& environment, State next) {
  ++next.step;
  // Events that are recorded need no keeping; new ones stand behind them.
  if (!environment.unsent)
    next.outbox.erase(next.outbox.begin(),
                      next.outbox.begin() + static_cast<int64_t>(environment.state.outbox.size()));
  JournalStep step{&next, {}};
  for (const auto& [id, run] : next.runs) {
    const auto former = environment.state.runs.find(id);
    if (former != environment.state.runs.end() && former->second == run) continue;
    step.changed.push_back(&run);
    if (!run.open()) to_prune_[next.id].insert(run.job);
  }
  TRY(journal_.Commit(step));
  environment.state = std::move(next);
  environment.unsent = !environment.state.outbox.empty();
  // Of those the journal knows.
  std::erase_if(environment.state.runs, [](const auto& entry) { return !entry.second.open(); });
  return {};
}

Result<Run> Controller::Start(const platform::EnvironmentId& environment, const plan::Revision& active,
                              const StartRequest& request) {
  Environment& of = Of(environment);
  uint64_t run = 0;
  TRY(Commit(of, TRY(Accept(of.state, active, request, Now(), &run))));
  return of.state.runs.at(run);
}

Result<Run> Controller::StartOnce(const platform::EnvironmentId& environment, const plan::Revision& revision,
                                  const StartRequest& request) {
  for (Run& run : OpenRuns(environment))
    if (run.job == request.job && run.rollout == request.rollout) return std::move(run);
  for (Run& run : TRY(List(environment, request.job, kRunsKept)))
    if (run.rollout == request.rollout) return std::move(run);
  return Start(environment, revision, request);
}

Result<Run> Controller::Cancel(const platform::EnvironmentId& environment, uint64_t run,
                               const std::string& actor) {
  Environment& of = Of(environment);
  State next = TRY(jobs::Cancel(of.state, run, actor, Now()));
  Run cancelled = next.runs.at(run);
  TRY(Commit(of, std::move(next)));
  return cancelled;
}

Milliseconds Controller::Tick(const std::map<platform::EnvironmentId, Serving>& serving) {
  wake_ = Now() + kIdle;
  for (const auto& [id, what] : serving)
    if (what.active != nullptr && !what.active->jobs.empty()) Of(id);
  bool changed = !environments_.empty();
  for (int pass = 0; changed && pass < kMostPasses; ++pass) {
    changed = false;
    const auto observation = platform_.Observe();
    if (!observation) WakeAt(Now() + kPoll);
    std::map<platform::EnvironmentId, std::map<platform::InstanceId, platform::InstanceStatus>> seen;
    if (observation)
      for (const platform::InstanceStatus& status : observation->runs)
        seen[status.id.fleet().environment()].emplace(status.id, status);
    // Also what belongs to an environment that the journal does not know.
    for (const auto& [id, runs] : seen) Of(id);
    for (auto& [id, environment] : environments_) {
      View view;
      if (observation) view.observed = std::move(seen[id]);
      const auto what = serving.find(id);
      changed |= Advance(environment, what == serving.end() ? Serving{} : what->second, view);
    }
  }
  if (changed) WakeAt(Now());
  for (auto& [id, environment] : environments_) {
    Send(environment);
    Prune(environment);
  }
  return std::max(Milliseconds(0), std::chrono::duration_cast<Milliseconds>(wake_ - Now()));
}

bool Controller::Advance(Environment& environment, const Serving& serving, const View& seen) {
  if (Now() < environment.retry) {
    WakeAt(environment.retry);
    return false;
  }
  View view = seen;
  view.active = serving.active;
  view.release = serving.release;
  view.migrating = serving.migrating;
  view.destroying = serving.destroying || (serving.active == nullptr && serving.migrating == 0);
  view.unasked = unasked_;
  view.now = Now();
  view.wall = clock_.Now();
  Decision decision = Decide(environment.state, view);
  if (decision.wake) WakeAt(*decision.wake);
  const bool changed = decision.state != environment.state;
  if (changed) {
    if (!Commit(environment, std::move(decision.state))) {
      environment.retry = Now() + kTryAgain;
      WakeAt(environment.retry);
      return false;
    }
  }
  Act(environment.state, decision);
  return changed;
}

void Controller::Act(const State& state, const Decision& decision) {
  std::set<platform::InstanceId> wanted;
  for (const auto& [id, run] : state.runs)
    if (run.phase == Phase::kRunning) wanted.insert(run.instance());
  for (const uint64_t id : decision.start) unasked_.insert(state.runs.at(id).instance());
  for (const auto& [id, run] : state.runs) {
    if (run.phase != Phase::kRunning || !unasked_.contains(run.instance())) continue;
    if (platform_.Start(run.spec, run.instance()))
      unasked_.erase(run.instance());
    else
      WakeAt(Now() + kTryAgain);
  }
  std::erase_if(unasked_, [&](const platform::InstanceId& id) {
    return id.fleet().environment() == state.id && !wanted.contains(id);
  });
  for (const platform::InstanceId& id : decision.stop)
    if (!platform_.Stop(id)) WakeAt(Now() + kTryAgain);
}

void Controller::Send(Environment& environment) {
  if (!environment.unsent) return;
  if (Now() < environment.retry) return WakeAt(environment.retry);
  if (sink_.Append(environment.state.outbox)) {
    environment.unsent = false;
    return;
  }
  environment.retry = Now() + kTryAgain;
  WakeAt(environment.retry);
}

// Files go first: a run that is in the journal is asked about again.
void Controller::Prune(Environment& environment) {
  auto jobs = to_prune_.extract(environment.state.id);
  if (jobs.empty()) return;
  for (const std::string& job : jobs.mapped()) {
    auto old = journal_.Old(environment.state.id, job, kRunsKept);
    if (!old || old->empty()) continue;
    std::vector<platform::InstanceId> instances;
    std::vector<uint64_t> runs;
    for (const Run& run : *old) {
      runs.push_back(run.id);
      for (const uint64_t ordinal : run.instances) instances.emplace_back(run.spec.id, ordinal);
    }
    if (!forget_(instances) || !journal_.Forget(environment.state.id, runs))
      to_prune_[environment.state.id].insert(job);  // with the next run that ends
  }
}

Result<Run> Controller::Find(const platform::EnvironmentId& environment, uint64_t run) const {
  const auto found = environments_.find(environment);
  if (found != environments_.end())
    if (const auto open = found->second.state.runs.find(run); open != found->second.state.runs.end())
      return open->second;
  auto read = journal_.Read(environment, run);
  if (!read && read.error().code() == Code::kNotFound)
    return Error(Code::kNotFound, environment.Render() + " has no run " + std::to_string(run) +
                                      ", or it is forgotten; `ingot job ls` shows the newest");
  return read;
}

Result<std::vector<Run>> Controller::List(const platform::EnvironmentId& environment, const std::string& job,
                                          size_t limit) const {
  return journal_.List(environment, job, limit);
}

std::vector<Run> Controller::OpenRuns(const platform::EnvironmentId& environment) const {
  std::vector<Run> out;
  const auto found = environments_.find(environment);
  if (found == environments_.end()) return out;
  for (const auto& [id, run] : found->second.state.runs)
    if (run.open()) out.push_back(run);
  return out;
}

}  // namespace ingot::jobs
