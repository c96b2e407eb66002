#include "adapters/probe_state.h"

#include <algorithm>

#include "base/units.h"

namespace ingot::adapters {

using platform::Probe;

ProbeState::ProbeState(Probe ready, Probe live, bool already_ready, SteadyTime now)
    : ready_(std::move(ready)),
      live_(std::move(live)),
      phase_(already_ready ? Phase::kReady : Phase::kStarting),
      started_(now),
      due_(already_ready ? now + live_.interval : now) {}

std::optional<HealthChange> ProbeState::Begin(SteadyTime now) {
  if (phase_ != Phase::kStarting || ready_.kind != Probe::Kind::kNone) return std::nullopt;
  phase_ = Phase::kReady;
  due_ = now + live_.interval;
  return HealthChange{Health::kReady, "it has no ready probe"};
}

const Probe* ProbeState::probe() const {
  if (phase_ == Phase::kFailed) return nullptr;
  const Probe& probe = phase_ == Phase::kStarting ? ready_ : live_;
  return probe.kind == Probe::Kind::kNone ? nullptr : &probe;
}

std::optional<SteadyTime> ProbeState::deadline() const {
  if (phase_ != Phase::kStarting) return std::nullopt;
  return started_ + ready_.deadline;
}

std::optional<HealthChange> ProbeState::Passed(SteadyTime now) {
  const Probe* probe_now = probe();
  if (probe_now == nullptr) return std::nullopt;
  // A probe that passed after the deadline is late all the same.
  if (auto late = Late(now)) return late;
  due_ = now + probe_now->interval;
  fails_ = 0;
  if (phase_ == Phase::kReady) return std::nullopt;
  if (++passes_ < std::max(1, probe_now->passes)) return std::nullopt;
  const bool again = phase_ == Phase::kUnhealthy;
  phase_ = Phase::kReady;
  passes_ = 0;
  due_ = now + live_.interval;
  return HealthChange{Health::kReady, again ? "its live probe passes again" : "its ready probe passes"};
}

std::optional<HealthChange> ProbeState::Failed(SteadyTime now, const std::string& reason) {
  const Probe* probe_now = probe();
  if (probe_now == nullptr) return std::nullopt;
  last_reason_ = reason;
  if (auto late = Late(now)) return late;
  due_ = now + probe_now->interval;
  passes_ = 0;
  if (phase_ != Phase::kReady || ++fails_ < std::max(1, probe_now->fails)) return std::nullopt;
  phase_ = Phase::kUnhealthy;
  fails_ = 0;
  return HealthChange{Health::kUnhealthy, reason};
}

std::optional<HealthChange> ProbeState::Late(SteadyTime now) {
  if (!deadline() || now < *deadline()) return std::nullopt;
  phase_ = Phase::kFailed;
  return HealthChange{Health::kFailed, "not ready within " + RenderDuration(ready_.deadline) + ": " +
                                           (last_reason_.empty() ? "no probe ended" : last_reason_)};
}

}  // namespace ingot::adapters
