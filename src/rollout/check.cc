#include "rollout/check.h"

#include "definition/analysis_check.h"

namespace ingot::rollout {

void CheckTally::Add(Measurement measurement) {
  ++measured;
  if (measurement.outcome == Outcome::kFailure) ++fails;
  // What could not be measured says nothing of what was before.
  if (measurement.outcome == Outcome::kSuccess) fails = 0;
  last = std::move(measurement);
}

Outcome OutcomeOf(const definition::ResolvedCheck& check, const CheckTally& tally) {
  if (tally.fails >= check.fails) return Outcome::kFailure;
  return tally.measured > 0 && tally.last.outcome == Outcome::kSuccess ? Outcome::kSuccess
                                                                       : Outcome::kInconclusive;
}

std::string Explain(const definition::ResolvedCheck& check, const CheckTally& tally) {
  if (tally.measured == 0) return "";
  std::string out = "check " + check.name + ": ";
  if (tally.last.outcome == Outcome::kInconclusive) {
    out += definition::Shortened(tally.last.message) + " (" + definition::SubjectOf(check) + ")";
    if (tally.fails > 0)
      out += "; before that, " + std::to_string(tally.fails) + " of " + std::to_string(check.fails) +
             " failures in a row";
    return out;
  }
  out += tally.last.value + ", expected " + definition::BoundOf(check) + " (" + definition::SubjectOf(check) +
         ")";
  if (!tally.last.message.empty()) out += ": " + definition::Shortened(tally.last.message);
  if (tally.last.outcome == Outcome::kFailure && check.fails > 1)
    out += "; " + std::to_string(tally.fails) + " of " + std::to_string(check.fails) + " failures in a row";
  return out;
}

JsonObject ToJson(const definition::ResolvedCheck& check, const CheckTally& tally) {
  return JsonObject{{"check", check.name},
                    {"subject", definition::SubjectOf(check)},
                    {"bound", definition::BoundOf(check)},
                    {"value", tally.last.value},
                    {"message", tally.last.message},
                    {"measured", tally.measured},
                    {"fails", tally.fails},
                    {"outcome", OutcomeName(OutcomeOf(check, tally))}};
}

}  // namespace ingot::rollout
