// The way on which traffic moves from one revision to the next. Pure.
//
// There is one for all services of a definition: canaries step together, the first step of each at the same
// time; one with fewer steps stays at its last. What is left (the canaries' last part, and every service that
// does not step) switches at once when the last step is over.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "plan/fleets.h"

namespace ingot::plan {

struct ShiftStep {
  std::map<std::string, uint32_t> percent;      // by canary: the share of its new fleet
  Milliseconds hold{0};                         // the least time, of the canaries' the longest
  bool manual = false;                          // one of them waits for `ingot rollout advance`
  std::map<std::string, Milliseconds> approve;  // roles that have to approve, and how long is waited for each
  std::map<std::string, definition::ResolvedShadow> shadow;  // by canary: what is copied to its new fleet
  bool operator==(const ShiftStep&) const = default;
};

// Empty when nothing steps. A service steps when it is a canary in `after` and replaces another fleet of
// itself, and neither stops first.
std::vector<ShiftStep> ShiftSteps(const std::vector<Fleet>& before, const std::vector<Fleet>& after);

// "api 5 %, web 10 % for 30s, then until `ingot rollout advance`"
std::string Render(const ShiftStep& step);
Json ToJson(const ShiftStep& step);

}  // namespace ingot::plan
