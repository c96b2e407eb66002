// Shadows in the life of a rollout: what their numbers mean for the present step.
#include "rollout/phases.h"
#include "rollout/shadow.h"
#include "rollout/status.h"

namespace ingot::rollout {

namespace {

constexpr Milliseconds kShadowLookEach{50};

platform::ShadowCounters CopiedTo(const View& view, const platform::FleetId& fleet) {
  const auto found = view.shadows.find(fleet);
  return found == view.shadows.end() ? platform::ShadowCounters{} : found->second;
}

// A fleet that is scaled to nothing is copied nothing, and judged by nothing.
const platform::FleetId* ShadowedFleet(const EnvironmentState& state, const std::string& service) {
  const plan::Fleet* fleet = Target(state).FleetOf(service);
  return fleet == nullptr || CountOf(state, fleet->spec.id) == 0 ? nullptr : &fleet->spec.id;
}

void RecordShadow(Transition& t, const std::string& service, Outcome outcome, const std::string& text,
                  const platform::ShadowCounters& counted) {
  JsonObject detail = Describe(*t.next.rollout);
  detail["step"] = t.next.rollout->step;
  detail["service"] = service;
  detail["outcome"] = OutcomeName(outcome);
  for (auto& member : ToJson(counted)) detail[member.key()] = std::move(member.value());
  detail["reason"] = text;
  t.Record("rollout.shadow", std::move(detail));
}

}  // namespace

StepFinding JudgeShadows(Transition& t, const plan::ShiftStep& step) {
  StepFinding out;
  out.passed = true;
  t.ask_counters = true;
  t.Wake(t.now + kShadowLookEach);
  if (!t.view.counters) {
    out.passed = false;
    if (!t.view.counters_error.empty())
      out.inconclusive = "what was copied cannot be counted: " + t.view.counters_error;
    return out;
  }
  const bool over = t.now >= *t.next.rollout->step_in_effect + step.hold;
  for (const auto& [service, shadow] : step.shadow) {
    const platform::FleetId* fleet = ShadowedFleet(t.next, service);
    if (fleet == nullptr) continue;
    const platform::ShadowCounters counted = CopiedTo(t.view, *fleet);
    const Finding finding = JudgeShadow(shadow, counted, over);
    if (finding.outcome == Outcome::kFailure) {
      RecordShadow(t, service, finding.outcome, finding.text, counted);
      Fail(t, "shadow of " + service + " failed in step " + std::to_string(t.next.rollout->step) + ": " +
                  finding.text);
      out.failed = true;
      return out;
    }
    if (finding.outcome == Outcome::kSuccess) continue;
    out.passed = false;
    if (out.inconclusive.empty()) out.inconclusive = "shadow of " + service + ": " + finding.text;
  }
  return out;
}

void RecordShadows(Transition& t, const plan::ShiftStep& step) {
  for (const auto& [service, shadow] : step.shadow) {
    const platform::FleetId* fleet = ShadowedFleet(t.next, service);
    if (fleet == nullptr) continue;
    const platform::ShadowCounters counted = CopiedTo(t.view, *fleet);
    const Finding finding = JudgeShadow(shadow, counted, true);
    RecordShadow(t, service, finding.outcome, finding.text, counted);
  }
}

JsonArray ShadowsOf(const EnvironmentState& state, const View& view) {
  JsonArray out;
  if (!state.rollout || state.rollout->phase != Phase::kStepping || !state.rollout->step_in_effect)
    return out;
  const plan::ShiftStep step = StepsOf(state).at(state.rollout->step - 1);
  for (const auto& [service, shadow] : step.shadow) {
    const platform::FleetId* fleet = ShadowedFleet(state, service);
    if (fleet == nullptr) continue;
    const platform::ShadowCounters counted = CopiedTo(view, *fleet);
    const Finding finding = JudgeShadow(shadow, counted, false);
    JsonObject one{{"service", service}, {"outcome", OutcomeName(finding.outcome)}};
    for (auto& member : ToJson(counted)) one[member.key()] = std::move(member.value());
    one["text"] = finding.text;
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace ingot::rollout
