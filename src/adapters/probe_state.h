// What a series of probe results means for an instance: pure, time is passed in.
#pragma once

#include <optional>
#include <string>

#include "adapters/prober.h"
#include "base/clock.h"

namespace ingot::adapters {

struct HealthChange {
  Health health;
  std::string reason;
};

class ProbeState {
 public:
  ProbeState(platform::Probe ready, platform::Probe live, bool already_ready, SteadyTime now);

  // What to report before any probe: ready at once when there is no ready probe.
  std::optional<HealthChange> Begin(SteadyTime now);
  // The probe to run next, and when; nullptr: none any more.
  const platform::Probe* probe() const;
  SteadyTime due() const { return due_; }
  // When the instance has failed unless it is ready by then.
  std::optional<SteadyTime> deadline() const;

  // A probe that ended at `now`.
  std::optional<HealthChange> Passed(SteadyTime now);
  std::optional<HealthChange> Failed(SteadyTime now, const std::string& reason);
  // To be called at the deadline, also while a probe is under way.
  std::optional<HealthChange> Late(SteadyTime now);

 private:
  enum class Phase { kStarting, kReady, kUnhealthy, kFailed };

  platform::Probe ready_;
  platform::Probe live_;
  Phase phase_;
  SteadyTime started_;
  SteadyTime due_;
  int passes_ = 0;
  int fails_ = 0;
  std::string last_reason_;
};

}  // namespace ingot::adapters
