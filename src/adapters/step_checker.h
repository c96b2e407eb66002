// StepChecker: makes the checks of canaries' steps, each on a thread of its own, so that a peer that hangs
// delays nobody but itself. What it knows dies with the process: a step's checks begin anew then.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "adapters/check_measurer.h"
#include "base/clock.h"
#include "base/sync.h"
#include "rollout/checker.h"

namespace ingot::adapters {

class StepChecker final : public rollout::Checker {
 public:
  // One measurement, which ends soon after `cancelled` is true; any thread.
  using Measure = std::function<rollout::Measurement(const CheckTarget&, const definition::ResolvedCheck&,
                                                     const std::atomic<bool>& cancelled)>;

  // `on_change` is called, from any thread, when something was measured. `clock` outlives it.
  StepChecker(Measure measure, Clock& clock, std::function<void()> on_change);
  // Breaks off what is measured, and waits for it.
  ~StepChecker() override;

  void Begin(const platform::EnvironmentId& environment, const rollout::CheckOrder& order) override;
  std::optional<rollout::CheckRun> Look(const platform::EnvironmentId& environment) override;
  void End(const platform::EnvironmentId& environment) override;

 private:
  struct Work;  // one order, and its threads
  struct Works {
    std::map<platform::EnvironmentId, std::unique_ptr<Work>> present;
    std::vector<std::unique_ptr<Work>> ended;  // whose last measurements are not waited for yet
  };
  void Go(Work& work, const CheckTarget& target, const definition::ResolvedCheck& check);
  static void EndPresent(Works& works, const platform::EnvironmentId& environment);

  const Measure measure_;
  Clock& clock_;
  const std::function<void()> on_change_;
  Sync<Works> works_;
};

}  // namespace ingot::adapters
