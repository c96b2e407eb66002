// Checker: what makes the checks of a canary's step. It works on its own; the machine begins, looks at what
// was measured, and ends.
#pragma once

#include <optional>

#include "platform/fleet.h"
#include "rollout/check.h"

namespace ingot::rollout {

// All functions return at once: a peer that hangs is nobody's but the checker's. At most one order per
// environment; what a killed process had measured is not known here, its step is measured anew.
class Checker {
 public:
  virtual ~Checker() = default;
  // Measures each check at once and then each `interval`, in place of what was ordered before. Does nothing
  // when the key is that of the present order.
  virtual void Begin(const platform::EnvironmentId& environment, const CheckOrder& order) = 0;
  // Of the present order; unset: there is none.
  virtual std::optional<CheckRun> Look(const platform::EnvironmentId& environment) = 0;
  // Measurements under way are broken off, and nobody hears of them.
  virtual void End(const platform::EnvironmentId& environment) = 0;
};

}  // namespace ingot::rollout
