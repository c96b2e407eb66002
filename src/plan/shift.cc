#include "plan/shift.h"

#include <algorithm>

#include "base/units.h"

namespace ingot::plan {

namespace {

const Fleet* FormerOf(const std::vector<Fleet>& before, const Fleet& fleet) {
  for (const Fleet& former : before)
    if (former.spec.id.service() == fleet.spec.id.service()) return &former;
  return nullptr;
}

}  // namespace

std::vector<ShiftStep> ShiftSteps(const std::vector<Fleet>& before, const std::vector<Fleet>& after) {
  std::vector<const Fleet*> canaries;
  size_t count = 0;
  for (const Fleet& fleet : after) {
    const Fleet* former = FormerOf(before, fleet);
    if (fleet.rollout.strategy != definition::Strategy::kCanary || former == nullptr ||
        former->spec.id == fleet.spec.id || StopsFirst(*former, fleet))
      continue;
    canaries.push_back(&fleet);
    count = std::max(count, fleet.rollout.steps.size());
  }
  std::vector<ShiftStep> out(count);
  for (const Fleet* canary : canaries) {
    const auto& steps = canary->rollout.steps;
    for (size_t i = 0; i < count && !steps.empty(); ++i) {
      out[i].percent[canary->spec.id.service()] = steps[std::min(i, steps.size() - 1)].percent;
      if (i >= steps.size()) continue;
      out[i].hold = std::max(out[i].hold, steps[i].hold);
      out[i].manual = out[i].manual || steps[i].manual;
      if (steps[i].shadow) out[i].shadow[canary->spec.id.service()] = *steps[i].shadow;
      for (const auto& [role, within] : steps[i].approve) {
        const auto [entry, is_new] = out[i].approve.emplace(role, within);
        if (!is_new) entry->second = std::min(entry->second, within);
      }
    }
  }
  return out;
}

std::string Render(const ShiftStep& step) {
  std::string out;
  for (const auto& [service, percent] : step.percent) {
    out += (out.empty() ? "" : ", ") + service + " " + std::to_string(percent) + " %";
    const auto shadow = step.shadow.find(service);
    if (shadow != step.shadow.end())
      out += " and a copy of " + std::to_string(shadow->second.share) + " % (shadow)";
  }
  if (step.hold > Milliseconds(0)) out += " for " + RenderDuration(step.hold);
  if (step.manual)
    out += std::string(step.hold > Milliseconds(0) ? ", then" : "") + " until `ingot rollout advance`";
  for (const auto& [role, within] : step.approve)
    out += ", then until somebody of " + role + " approves, within " + RenderDuration(within);
  return out;
}

Json ToJson(const ShiftStep& step) {
  JsonObject percent;
  for (const auto& [service, share] : step.percent) percent[service] = share;
  JsonArray approve;
  for (const auto& [role, within] : step.approve)
    approve.push_back(JsonObject{{"role", role}, {"within_ms", within.count()}});
  JsonObject out{{"percent", std::move(percent)},
                 {"hold_ms", step.hold.count()},
                 {"manual", step.manual},
                 {"approve", std::move(approve)}};
  if (step.shadow.empty()) return out;
  JsonObject shadow;
  for (const auto& [service, what] : step.shadow) shadow[service] = definition::ToJson(what);
  out["shadow"] = std::move(shadow);
  return out;
}

}  // namespace ingot::plan
