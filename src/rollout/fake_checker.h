// A checker in memory for tests of rollouts, with a watch over what must never be measured.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "rollout/checker.h"
#include "rollout/environment_state.h"

namespace ingot::rollout::testing {

class FakeChecker final : public Checker {
 public:
  using Measure = std::function<Measurement(const std::string& service, const definition::ResolvedCheck&)>;

  // `last` is the journal's last state; all of them outlive it.
  FakeChecker(const FakeClock& clock, const Measure& measure, const EnvironmentState& last,
              std::vector<std::string>& violations)
      : clock_(clock), measure_(measure), last_(last), violations_(violations) {}

  void Begin(const platform::EnvironmentId&, const CheckOrder& order) override {
    if (run_ && run_->key == order.key) return;
    const auto& rollout = last_.rollout;
    if (!rollout || rollout->phase != Phase::kStepping || rollout->id != order.key.rollout ||
        rollout->step != order.key.step || !rollout->step_in_effect)
      violations_.push_back("checks begun of a step that is not in effect");
    run_ = CheckRun{order.key, {}};
    due_.clear();
    for (const auto& [service, checks] : order.checks)
      for (const definition::ResolvedCheck& check : checks) due_.push_back({service, check, clock_.Steady()});
  }

  std::optional<CheckRun> Look(const platform::EnvironmentId&) override {
    if (!run_) return std::nullopt;
    for (Due& due : due_)
      for (; clock_.Steady() >= due.at + takes; due.at += due.check.interval)
        run_->tallies[{due.service, due.check.name}].Add(measure_(due.service, due.check));
    return run_;
  }

  void End(const platform::EnvironmentId&) override { run_.reset(); }

  bool running() const { return run_.has_value(); }
  Milliseconds takes{1};  // each measurement

 private:
  struct Due {
    std::string service;
    definition::ResolvedCheck check;
    SteadyTime at;
  };
  const FakeClock& clock_;
  const Measure& measure_;
  const EnvironmentState& last_;
  std::vector<std::string>& violations_;
  std::optional<CheckRun> run_;
  std::vector<Due> due_;
};

}  // namespace ingot::rollout::testing
