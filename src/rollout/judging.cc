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
  // Router and daemon were both started anew: the former counts from zero, and so do both sides.
  if (canary.answered < judgement.canary_answered || canary.errors_5xx < judgement.canary_errors ||
      baseline.answered < judgement.baseline_answered || baseline.errors_5xx < judgement.baseline_errors) {
    judgement = {};
    t.changed = true;
  }
  const Sample new_side{canary.answered - judgement.canary_answered,
                        canary.errors_5xx - judgement.canary_errors, canary.latency_ms};
  const Sample old_side{baseline.answered - judgement.baseline_answered,
                        baseline.errors_5xx - judgement.baseline_errors, baseline.latency_ms};
  return Analyse(*judged.canary->rollout.analysis, new_side, old_side);
}

void FailStep(Transition& t, const std::string& service, const std::string& text, JsonArray tests,
              JsonArray checks) {
  JsonObject detail = Describe(*t.next.rollout);
  detail["step"] = t.next.rollout->step;
  detail["service"] = service;
  detail["outcome"] = OutcomeName(Outcome::kFailure);
  detail["tests"] = std::move(tests);
  detail["checks"] = std::move(checks);
  detail["reason"] = text;
  t.Record("rollout.analysis", std::move(detail));
  Fail(t, "analysis of " + service + " failed in step " + std::to_string(t.next.rollout->step) + ": " + text);
}

// False: the step has failed.
bool JudgeByChecks(Transition& t, const std::vector<Judged>& judged, StepFinding& out) {
  for (const Judged& one : judged) {
    const std::string& service = one.canary->spec.id.service();
    CheckFinding finding = JudgeChecks(t, service, *one.canary->rollout.analysis);
    if (finding.outcome == Outcome::kFailure) {
      FailStep(t, service, finding.text, {}, std::move(finding.checks));
      return false;
    }
    if (finding.outcome == Outcome::kSuccess) continue;
    out.passed = false;
    if (out.inconclusive.empty() && !finding.text.empty())
      out.inconclusive = "analysis of " + service + ": " + finding.text;
  }
  return true;
}

// The same, by the router's counters.
bool JudgeByCounters(Transition& t, const std::vector<Judged>& judged, StepFinding& out) {
  t.ask_counters = true;
  t.Wake(t.now + kLookEach);
  if (!t.view.counters) {
    out.passed = false;
    if (!t.view.counters_error.empty() && out.inconclusive.empty())
      out.inconclusive = "the router's counters cannot be read: " + t.view.counters_error;
    return true;
  }
  if (t.view.counters_anew && !t.next.rollout->judged.empty()) {
    for (auto& [service, judgement] : t.next.rollout->judged) judgement = {};
    t.changed = true;
  }
  for (const Judged& one : judged) {
    if (!one.canary->rollout.analysis->router) continue;
    const Finding finding = LookAt(t, one);
    const std::string& service = one.canary->spec.id.service();
    if (finding.outcome == Outcome::kFailure) {
      FailStep(t, service, finding.text, finding.tests,
               JudgeChecks(t, service, *one.canary->rollout.analysis).checks);
      return false;
    }
    if (finding.outcome == Outcome::kSuccess) continue;
    out.passed = false;
    if (out.inconclusive.empty()) out.inconclusive = "analysis of " + service + ": " + finding.text;
  }
  return true;
}

}  // namespace

StepFinding AnalyseStep(Transition& t, const plan::ShiftStep& step) {
  StepFinding out;
  out.passed = true;
  const std::vector<Judged> judged = JudgedIn(t.next, step);
  const bool router = std::any_of(judged.begin(), judged.end(),
                                  [](const Judged& one) { return one.canary->rollout.analysis->router; });
  out.failed = !JudgeByChecks(t, judged, out) || (router && !JudgeByCounters(t, judged, out));
  if (out.failed || step.shadow.empty()) return out;
  const StepFinding shadows = JudgeShadows(t, step);
  out.failed = shadows.failed;
  out.passed = out.passed && shadows.passed;
  if (out.inconclusive.empty()) out.inconclusive = shadows.inconclusive;
  return out;
}

}  // namespace ingot::rollout
