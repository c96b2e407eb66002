// The checks by which the steps of a rollout are judged, beside what the router counts. Pure.
#pragma once

#include <string>
#include <vector>

#include "plan/shift.h"

namespace ingot::plan {

struct PlannedCheck {
  std::string service;
  definition::ResolvedCheck check;
  bool operator==(const PlannedCheck&) const = default;
};

// Those of the services that `steps` move, by service and name.
std::vector<PlannedCheck> ChecksOf(const std::vector<ShiftStep>& steps, const std::vector<Fleet>& after);

// "web errors: sum(rate(errors[1m])) at http://127.0.0.1:9090, expected < 0.01, each 5s"
std::string Render(const PlannedCheck& planned);
Json ToJson(const PlannedCheck& planned);

}  // namespace ingot::plan
