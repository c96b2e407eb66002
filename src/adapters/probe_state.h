// What a series of probe results means for an instance: pure, time is passed in.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "adapters/prober.h"
#include "base/clock.h"

namespace ingot::adapters {

struct HealthChange {
  Health health;
  std::string reason;
};

class ProbeState {
 public:
  // `held`: see ProbeTarget.
  ProbeState(platform::Probe ready, platform::Probe live, bool already_ready, bool held, SteadyTime now);

  // What to report before any probe: ready at once when there is no ready probe.
  std::optional<HealthChange> Begin(SteadyTime now);
  // The probe to run next, and when; nullptr: none any more.
  const platform::Probe* probe() const;
  SteadyTime due() const;
  // When the instance has failed unless it is ready by then.
  std::optional<SteadyTime> deadline() const;

  // A probe that ended at `now`.
  std::optional<HealthChange> Passed(SteadyTime now);
  std::optional<HealthChange> Failed(SteadyTime now, const std::string& reason);
  // To be called at the deadline, also while a probe is under way.
  std::optional<HealthChange> Late(SteadyTime now);

 private:
  enum class Phase { kStarting, kReady, kUnhealthy, kFailed };

  // What is asked of an instance that has been ready.
  struct Watch {
    platform::Probe probe;
    SteadyTime due;
    int fails = 0;  // in a row
  };

  void BeginWatching(SteadyTime now);
  // The one whose turn it is; nullptr: none. Of what is unhealthy it is the one that failed.
  Watch* Turn();
  const Watch* Turn() const { return const_cast<ProbeState*>(this)->Turn(); }

  platform::Probe ready_;
  std::vector<Watch> watches_;
  Phase phase_;
  SteadyTime started_;
  SteadyTime ready_due_;
  int passes_ = 0;
  size_t failed_ = 0;  // kUnhealthy: which of the watches
  std::string last_reason_;
};

}  // namespace ingot::adapters
