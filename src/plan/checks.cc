#include "plan/checks.h"

#include "base/units.h"
#include "definition/analysis_check.h"

namespace ingot::plan {

std::vector<PlannedCheck> ChecksOf(const std::vector<ShiftStep>& steps, const std::vector<Fleet>& after) {
  std::vector<PlannedCheck> out;
  if (steps.empty()) return out;
  for (const auto& [service, percent] : steps.back().percent)
    for (const Fleet& fleet : after)
      if (fleet.spec.id.service() == service && fleet.rollout.analysis)
        for (const definition::ResolvedCheck& check : fleet.rollout.analysis->checks)
          out.push_back({service, check});
  return out;
}

std::string Render(const PlannedCheck& planned) {
  const definition::ResolvedCheck& check = planned.check;
  return planned.service + " " + check.name + ": " + definition::SubjectOf(check) + ", expected " +
         definition::BoundOf(check) + ", each " + RenderDuration(check.interval) +
         (check.fails > 1 ? ", " + std::to_string(check.fails) + " failures in a row revert" : "");
}

Json ToJson(const PlannedCheck& planned) {
  const definition::ResolvedCheck& check = planned.check;
  return JsonObject{{"service", planned.service},
                    {"check", check.name},
                    {"subject", definition::SubjectOf(check)},
                    {"bound", definition::BoundOf(check)},
                    {"interval_ms", check.interval.count()},
                    {"timeout_ms", check.timeout.count()},
                    {"fails", check.fails}};
}

}  // namespace ingot::plan
