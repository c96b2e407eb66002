// Checks: what others than the router measure of a canary, and what follows from it. Pure.
//
// Each check is measured again and again while a step goes on (checker.h). It has failed when so many
// measurements in a row as it says were failures; it keeps to its bound while the last one that could be made
// was a success. In between, and while nothing can be measured, it is inconclusive, which is never a success.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "rollout/analysis.h"

namespace ingot::rollout {

struct Measurement {
  Outcome outcome = Outcome::kInconclusive;
  std::string value;    // what was measured: "0.25", "status 503", "exit code 1"; empty: nothing
  std::string message;  // inconclusive: why; else what more is known, perhaps nothing
  bool operator==(const Measurement&) const = default;
};

// Of one check in one step, so far.
struct CheckTally {
  uint64_t measured = 0;
  int fails = 0;  // since the last success
  Measurement last;
  void Add(Measurement measurement);
  bool operator==(const CheckTally&) const = default;
};

// A step of a rollout, of which checks are made.
struct CheckKey {
  uint64_t rollout = 0;
  uint32_t step = 0;
  bool operator==(const CheckKey&) const = default;
};

// What is to be measured in a step.
struct CheckOrder {
  CheckKey key;
  uint64_t revision = 0;                                                 // that is judged
  std::map<std::string, std::vector<definition::ResolvedCheck>> checks;  // by service
  bool operator==(const CheckOrder&) const = default;
};

// What was measured so far, by service and name of the check. One that is missing was not measured yet.
struct CheckRun {
  CheckKey key;
  std::map<std::pair<std::string, std::string>, CheckTally> tallies;
  bool operator==(const CheckRun&) const = default;
};

Outcome OutcomeOf(const definition::ResolvedCheck& check, const CheckTally& tally);
// "check errors: 0.25, expected < 0.01 (rate(errors[1m]) at http://…)"; empty: not measured yet.
std::string Explain(const definition::ResolvedCheck& check, const CheckTally& tally);
// docs/formats/rollout.md, "rollout status": a member of `checks`.
JsonObject ToJson(const definition::ResolvedCheck& check, const CheckTally& tally);

}  // namespace ingot::rollout
