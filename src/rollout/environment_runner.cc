#include "rollout/environment_runner.h"

#include <algorithm>

namespace ingot::rollout {

namespace {

constexpr Milliseconds kFirstRetry{50};
constexpr Milliseconds kLongestRetry{1'000};
// A stop that was accepted is asked again after so long: nobody else remembers it.
constexpr Milliseconds kAskAgain{5'000};
// How often the router's counters are read while a canary is analysed.
constexpr Milliseconds kCountersEach{40};
constexpr int kMostPasses = 64;

Trouble TroubleOf(const Error& error, int attempts) {
  return {error.code(), error.Render(), attempts};
}

}  // namespace

void Retry::Failed(WallTime now) {
  ++attempts;
  const int doublings = std::min(attempts - 1, 10);
  not_before = now + std::min(kLongestRetry, kFirstRetry * (1 << doublings));
}

EnvironmentRunner::EnvironmentRunner(EnvironmentState state, platform::Platform& platform, Journal& journal,
                                     audit::Sink& sink, Migrator* migrator, Checker* checker)
    : state_(std::move(state)),
      desired_(DesiredOf(state_)),
      platform_(platform),
      journal_(journal),
      sink_(sink),
      migrator_(migrator),
      checker_(checker),
      unsent_(!state_.outbox.empty()) {
  view_.look_error = "it was not asked yet";
}

void EnvironmentRunner::Look(std::map<platform::InstanceId, platform::InstanceStatus> observed) {
  view_.looked = true;
  view_.stale = false;
  view_.look_error.clear();
  view_.observed = std::move(observed);
  view_.first_look = view_.first_look || !view_.ever_looked;
  view_.ever_looked = true;
  view_.expected.merge(view_.started);
  view_.started.clear();
}

void EnvironmentRunner::CouldNotLook(const Error& error) {
  view_.looked = false;
  view_.look_error = error.Render();
  view_.observed.clear();
}

// The journal comes before the effect: nothing here is acted on before Commit has returned.
Result<void> EnvironmentRunner::Write(EnvironmentState next, RevisionPtr new_revision,
                                      std::vector<Rollout> finished) {
  if (unsent_) next.outbox.insert(next.outbox.begin(), state_.outbox.begin(), state_.outbox.end());
  TRY(journal_.Commit({&next, std::move(new_revision), std::move(finished)}));
  state_ = std::move(next);
  unsent_ = !state_.outbox.empty();
  return {};
}

Result<void> EnvironmentRunner::Take(Acceptance acceptance) {
  if (!acceptance.state) return {};
  TRY(Write(std::move(*acceptance.state), std::move(acceptance.new_revision),
            std::move(acceptance.finished)));
  desired_ = DesiredOf(state_);
  return {};
}

bool EnvironmentRunner::Commit(Decision& decision, WallTime now) {
  if (!MayTry(journal_retry_, now)) return false;
  if (!Write(std::move(*decision.state), nullptr, std::move(decision.finished))) {
    journal_retry_.Failed(now);
    WakeAt(journal_retry_.not_before);
    return false;
  }
  journal_retry_ = {};
  desired_ = std::move(*decision.desired);
  return true;
}

void EnvironmentRunner::Run(WallTime now) {
  view_.settled.reset();
  view_.counters.reset();
  bool asked = false;
  for (int pass = 0; pass < kMostPasses; ++pass) {
    wake_.reset();
    view_.can_migrate = migrator_ != nullptr;
    if (migrator_ != nullptr) view_.migration = migrator_->Look(state_.id);
    view_.can_check = checker_ != nullptr;
    if (checker_ != nullptr) view_.checks = checker_->Look(state_.id);
    Decision decision = Decide(state_, desired_, view_, now);
    // Before what was decided is written down: asking changes nothing, and with the answer one step is
    // written in place of two. An error is "could not look": not settled, and not a failure.
    if (decision.ask_settled && !asked) {
      asked = true;
      if (auto settled = platform_.TopologySettled(state_.id)) view_.settled = *settled;
      if (view_.settled == true) decision = Decide(state_, desired_, view_, now);
    }
    if (decision.wake) WakeAt(*decision.wake);
    const bool changed = decision.state.has_value();
    if (changed && !Commit(decision, now)) break;
    // Whoever judges by counters has begun anew now.
    if (view_.counters) view_.counters_anew = false;
    view_.first_look = false;
    bool tried = false;
    for (const Action& action : decision.actions)
      tried = std::visit([&](const auto& what) { return Do(what, now); }, action) || tried;
    waiting_for_router_ = decision.ask_settled;
    if (decision.ask_counters && now >= counters_asked_ + kCountersEach) {
      counters_asked_ = now;
      auto counters = platform_.Counters(state_.id);
      view_.counters_error = counters ? "" : counters.error().Render();
      if (counters) {
        for (const auto& [fleet, was] : counted_) {
          const auto now_counted = counters->find(fleet);
          view_.counters_anew = view_.counters_anew || (now_counted != counters->end() &&
                                                        (now_counted->second.answered < was.answered ||
                                                         now_counted->second.errors_5xx < was.errors_5xx));
        }
        counted_ = *counters;
        view_.shadows.clear();
        for (const auto& [fleet, now_counted] : counted_)
          if (now_counted.shadow != platform::ShadowCounters{}) view_.shadows[fleet] = now_counted.shadow;
        view_.counters = std::move(*counters);
      }
      tried = true;
    }
    if (!changed && !tried) break;
  }
  Send(now);
  Forget();
}

void EnvironmentRunner::Send(WallTime now) {
  if (!unsent_ || !MayTry(sink_retry_, now)) return;
  if (sink_.Append(state_.outbox)) {
    unsent_ = false;
    sink_retry_ = {};
    return;
  }
  sink_retry_.Failed(now);
  WakeAt(sink_retry_.not_before);
}

bool EnvironmentRunner::MayTry(const Retry& retry, WallTime now) {
  if (now >= retry.not_before) return true;
  WakeAt(retry.not_before);
  return false;
}

void EnvironmentRunner::WakeAt(WallTime at) {
  if (!wake_ || at < *wake_) wake_ = at;
}

bool EnvironmentRunner::Do(const SetTopology& action, WallTime now) {
  if (view_.topology_tried != action.topology) topology_ = {};
  if (!MayTry(topology_, now)) return false;
  view_.topology_tried = action.topology;
  view_.settled.reset();
  auto done = platform_.SetTopology(state_.id, action.topology);
  if (done) {
    topology_ = {};
    view_.topology = action.topology;
    view_.topology_trouble.reset();
  } else {
    topology_.Failed(now);
    view_.topology.reset();  // it may have been before or after the effect
    view_.topology_trouble = TroubleOf(done.error(), topology_.attempts);
  }
  return true;
}

bool EnvironmentRunner::Do(const ApplyRoutes& action, WallTime now) {
  if (view_.routes_tried != action.routes) routes_ = {};
  if (!view_.topology || !MayTry(routes_, now)) return false;
  view_.routes_tried = action.routes;
  auto done = platform_.ApplyRoutes(state_.id, action.routes);
  if (done) {
    routes_ = {};
    view_.routes = action.routes;
    view_.routes_trouble.reset();
  } else {
    routes_.Failed(now);
    view_.routes.reset();
    view_.routes_trouble = TroubleOf(done.error(), routes_.attempts);
  }
  return true;
}

bool EnvironmentRunner::Do(const StartInstance& action, WallTime now) {
  Retry& retry = starts_[action.instance];
  if (!MayTry(retry, now)) return false;
  view_.stale = true;
  auto done = platform_.Start(action.spec, action.instance);
  if (done) {
    view_.started.insert(action.instance);
    view_.start_trouble.erase(action.instance);
    starts_.erase(action.instance);
  } else {
    retry.Failed(now);
    view_.start_trouble[action.instance] = TroubleOf(done.error(), retry.attempts);
  }
  return true;
}

bool EnvironmentRunner::Do(const ServeInstance& action, WallTime now) {
  Retry& retry = serves_[action.instance];
  if (!MayTry(retry, now)) return false;
  if (platform_.Serve(action.instance))
    retry = {0, now + kAskAgain};
  else
    retry.Failed(now);
  return true;
}

bool EnvironmentRunner::Do(const StopInstance& action, WallTime now) {
  Retry& retry = stops_[action.instance];
  if (!MayTry(retry, now)) return false;
  if (platform_.Stop(action.instance))
    retry = {0, now + kAskAgain};
  else
    retry.Failed(now);
  return true;
}

bool EnvironmentRunner::Do(const RunMigrations& action, WallTime now) {
  if (migrator_ == nullptr || !MayTry(migrations_, now)) return false;
  const auto revision = state_.revisions.find(action.revision);
  // What cannot be begun now (another run is ending) can be in a moment.
  if (revision != state_.revisions.end() &&
      migrator_->Begin(state_.id, action.key, *revision->second, action.contracts))
    migrations_ = {};
  else
    migrations_.Failed(now);
  return true;
}

bool EnvironmentRunner::Do(const CancelMigrations&, WallTime) {
  if (migrator_ != nullptr) migrator_->Cancel(state_.id);
  return false;
}

bool EnvironmentRunner::Do(const RunChecks& action, WallTime) {
  if (checker_ == nullptr) return false;
  checker_->Begin(state_.id, action.order);
  return true;
}

bool EnvironmentRunner::Do(const EndChecks&, WallTime) {
  if (checker_ != nullptr) checker_->End(state_.id);
  return true;
}

// What is remembered about instances that no longer matter.
void EnvironmentRunner::Forget() {
  const auto desired = [&](const platform::InstanceId& id) -> const DesiredInstance* {
    const auto fleet = state_.fleets.find(id.fleet());
    if (fleet == state_.fleets.end()) return nullptr;
    for (const DesiredInstance& instance : fleet->second.instances)
      if (instance.ordinal == id.ordinal()) return &instance;
    return nullptr;
  };
  const auto wanted = [&](const platform::InstanceId& id) { return desired(id) != nullptr; };
  // Expected until it is journalled as seen: what vanishes before that is lost, not to be started again.
  const auto expected = [&](const platform::InstanceId& id) { return wanted(id) && !desired(id)->seen; };
  std::erase_if(view_.started, [&](const auto& id) { return !wanted(id); });
  std::erase_if(view_.expected, [&](const auto& id) { return !expected(id); });
  std::erase_if(view_.start_trouble, [&](const auto& entry) { return !wanted(entry.first); });
  std::erase_if(starts_, [&](const auto& entry) { return !wanted(entry.first); });
  if (view_.looked)
    std::erase_if(serves_, [&](const auto& entry) {
      const auto seen = view_.observed.find(entry.first);
      return !wanted(entry.first) || seen == view_.observed.end() || !seen->second.held;
    });
  if (view_.looked)
    std::erase_if(stops_, [&](const auto& entry) { return !view_.observed.contains(entry.first); });
}

bool EnvironmentRunner::under_way() const {
  // A step that is held is woken when its time is over.
  const bool held = state_.rollout && state_.rollout->phase == Phase::kStepping &&
                    state_.rollout->step_in_effect && view_.looked && view_.routes == desired_.routes;
  if ((state_.Moving() && !held) || state_.destroying || unsent_) return true;
  if (state_.contracting && !state_.contracting->again) return true;
  for (const auto& [number, live] : state_.live)
    if (live.role == Role::kRetiring) return true;
  for (const auto& [id, fleet] : state_.fleets)
    for (const DesiredInstance& instance : fleet.instances)
      if (!instance.ready) return true;
  return !stops_.empty() || !starts_.empty() || !serves_.empty();
}

}  // namespace ingot::rollout
