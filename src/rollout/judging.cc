// Analysis of the present step: when a look is due, and what follows from it.
#include <algorithm>

#include "rollout/analysis.h"
#include "rollout/phases.h"

namespace ingot::rollout {

namespace {

constexpr Milliseconds kLookEach{50};

// A canary that gets requests in the step and is to be analysed.
struct Judged {
  const plan::Fleet* canary = nullptr;
  const plan::Fleet* baseline = nullptr;
};

std::vector<Judged> JudgedIn(const EnvironmentState& state, const plan::ShiftStep& step) {
  std::vector<Judged> out;
  for (const auto& [service, percent] : step.percent) {
    const plan::Fleet* canary = Target(state).FleetOf(service);
    if (percent > 0 && canary->rollout.analysis && CountOf(state, canary->spec.id) > 0)
      out.push_back({canary, state.RevisionOf(*state.rollout->from).FleetOf(service)});
  }
  return out;
}

platform::FleetCounters Counted(const View& view, const plan::Fleet& fleet) {
  const auto found = view.counters->find(fleet.spec.id);
  return found == view.counters->end() ? platform::FleetCounters{} : found->second;
}

// What has been counted since the step began.
Sample Since(const platform::FleetCounters& now, uint64_t& answered, uint64_t& errors) {
  // The router was started anew, and counts from zero: so does the sample.
  if (now.answered < answered || now.errors_5xx < errors) answered = errors = 0;
  return {now.answered - answered, now.errors_5xx - errors, now.latency_ms};
}

// The sample of one canary: a first look notes where it begins, and there is nothing yet.
Finding LookAt(Transition& t, const Judged& judged) {
  const platform::FleetCounters canary = Counted(t.view, *judged.canary);
  const platform::FleetCounters baseline = Counted(t.view, *judged.baseline);
  const auto [entry, is_new] = t.next.rollout->judged.try_emplace(judged.canary->spec.id.service());
  Judgement& judgement = entry->second;
  if (is_new) {
    judgement = {canary.answered, canary.errors_5xx, baseline.answered, baseline.errors_5xx};
    t.changed = true;
  }
  const Judgement before = judgement;
  const Sample new_side = Since(canary, judgement.canary_answered, judgement.canary_errors);
  const Sample old_side = Since(baseline, judgement.baseline_answered, judgement.baseline_errors);
  t.changed = t.changed || before != judgement;
  return Analyse(*judged.canary->rollout.analysis, new_side, old_side);
}

void FailStep(Transition& t, const std::string& service, const Finding& finding) {
  JsonObject detail = Describe(*t.next.rollout);
  detail["step"] = t.next.rollout->step;
  detail["service"] = service;
  detail["outcome"] = OutcomeName(finding.outcome);
  detail["tests"] = finding.tests;
  detail["reason"] = finding.text;
  t.Record("rollout.analysis", std::move(detail));
  Fail(t, "analysis of " + service + " failed in step " + std::to_string(t.next.rollout->step) + ": " +
              finding.text);
}

}  // namespace

StepFinding AnalyseStep(Transition& t, const plan::ShiftStep& step) {
  StepFinding out;
  const std::vector<Judged> judged = JudgedIn(t.next, step);
  out.passed = judged.empty();
  if (judged.empty()) return out;
  t.ask_counters = true;
  t.Wake(t.now + kLookEach);
  if (!t.view.counters) {
    if (!t.view.counters_error.empty())
      out.inconclusive = "the router's counters cannot be read: " + t.view.counters_error;
    return out;
  }
  out.passed = true;
  for (const Judged& one : judged) {
    const Finding finding = LookAt(t, one);
    const std::string& service = one.canary->spec.id.service();
    if (finding.outcome == Outcome::kFailure) {
      FailStep(t, service, finding);
      out.failed = true;
      return out;
    }
    if (finding.outcome == Outcome::kSuccess) continue;
    out.passed = false;
    if (out.inconclusive.empty()) out.inconclusive = "analysis of " + service + ": " + finding.text;
  }
  return out;
}

}  // namespace ingot::rollout
