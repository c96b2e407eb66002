#include "rollout/controller.h"

#include <algorithm>
#include <set>

#include "rollout/environment_runner.h"
#include "rollout/status.h"

namespace ingot::rollout {

namespace {

constexpr Milliseconds kRouterPoll{10};
constexpr Milliseconds kPoll{25};
constexpr Milliseconds kIdle{1'000};
constexpr size_t kHistorySearch = 1'000;

Result<EnvironmentState> WithRevisions(EnvironmentState state, Journal& journal) {
  std::set<uint64_t> needed;
  for (const auto& [number, live] : state.live) needed.insert(number);
  if (state.rollout) needed.insert(state.rollout->to);
  for (const uint64_t number : needed)
    state.revisions[number] =
        std::make_shared<const plan::Revision>(TRY(journal.ReadRevision(state.id, number)));
  if (state.active && !state.live.contains(*state.active))
    return Error(Code::kCorrupt, "the journal of " + state.id.Render() + " names r" +
                                     std::to_string(*state.active) + " as active but not as live");
  return state;
}

Error NotDeployed(const platform::EnvironmentId& environment) {
  return Error(Code::kNotFound, "nothing was ever deployed to " + environment.Render() +
                                    "; run `ingot apply` first, or name another environment with -e");
}

}  // namespace

class Controller::Impl {
 public:
  Impl(platform::Platform& platform, Journal& journal, audit::Sink& sink, Clock& clock, plan::HostEdge edge,
       Migrator* migrator, Checker* checker)
      : platform_(platform),
        journal_(journal),
        sink_(sink),
        migrator_(migrator),
        checker_(checker),
        edge_(std::move(edge)),
        clock_(clock),
        steady_(clock.Steady()) {
    wall_ = clock.Now();
  }

  Result<void> Load() {
    for (EnvironmentState& state : TRY(journal_.Load())) {
      // Time does not run backwards, also when the wall clock was set back while we were away.
      wall_ = std::max(wall_, state.journalled);
      const platform::EnvironmentId id = state.id;
      Add(TRY(WithRevisions(std::move(state), journal_)), id);
    }
    return {};
  }

  // Wall time as of the start, moved on by the monotonic clock: a jump of the wall clock ends no window and
  // passes no deadline.
  WallTime Now() const { return wall_ + std::chrono::duration_cast<Milliseconds>(clock_.Steady() - steady_); }

  // As jobs do, schedules go by the time of day, also when somebody has set it.
  WallTime TimeOfDay() const { return clock_.Now(); }

  Result<Accepted> Submit(const Command& command) {
    const auto found = runners_.find(command.environment);
    EnvironmentState fresh;
    fresh.id = command.environment;
    const EnvironmentState& state = found == runners_.end() ? fresh : found->second->state();
    RevisionPtr target;
    if (const auto* rollback = std::get_if<Rollback>(&command.what)) {
      const uint64_t number = TRY(RollbackTarget(state, *rollback));
      const auto loaded = state.revisions.find(number);
      target = loaded != state.revisions.end() ? loaded->second
                                               : std::make_shared<const plan::Revision>(
                                                     TRY(journal_.ReadRevision(command.environment, number)));
      TRY(CheckListeners(command.environment, target->resolved));
    }
    if (const auto* apply = std::get_if<Apply>(&command.what))
      TRY(CheckListeners(command.environment, apply->resolved));
    Acceptance acceptance = TRY(Accept(state, command, std::move(target), Now(), TimeOfDay()));
    if (!acceptance.state) return acceptance.answer;
    const Accepted answer = acceptance.answer;
    if (found != runners_.end()) {
      TRY(found->second->Take(std::move(acceptance)));
      return answer;
    }
    auto runner = std::make_unique<EnvironmentRunner>(std::move(fresh), platform_, journal_, sink_, migrator_,
                                                      checker_);
    TRY(runner->Take(std::move(acceptance)));
    runners_.emplace(command.environment, std::move(runner));
    return answer;
  }

  Milliseconds Tick() {
    auto observation = platform_.Observe();
    const WallTime now = Now();
    Milliseconds next = kIdle;
    if (observation) {
      std::map<platform::EnvironmentId, std::map<platform::InstanceId, platform::InstanceStatus>> seen;
      for (platform::InstanceStatus& status : observation->instances) {
        const platform::InstanceId id = status.id;
        seen[id.fleet().environment()].emplace(id, std::move(status));
      }
      for (auto& [id, runner] : runners_) runner->Look(std::move(seen[id]));
    } else {
      for (auto& [id, runner] : runners_) runner->CouldNotLook(observation.error());
      next = kPoll;
    }
    for (auto& [id, runner] : runners_) {
      runner->Run(now);
      if (runner->under_way()) next = std::min(next, kPoll);
      if (runner->waiting_for_router()) next = std::min(next, kRouterPoll);
      if (runner->wake()) next = std::min(next, std::max(Milliseconds(0), *runner->wake() - now));
    }
    return next;
  }

  const EnvironmentRunner* Find(const platform::EnvironmentId& environment) const {
    const auto found = runners_.find(environment);
    return found == runners_.end() ? nullptr : found->second.get();
  }

  plan::Claims ClaimsOfOthers(const platform::EnvironmentId& environment) const {
    plan::Claims claims;
    for (const auto& [id, runner] : runners_)
      if (id != environment) claims.Add(runner->desired().topology, id.Render());
    return claims;
  }

  platform::Platform& platform_;
  Journal& journal_;
  audit::Sink& sink_;
  Migrator* migrator_;
  Checker* checker_;
  const plan::HostEdge edge_;
  std::map<platform::EnvironmentId, std::unique_ptr<EnvironmentRunner>> runners_;

 private:
  void Add(EnvironmentState state, const platform::EnvironmentId& id) {
    runners_.emplace(id, std::make_unique<EnvironmentRunner>(std::move(state), platform_, journal_, sink_,
                                                             migrator_, checker_));
  }

  Result<void> CheckListeners(const platform::EnvironmentId& environment,
                              const definition::Resolved& resolved) const {
    const auto conflicts =
        plan::ConflictsOf(plan::TopologyOf({&resolved}), edge_, ClaimsOfOthers(environment));
    if (!conflicts.empty()) return plan::RefusalOf(conflicts.front());
    return {};
  }

  Clock& clock_;
  WallTime wall_;
  SteadyTime steady_;
};

Controller::Controller(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Controller::~Controller() = default;

Result<std::unique_ptr<Controller>> Controller::Open(platform::Platform& platform, Journal& journal,
                                                     audit::Sink& sink, Clock& clock, plan::HostEdge edge,
                                                     Migrator* migrator, Checker* checker) {
  auto impl = std::make_unique<Impl>(platform, journal, sink, clock, std::move(edge), migrator, checker);
  TRY(impl->Load());
  return std::unique_ptr<Controller>(new Controller(std::move(impl)));
}

Result<Accepted> Controller::Submit(const Command& command) {
  return impl_->Submit(command);
}

Milliseconds Controller::Tick() {
  return impl_->Tick();
}

std::vector<platform::EnvironmentId> Controller::Environments() const {
  std::vector<platform::EnvironmentId> out;
  for (const auto& [id, runner] : impl_->runners_) out.push_back(id);
  return out;
}

const EnvironmentState* Controller::State(const platform::EnvironmentId& environment) const {
  const EnvironmentRunner* runner = impl_->Find(environment);
  return runner == nullptr ? nullptr : &runner->state();
}

bool Controller::Busy(const platform::EnvironmentId& environment) const {
  const EnvironmentState* state = State(environment);
  return state != nullptr && (state->Busy() || state->destroying);
}

Result<Json> Controller::Status(const platform::EnvironmentId& environment) const {
  const EnvironmentRunner* runner = impl_->Find(environment);
  if (runner == nullptr) return NotDeployed(environment);
  JsonObject status =
      StatusOf(runner->state(), runner->desired(), runner->view(), impl_->TimeOfDay()).as_object();
  if (!runner->state().rollout)
    for (const Rollout& rollout : TRY(impl_->journal_.ReadHistory(environment, 1)))
      status["last"] = ToJson(rollout);
  return Json(std::move(status));
}

Result<Json> Controller::RolloutStatus(const platform::EnvironmentId& environment) const {
  const EnvironmentState* state = State(environment);
  if (state == nullptr) return NotDeployed(environment);
  const View& view = impl_->Find(environment)->view();
  if (state->rollout) return RolloutStatusOf(*state, view);
  JsonObject none = RolloutStatusOf(*state, view).as_object();
  for (const Rollout& rollout : TRY(impl_->journal_.ReadHistory(environment, 1)))
    none["last"] = ToJson(rollout);
  return Json(std::move(none));
}

Result<Json> Controller::History(const platform::EnvironmentId& environment, size_t limit) const {
  const EnvironmentState* state = State(environment);
  if (state == nullptr) return NotDeployed(environment);
  JsonArray revisions;
  for (const plan::Revision& revision : TRY(impl_->journal_.ReadRevisions(environment, limit))) {
    JsonObject summary = Summary(revision).get_object();
    const auto live = state->live.find(revision.number);
    summary["verified"] = !state->unverified.contains(revision.number);
    summary["role"] = live == state->live.end() ? Json(nullptr) : Json(RoleName(live->second.role));
    revisions.push_back(std::move(summary));
  }
  JsonArray rollouts;
  if (state->rollout) rollouts.push_back(ToJson(*state->rollout));
  for (const Rollout& rollout : TRY(impl_->journal_.ReadHistory(environment, limit)))
    rollouts.push_back(ToJson(rollout));
  return Json(JsonObject{{"version", 1},
                         {"environment", environment.Render()},
                         {"active", state->active ? Json(*state->active) : Json(nullptr)},
                         {"revisions", std::move(revisions)},
                         {"rollouts", std::move(rollouts)}});
}

Result<Rollout> Controller::FindRollout(const platform::EnvironmentId& environment, uint64_t id) const {
  const EnvironmentState* state = State(environment);
  if (state == nullptr) return NotDeployed(environment);
  if (state->rollout && state->rollout->id == id) return *state->rollout;
  for (Rollout& rollout : TRY(impl_->journal_.ReadHistory(environment, kHistorySearch)))
    if (rollout.id == id) return std::move(rollout);
  return Error(Code::kNotFound, environment.Render() + " has no rollout " + std::to_string(id));
}

std::optional<plan::Active> Controller::Active(const platform::EnvironmentId& environment) const {
  const EnvironmentState* state = State(environment);
  if (state == nullptr || !state->active) return std::nullopt;
  const LiveRevision& live = state->live.at(*state->active);
  return plan::Active{state->RevisionOf(*state->active),
                      live.declared,
                      live.replicas,
                      live.keep_old,
                      live.scales,
                      live.max_ages,
                      live.spares,
                      state->rules};
}

std::vector<ScaledService> Controller::Scaled() const {
  std::vector<ScaledService> out;
  for (const auto& [id, runner] : impl_->runners_) {
    const EnvironmentState& state = runner->state();
    if (!state.active || state.Moving() || state.destroying) continue;
    const LiveRevision& live = state.live.at(*state.active);
    for (const auto& [service, scale] : live.scales) {
      const plan::Fleet* fleet = state.RevisionOf(*state.active).FleetOf(service);
      ScaledService scaled{id, service, scale, fleet->spec.limits, live.replicas.at(service), {}, ""};
      const definition::ScaleBounds bounds = definition::BoundsAt(scale, impl_->TimeOfDay());
      scaled.scale.min = bounds.min;
      scaled.scale.max = bounds.max;
      scaled.schedule = bounds.schedule;
      if (const auto found = state.fleets.find(fleet->spec.id); found != state.fleets.end())
        for (const DesiredInstance& instance : found->second.instances)
          if (instance.ready && !instance.spare)
            scaled.ready.insert(platform::InstanceId(fleet->spec.id, instance.ordinal));
      out.push_back(std::move(scaled));
    }
  }
  return out;
}

plan::Claims Controller::ClaimsOfOthers(const platform::EnvironmentId& environment) const {
  return impl_->ClaimsOfOthers(environment);
}

std::vector<oci::Digest> Controller::ImagesInUse() const {
  std::set<oci::Digest> images;
  for (const auto& [id, runner] : impl_->runners_)
    for (const auto& [number, revision] : runner->state().revisions)
      for (const plan::Fleet& fleet : revision->fleets) images.insert(fleet.spec.image);
  return {images.begin(), images.end()};
}

}  // namespace ingot::rollout
