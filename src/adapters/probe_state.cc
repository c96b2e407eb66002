#include "adapters/probe_state.h"

#include <algorithm>

#include "base/units.h"

namespace ingot::adapters {

using platform::Probe;

namespace {

// The pace at which what is held is asked whether it is still ready: at the gate's own, a few milliseconds,
// a spare would be asked more often than it will ever be by those it is kept for.
constexpr Milliseconds kHeldInterval{1'000};

}  // namespace

ProbeState::ProbeState(Probe ready, Probe live, bool already_ready, bool held, SteadyTime now)
    : ready_(std::move(ready)),
      phase_(already_ready ? Phase::kReady : Phase::kStarting),
      started_(now),
      ready_due_(now) {
  if (live.kind != Probe::Kind::kNone) watches_.push_back({std::move(live), now});
  if (held && ready_.kind != Probe::Kind::kNone) {
    Probe still = ready_;
    still.interval = std::max(still.interval, kHeldInterval);
    watches_.push_back({std::move(still), now});
  }
  if (already_ready) BeginWatching(now);
}

void ProbeState::BeginWatching(SteadyTime now) {
  phase_ = Phase::kReady;
  for (Watch& watch : watches_) watch.due = now + watch.probe.interval;
}

ProbeState::Watch* ProbeState::Turn() {
  if (watches_.empty()) return nullptr;
  if (phase_ == Phase::kUnhealthy) return &watches_[failed_];
  return &*std::min_element(watches_.begin(), watches_.end(),
                            [](const Watch& a, const Watch& b) { return a.due < b.due; });
}

std::optional<HealthChange> ProbeState::Begin(SteadyTime now) {
  if (phase_ != Phase::kStarting || ready_.kind != Probe::Kind::kNone) return std::nullopt;
  BeginWatching(now);
  return HealthChange{Health::kReady, "it has no ready probe"};
}

const Probe* ProbeState::probe() const {
  if (phase_ == Phase::kFailed) return nullptr;
  if (phase_ == Phase::kStarting) return ready_.kind == Probe::Kind::kNone ? nullptr : &ready_;
  const Watch* watch = Turn();
  return watch == nullptr ? nullptr : &watch->probe;
}

SteadyTime ProbeState::due() const {
  const Watch* watch = phase_ == Phase::kStarting ? nullptr : Turn();
  return watch == nullptr ? ready_due_ : watch->due;
}

std::optional<SteadyTime> ProbeState::deadline() const {
  if (phase_ != Phase::kStarting) return std::nullopt;
  return started_ + ready_.deadline;
}

std::optional<HealthChange> ProbeState::Passed(SteadyTime now) {
  if (probe() == nullptr) return std::nullopt;
  // A probe that passed after the deadline is late all the same.
  if (auto late = Late(now)) return late;
  if (phase_ == Phase::kStarting) {
    ready_due_ = now + ready_.interval;
    if (++passes_ < std::max(1, ready_.passes)) return std::nullopt;
    passes_ = 0;
    BeginWatching(now);
    return HealthChange{Health::kReady, "its ready probe passes"};
  }
  Watch& watch = *Turn();
  watch.due = now + watch.probe.interval;
  watch.fails = 0;
  if (phase_ == Phase::kReady || ++passes_ < std::max(1, watch.probe.passes)) return std::nullopt;
  passes_ = 0;
  BeginWatching(now);
  return HealthChange{Health::kReady, "its live probe passes again"};
}

std::optional<HealthChange> ProbeState::Failed(SteadyTime now, const std::string& reason) {
  if (probe() == nullptr) return std::nullopt;
  last_reason_ = reason;
  if (auto late = Late(now)) return late;
  passes_ = 0;
  if (phase_ == Phase::kStarting) {
    ready_due_ = now + ready_.interval;
    return std::nullopt;
  }
  Watch& watch = *Turn();
  watch.due = now + watch.probe.interval;
  if (phase_ != Phase::kReady || ++watch.fails < std::max(1, watch.probe.fails)) return std::nullopt;
  phase_ = Phase::kUnhealthy;
  failed_ = static_cast<size_t>(&watch - watches_.data());
  watch.fails = 0;
  return HealthChange{Health::kUnhealthy, reason};
}

std::optional<HealthChange> ProbeState::Late(SteadyTime now) {
  if (!deadline() || now < *deadline()) return std::nullopt;
  phase_ = Phase::kFailed;
  return HealthChange{Health::kFailed, "not ready within " + RenderDuration(ready_.deadline) + ": " +
                                           (last_reason_.empty() ? "no probe ended" : last_reason_)};
}

}  // namespace ingot::adapters
