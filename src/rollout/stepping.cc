// The steps of canaries: a share of the requests at a time, each held for as long as it says.
#include "rollout/phases.h"

namespace ingot::rollout {

namespace {

bool EnterStep(Transition& t, const std::vector<plan::ShiftStep>& steps, uint32_t number) {
  Rollout& rollout = *t.next.rollout;
  const plan::ShiftStep& step = steps[number - 1];
  rollout.step = number;
  rollout.step_since = t.now;
  rollout.step_in_effect.reset();
  rollout.advanced = false;
  rollout.judged.clear();
  rollout.held.clear();
  rollout.approved.clear();
  rollout.awaited.reset();
  rollout.deadline = t.now + kShiftLimit;
  for (const auto& [service, percent] : step.percent) rollout.weights[service] = percent * 10;
  JsonObject detail = Describe(rollout);
  detail["step"] = number;
  detail["of"] = steps.size() + 1;
  const JsonObject described = plan::ToJson(step).as_object();
  for (const auto& member : described) detail[member.key()] = member.value();
  detail["summary"] = "step " + std::to_string(number) + " of " + std::to_string(steps.size() + 1) + ": " +
                      plan::Render(step);
  t.Record("rollout.step", std::move(detail));
  t.Changed();
  return true;
}

// The weights are not in effect, as far as this process knows.
bool Unwritten(Transition& t, const Verdict& verdict) {
  const Rollout& rollout = *t.next.rollout;
  // They were, in a former process: what it left is served until they are written again.
  if (rollout.step_in_effect) return false;
  if (!verdict.ready) {
    t.Wake(rollout.step_since + kShiftPatience);
    if (t.now >= rollout.step_since + kShiftPatience)
      return Fail(t, "it was no longer ready when traffic was to be shifted: " + verdict.waiting);
  }
  return Late(t) && Fail(t, "traffic could not be shifted in time");
}

// The step is not left. Numbers that grow are not a journal step each.
bool Hold(Transition& t, const std::string& why) {
  Rollout& rollout = *t.next.rollout;
  if (why.empty() || rollout.held == why || (!rollout.held.empty() && t.now < rollout.held_at + kHeldEach))
    return false;
  if (rollout.held.empty()) {
    JsonObject detail = Describe(rollout);
    detail["step"] = rollout.step;
    detail["reason"] = why;
    t.Record("rollout.held", std::move(detail));
  }
  rollout.held = why;
  rollout.held_at = t.now;
  t.changed = true;
  return false;
}

}  // namespace

std::vector<plan::ShiftStep> StepsOf(const EnvironmentState& state) {
  if (!state.rollout || state.rollout->kind != RolloutKind::kApply || !state.rollout->from) return {};
  const auto from = state.revisions.find(*state.rollout->from);
  const auto to = state.revisions.find(state.rollout->to);
  if (from == state.revisions.end() || to == state.revisions.end()) return {};
  return plan::ShiftSteps(from->second->fleets, to->second->fleets);
}

bool BeginSteps(Transition& t) {
  const auto steps = StepsOf(t.next);
  if (steps.empty()) return false;
  Go(t, Phase::kStepping, kShiftLimit);
  return EnterStep(t, steps, 1);
}

bool Stepping(Transition& t) {
  Rollout& rollout = *t.next.rollout;
  const Verdict verdict = Judge(t.next, t.view);
  if (!verdict.failure.empty()) return Fail(t, verdict.failure);
  if (const std::string why = t.RoutesHopeless(); !why.empty())
    return Fail(t, "traffic cannot be shifted: " + why);
  if (!t.RoutesInEffect()) return Unwritten(t, verdict);
  if (!rollout.step_in_effect) {
    rollout.step_in_effect = t.now;
    if (const auto gate = GateOf(t.next)) t.events.push_back(AwaitedEvent(t.next, *gate));
    t.Changed();
    return true;
  }
  const auto steps = StepsOf(t.next);
  const plan::ShiftStep& step = steps.at(rollout.step - 1);
  const StepFinding finding = AnalyseStep(t, step);
  if (finding.failed) return true;
  if (!rollout.advanced) {
    if (step.manual || !rollout.paused.empty()) return false;
    const WallTime over = *rollout.step_in_effect + step.hold;
    if (t.now < over) {
      t.Wake(over);
      return false;
    }
    // What cannot be seen is not known to be well.
    if (!verdict.ready) return false;
    if (!finding.passed) return Hold(t, finding.inconclusive);
  }
  if (const auto gate = GateOf(t.next)) return AwaitApproval(t, *gate);
  RecordShadows(t, step);
  if (rollout.step < steps.size()) return EnterStep(t, steps, rollout.step + 1);
  rollout.held.clear();
  return AfterSteps(t);
}

}  // namespace ingot::rollout
