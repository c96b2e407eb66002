// Whether a canary is as good as what serves: from counts alone. Pure.
//
// A step is looked at all the time, so the test is one that may be: a mixture sequential probability ratio
// test. The evidence against the canary is how many times likelier the counts are were it worse (odds of 1.4
// to 128 times those allowed, equally weighted) than were it not; that it ever exceeds E by chance has a
// probability of at most 1/E. A failure is evidence of more than tests / (1 - confidence).
//
// Errors are compared with those of the old fleet in the same time: of all errors the canary's share would be
// its share of the requests. A bound on the error rate or a latency quantile: of its requests the share
// beyond the bound.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/json.h"
#include "definition/resolved.h"

namespace ingot::rollout {

// What was counted of one fleet in one step.
struct Sample {
  uint64_t requests = 0;
  uint64_t errors = 0;
  std::map<uint32_t, uint64_t> latency_ms;  // answers by latency, as platform::FleetCounters
};

enum class Outcome { kSuccess, kFailure, kInconclusive };
std::string_view OutcomeName(Outcome outcome);

struct Finding {
  Outcome outcome = Outcome::kInconclusive;
  std::string text;  // why, with the numbers, for people
  JsonArray tests;   // one object per test, numbers that are no integers as text
};

// Too few requests of either side are inconclusive.
Finding Analyse(const definition::ResolvedAnalysis& analysis, const Sample& canary, const Sample& baseline);

// How many times likelier `hits` of `trials` are with odds above those of `chance` than with `chance`; at
// least 0, infinite for a hit without a chance.
double Evidence(uint64_t hits, uint64_t trials, double chance);

}  // namespace ingot::rollout
