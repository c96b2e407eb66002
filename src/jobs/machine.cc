#include "jobs/machine.h"

#include <algorithm>

#include "definition/cron.h"

namespace ingot::jobs {

using platform::InstanceId;
using platform::InstanceState;
using platform::InstanceStatus;

namespace {

// An event of a run: named by it, what happened and its attempt, so that it is recorded once.
void Tell(State& state, const Run& run, const std::string& kind, JsonObject more = {}) {
  JsonObject detail{{"job", run.job}, {"run", run.id}};
  for (auto& member : more) detail[member.key()] = std::move(member.value());
  state.outbox.push_back(
      {"run-" + std::to_string(run.id) + "." + std::to_string(run.instances.size()) + "." + kind,
       state.id.Render(), "job." + kind, run.actor, std::move(detail)});
}

// One of a schedule, without a run.
void TellDue(State& state, const std::string& job, const std::string& kind, WallTime due, JsonObject detail) {
  detail["job"] = job;
  detail["due"] = RenderTime(due);
  state.outbox.push_back({"due-" + job + "-" + RenderTime(due) + "." + kind, state.id.Render(), "job." + kind,
                          "ingot", std::move(detail)});
}

// A release that begins no run of the job.
void TellReleased(State& state, const std::string& job, uint64_t rollout, const std::string& reason) {
  state.outbox.push_back({"release-" + std::to_string(rollout) + "-" + job + ".skipped", state.id.Render(),
                          "job.skipped", "ingot",
                          JsonObject{{"job", job}, {"rollout", rollout}, {"reason", reason}}});
}

void Enter(Run& run, Phase phase, WallTime now) {
  run.phase = phase;
  run.since = now;
}

void End(State& state, Run& run, WallTime now) {
  Enter(run, Phase::kEnded, now);
  run.ended = now;
  JsonObject detail{{"attempts", run.instances.size()}};
  if (run.exit_code) detail["exit_code"] = *run.exit_code;
  if (!run.reason.empty()) detail["reason"] = run.reason;
  if (run.started) detail["took_ms"] = (now - *run.started).count();
  Tell(state, run, std::string(NameOf(run.outcome)), std::move(detail));
}

// The attempt is over; what is left of its instance goes next.
void Settle(Run& run, Outcome outcome, std::string reason, WallTime now) {
  run.outcome = outcome;
  run.reason = std::move(reason);
  Enter(run, Phase::kEnding, now);
}

void AskToEnd(State& state, Run& run, const std::string& actor, const std::string& reason, WallTime now) {
  if (!run.cancelled_by.empty()) return;
  run.cancelled_by = actor;
  if (run.phase == Phase::kQueued) {
    run.outcome = Outcome::kCancelled;
    run.reason = reason;
    End(state, run, now);
  } else if (run.phase == Phase::kRunning) {
    Settle(run, Outcome::kCancelled, reason, now);
  }
  // One that is ending is not repeated.
}

bool GoesOn(const State& state, const std::string& job) {
  return std::any_of(state.runs.begin(), state.runs.end(),
                     [&](const auto& entry) { return entry.second.open() && entry.second.job == job; });
}

uint64_t Queue(State& state, const plan::Revision& revision, const plan::Job& job, Run run, WallTime now) {
  run.id = state.next_run++;
  run.job = job.spec.id.service();
  run.revision = revision.number;
  platform::FleetSpec spec = job.spec;
  spec.arguments = std::move(run.spec.arguments);
  for (auto& [name, value] : run.spec.environment) spec.environment[name] = value;
  run.spec = std::move(spec);
  run.timeout = job.timeout;
  run.retries = job.retries;
  run.beside_others = job.concurrency == definition::Concurrency::kAllow;
  run.migrates = job.migrates;
  run.created = run.not_before = now;
  Enter(run, Phase::kQueued, now);
  if (job.concurrency == definition::Concurrency::kReplace)
    for (auto& [id, other] : state.runs)
      if (other.open() && other.job == run.job)
        AskToEnd(state, other, run.actor, "run " + std::to_string(run.id) + " takes its place", now);
  JsonObject detail{{"revision", run.revision}};
  if (run.due) detail["due"] = RenderTime(*run.due);
  if (run.rollout) detail["rollout"] = *run.rollout;
  Tell(state, run, "queued", std::move(detail));
  const uint64_t id = run.id;
  state.runs.emplace(id, std::move(run));
  return id;
}

class Decider {
 public:
  Decider(const State& state, const View& view) : view_(view), now_(view.now) { decision_.state = state; }

  Decision Run() {
    if (view_.destroying) {
      for (auto& [id, run] : state().runs)
        AskToEnd(state(), run, "ingot", "the environment is destroyed", now_);
      state().cursors.clear();
    }
    // A rollout that was aborted, or goes another way, needs its migrations no longer.
    for (auto& [id, run] : state().runs)
      if (run.open() && run.migrates && run.rollout && *run.rollout != view_.migrating)
        AskToEnd(state(), run, "ingot", "rollout " + std::to_string(*run.rollout) + " goes on without it",
                 now_);
    if (!view_.destroying && view_.active != nullptr) {
      Released();
      for (const plan::Job& job : view_.active->jobs) Schedule(job);
      std::erase_if(state().cursors, [&](const auto& entry) {
        const plan::Job* job = view_.active->JobOf(entry.first);
        return job == nullptr || job->schedule.empty();
      });
    }
    // Without a look nothing is known of what runs: neither that it has ended, nor that there is room.
    if (view_.observed) {
      for (auto& [id, run] : state().runs) {
        if (run.phase == Phase::kRunning) Running(run);
        if (run.phase == Phase::kEnding) Ending(run);
      }
      for (auto& [id, run] : state().runs)
        if (run.phase == Phase::kQueued) Queued(run);
      Orphans();
    }
    return std::move(decision_);
  }

 private:
  State& state() { return decision_.state; }

  void WakeAt(WallTime at) {
    if (!decision_.wake || at < *decision_.wake) decision_.wake = at;
  }

  // Which release has begun its runs is journalled with them: whoever is killed before or after has begun
  // them once.
  void Released() {
    const Release& release = view_.release;
    if (release.rollout <= state().released) return;
    state().released = release.rollout;
    for (const plan::Job& job : view_.active->jobs) {
      const std::string& name = job.spec.id.service();
      if (!job.on_release) continue;
      if (view_.active->number != release.revision) {
        TellReleased(state(), name, release.rollout,
                     "r" + std::to_string(release.revision) + " serves no more");
      } else if (state().runs.size() >= kMostQueued) {
        TellReleased(state(), name, release.rollout, "too many runs are queued");
      } else {
        // Also of a job that forbids a second one: a release has one run, which waits for the former.
        jobs::Run run;
        run.actor = "ingot";
        run.rollout = release.rollout;
        Queue(state(), *view_.active, job, std::move(run), now_);
      }
    }
  }

  void Schedule(const plan::Job& job) {
    if (job.schedule.empty()) return;
    const std::string& name = job.spec.id.service();
    const auto times = definition::CronTimes::Parse(job.schedule);
    if (!times) return;  // refused when the definition was read
    auto found = state().cursors.find(name);
    // What was before it was declared is not due.
    if (found == state().cursors.end() || found->second.schedule != job.schedule)
      found = state().cursors.insert_or_assign(name, Cursor{job.schedule, view_.wall}).first;
    Cursor& cursor = found->second;
    if (const auto due = times->Last(cursor.until, view_.wall)) {
      Missed(name, *times, cursor.until, *due);
      cursor.until = *due;
      Due(job, name, *due);
    }
    if (const auto next = times->Next(std::max(cursor.until, view_.wall)))
      WakeAt(now_ + (*next - view_.wall));
  }

  // Of the minutes that passed unseen only the last is made up for.
  void Missed(const std::string& name, const definition::CronTimes& times, WallTime after, WallTime due) {
    const auto first = times.Next(after);
    if (!first || *first >= due) return;
    uint64_t count = 0;
    for (auto at = first; at && *at < due && count < 1'000; at = times.Next(*at)) ++count;
    TellDue(state(), name, "missed", *first,
            {{"count", count}, {"reason", "nobody was there to begin them"}});
  }

  void Due(const plan::Job& job, const std::string& name, WallTime due) {
    if (view_.wall - due > kLatest)
      return TellDue(state(), name, "missed", due,
                     {{"count", 1}, {"reason", "it could have begun more than 10 minutes late"}});
    if (job.concurrency == definition::Concurrency::kForbid && GoesOn(state(), name))
      return TellDue(state(), name, "skipped", due, {{"reason", "a former run goes on"}});
    if (state().runs.size() >= kMostQueued)
      return TellDue(state(), name, "skipped", due, {{"reason", "too many runs are queued"}});
    jobs::Run run;
    run.actor = "ingot";
    run.due = due;
    Queue(state(), *view_.active, job, std::move(run), now_);
  }

  const InstanceStatus* Seen(const jobs::Run& run) const {
    const auto found = view_.observed->find(run.instance());
    return found == view_.observed->end() ? nullptr : &found->second;
  }

  void Running(jobs::Run& run) {
    const InstanceStatus* seen = Seen(run);
    if (seen == nullptr) {
      // One that was accepted is seen until it is stopped. Else it was never asked for by a process of ours
      // that was killed, or the host went down with it: whether it ever ran is not known.
      if (!view_.unasked.contains(run.instance()))
        Settle(run, Outcome::kLost, "its instance is gone, and nobody saw how it ended", now_);
      else if (now_ >= run.since + kStartPatience)
        Settle(run, Outcome::kFailed, "its instance could not be asked for", now_);
      return;
    }
    switch (seen->state) {
      case InstanceState::kStarting:
      case InstanceState::kUnknown:
        return;
      case InstanceState::kRunning:
      case InstanceState::kReady:
      case InstanceState::kUnhealthy:
        Started(run, *seen);
        if (now_ >= *run.started + run.timeout)
          Settle(run, Outcome::kTimedOut,
                 "it did not end within " + std::to_string(run.timeout.count()) + " ms", now_);
        else
          WakeAt(*run.started + run.timeout);
        return;
      case InstanceState::kExited:
        Started(run, *seen);
        run.exit_code = seen->exit_code;
        if (!seen->exit_code)
          Settle(run, Outcome::kLost, seen->reason, now_);
        else
          Settle(run, *seen->exit_code == 0 ? Outcome::kSucceeded : Outcome::kFailed,
                 *seen->exit_code == 0 ? "" : seen->reason, now_);
        return;
      case InstanceState::kFailed:
        Settle(run, seen->interrupted ? Outcome::kLost : Outcome::kFailed, seen->reason, now_);
        return;
      case InstanceState::kStopping:
        Settle(run, Outcome::kLost, "its instance was stopped by somebody else", now_);
        return;
    }
  }

  void Started(jobs::Run& run, const InstanceStatus& seen) {
    if (run.started) return;
    // The platform's clock may be ahead of ours; an attempt is never older than its being asked for.
    run.started = std::clamp(seen.started, run.since, std::max(run.since, now_));
    Tell(state(), run, "started",
         {{"instance", run.instance().Render()}, {"waited_ms", (*run.started - run.created).count()}});
  }

  void Ending(jobs::Run& run) {
    if (Seen(run) != nullptr) {
      decision_.stop.push_back(run.instance());
      return;
    }
    // Nothing of the attempt is left: only now another one may begin.
    const bool cancelled = !run.cancelled_by.empty();
    if (run.outcome == Outcome::kLost) ++run.losses;
    if (run.outcome == Outcome::kFailed || run.outcome == Outcome::kTimedOut) ++run.failures;
    const bool again =
        !cancelled && ((run.outcome == Outcome::kLost && run.losses < kMostLosses) ||
                       ((run.outcome == Outcome::kFailed || run.outcome == Outcome::kTimedOut) &&
                        run.failures <= run.retries));
    if (!again) return End(state(), run, now_);
    const uint32_t times = std::min(std::max(run.failures + run.losses, 1u) - 1, 20u);
    const Milliseconds delay = std::min(kFirstBackoff * (int64_t{1} << times), kLongestBackoff);
    Tell(state(), run, "retrying",
         {{"outcome", NameOf(run.outcome)}, {"reason", run.reason}, {"delay_ms", delay.count()}});
    run.not_before = now_ + delay;
    Enter(run, Phase::kQueued, now_);
  }

  void Queued(jobs::Run& run) {
    if (now_ < run.not_before) return WakeAt(run.not_before);
    size_t running = 0;
    for (const auto& [id, other] : state().runs) {
      if (other.phase != Phase::kRunning && other.phase != Phase::kEnding) continue;
      ++running;
      if (!run.beside_others && other.job == run.job) return;
    }
    // The older of two waits for nobody.
    if (!run.beside_others)
      for (const auto& [id, other] : state().runs)
        if (id < run.id && other.open() && other.job == run.job) return;
    if (running >= kMostRunning) return;
    run.instances.push_back(state().next_ordinal++);
    run.started.reset();
    run.exit_code.reset();
    run.outcome = Outcome::kNone;
    run.reason.clear();
    Enter(run, Phase::kRunning, now_);
    decision_.start.push_back(run.id);
  }

  // What no run knows of: left by a run that was given up as lost.
  void Orphans() {
    std::set<InstanceId> known;
    for (const auto& [id, run] : state().runs)
      if (run.phase == Phase::kRunning || run.phase == Phase::kEnding) known.insert(run.instance());
    for (const auto& [id, status] : *view_.observed)
      if (!known.contains(id)) decision_.stop.push_back(id);
  }

  const View& view_;
  const WallTime now_;
  Decision decision_;
};

}  // namespace

Result<State> Accept(State state, const plan::Revision& revision, const StartRequest& request, WallTime now,
                     uint64_t* run) {
  const plan::Job* job = revision.JobOf(request.job);
  if (job == nullptr) {
    std::string names;
    for (const plan::Job& one : revision.jobs) names += (names.empty() ? "" : ", ") + one.spec.id.service();
    return Error(Code::kNotFound, revision.Name() + " of " + state.id.Render() + " has no job " +
                                      request.job + (names.empty() ? "; it has none" : "; it has " + names));
  }
  for (const auto& [id, other] : state.runs)
    if (job->concurrency == definition::Concurrency::kForbid && other.open() && other.job == request.job)
      return Error(Code::kConflict,
                   "run " + std::to_string(id) + " of " + request.job +
                       " goes on; wait for it, cancel it, or let runs overlap with `concurrency: allow`");
  if (state.runs.size() >= kMostQueued)
    return Error(Code::kNoSpace, std::to_string(kMostQueued) + " runs of " + state.id.Render() +
                                     " are queued already; cancel some, or wait");
  Run fresh;
  fresh.actor = request.actor;
  fresh.spec.arguments = request.arguments;
  fresh.spec.environment = request.environment;
  fresh.rollout = request.rollout;
  *run = Queue(state, revision, *job, std::move(fresh), now);
  return state;
}

Result<State> Cancel(State state, uint64_t run, const std::string& actor, WallTime now) {
  const auto found = state.runs.find(run);
  if (found == state.runs.end() || !found->second.open())
    return Error(Code::kNotFound, "no run " + std::to_string(run) + " of " + state.id.Render() +
                                      " goes on; `ingot job ls` shows those that do");
  AskToEnd(state, found->second, actor, "cancelled by " + actor, now);
  return state;
}

Decision Decide(const State& state, const View& view) {
  return Decider(state, view).Run();
}

}  // namespace ingot::jobs
