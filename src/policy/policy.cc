#include "policy/policy.h"

#include <algorithm>

namespace ingot::policy {

Verdict Judge(const plan::Plan& plan, const definition::Resolved& next, const Facts& facts) {
  Verdict verdict;
  if (next.dirty && next.environment != "local" && !facts.allow_dirty)
    verdict.reasons.push_back(
        "the work tree has changes that are not committed; commit them, or say --allow-dirty");
  for (const definition::ResolvedService& service : next.services) {
    // What runs already was judged when it was started.
    const bool starts =
        std::any_of(plan.fleets.begin(), plan.fleets.end(), [&](const plan::FleetChange& change) {
          return change.action == plan::FleetChange::Action::kStart && change.fleet.service() == service.name;
        });
    if (starts && !facts.golden.contains(service.image))
      verdict.reasons.push_back("image " + std::string(service.image.Short()) + " of service " +
                                service.name + " has not passed its tests; run `ingot build`");
  }
  return verdict;
}

Result<void> Enforce(const Verdict& verdict) {
  if (verdict.allowed()) return {};
  std::string all;
  for (const std::string& reason : verdict.reasons) all += (all.empty() ? "" : "; ") + reason;
  return Error(Code::kRefused, all);
}

}  // namespace ingot::policy
