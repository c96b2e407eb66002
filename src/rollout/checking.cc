// Checks in the life of a rollout: which are to be made just now, and what those that were made say.
#include "rollout/phases.h"
#include "rollout/status.h"

namespace ingot::rollout {

namespace {

// Those of the present step, once the router has its weights.
std::optional<CheckOrder> OrderOf(const EnvironmentState& state) {
  if (!state.rollout || state.rollout->phase != Phase::kStepping || !state.rollout->step_in_effect)
    return std::nullopt;
  const Rollout& rollout = *state.rollout;
  CheckOrder order{{rollout.id, rollout.step}, rollout.to, {}};
  const plan::ShiftStep step = StepsOf(state).at(rollout.step - 1);
  for (const auto& [service, percent] : step.percent) {
    const auto& analysis = Target(state).FleetOf(service)->rollout.analysis;
    if (percent > 0 && analysis && !analysis->checks.empty()) order.checks[service] = analysis->checks;
  }
  if (order.checks.empty()) return std::nullopt;
  return order;
}

CheckTally TallyOf(const CheckRun& run, const std::string& service, const std::string& check) {
  const auto found = run.tallies.find({service, check});
  return found == run.tallies.end() ? CheckTally{} : found->second;
}

// What was measured in the present step.
CheckRun RunOf(const EnvironmentState& state, const View& view) {
  const CheckKey key{state.rollout->id, state.rollout->step};
  return view.checks && view.checks->key == key ? *view.checks : CheckRun{key, {}};
}

}  // namespace

void AddChecks(Transition& t, std::vector<Action>& actions) {
  std::optional<CheckOrder> wanted = OrderOf(t.next);
  if (wanted && (!t.view.checks || t.view.checks->key != wanted->key))
    actions.push_back(RunChecks{std::move(*wanted)});
  if (!wanted && t.view.checks) actions.push_back(EndChecks{});
}

CheckFinding JudgeChecks(const Transition& t, const std::string& service,
                         const definition::ResolvedAnalysis& analysis) {
  CheckFinding out;
  if (analysis.checks.empty()) return out;
  if (!t.view.can_check) {
    out.outcome = Outcome::kInconclusive;
    out.text = "this daemon makes no checks";
    return out;
  }
  const CheckRun run = RunOf(t.next, t.view);
  for (const definition::ResolvedCheck& check : analysis.checks) {
    const CheckTally tally = TallyOf(run, service, check.name);
    const Outcome outcome = OutcomeOf(check, tally);
    out.checks.push_back(ToJson(check, tally));
    // The worst of all counts.
    if (outcome == Outcome::kSuccess || out.outcome == Outcome::kFailure) continue;
    if (outcome == Outcome::kFailure || out.text.empty()) out.text = Explain(check, tally);
    out.outcome = outcome;
  }
  return out;
}

JsonArray ChecksOf(const EnvironmentState& state, const View& view) {
  JsonArray out;
  const std::optional<CheckOrder> order = OrderOf(state);
  if (!order) return out;
  const CheckRun run = RunOf(state, view);
  for (const auto& [service, checks] : order->checks)
    for (const definition::ResolvedCheck& check : checks) {
      JsonObject one{{"service", service}};
      for (const auto& member : ToJson(check, TallyOf(run, service, check.name)))
        one[member.key()] = member.value();
      out.push_back(std::move(one));
    }
  return out;
}

}  // namespace ingot::rollout
