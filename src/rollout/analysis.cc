#include "rollout/analysis.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

namespace ingot::rollout {

namespace {

// Odds ratios of the mixture: 2^(1/2), 2^1, … 2^7.
constexpr int kAlternatives = 14;

std::string Shown(const char* format, double value) {
  char text[40];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string Share(uint64_t part, uint64_t whole) {
  return std::to_string(part) + " of " + std::to_string(whole) + " (" +
         Shown("%.2f", whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole)) + " %)";
}

// Of a test: how sure it is, and what that makes it.
struct Tested {
  std::string metric;
  std::string text;     // the numbers
  double evidence = 0;  // against the canary
  bool kept = true;     // what was observed keeps to it
};

class Weighing {
 public:
  explicit Weighing(const definition::ResolvedAnalysis& analysis) : analysis_(analysis) {
    const size_t tests = 1 + (analysis.error_rate ? 1 : 0) + analysis.latency.size();
    needed_ = static_cast<double>(tests) / (1 - analysis.confidence / 10'000.0);
  }

  void Add(const Tested& tested, Finding& out) {
    const bool failed = tested.evidence > needed_;
    const Outcome outcome = failed        ? Outcome::kFailure
                            : tested.kept ? Outcome::kSuccess
                                          : Outcome::kInconclusive;
    out.tests.push_back(JsonObject{{"metric", tested.metric},
                                   {"numbers", tested.text},
                                   {"evidence", Shown("%.3g", tested.evidence)},
                                   {"needed", Shown("%.3g", needed_)},
                                   {"outcome", OutcomeName(outcome)}});
    // The worst of all counts.
    if (out.outcome == Outcome::kFailure || outcome == Outcome::kSuccess) {
      if (out.text.empty()) out.text = tested.metric + ": " + tested.text;
      return;
    }
    if (out.outcome == Outcome::kInconclusive && !failed) return;
    out.outcome = outcome;
    out.text = tested.metric + ": " + tested.text + "; " +
               (failed ? "" : "beyond its bound, but that may be chance: ") + "evidence " +
               Shown("%.3g", tested.evidence) + ":1, " + Shown("%.3g", needed_) +
               ":1 is a failure (confidence " + Shown("%g", analysis_.confidence / 100.0) + " %)";
  }

 private:
  const definition::ResolvedAnalysis& analysis_;
  double needed_ = 0;
};

Tested AgainstBaseline(const Sample& canary, const Sample& baseline) {
  Tested out;
  out.metric = "errors";
  out.text = Share(canary.errors, canary.requests) + " of the new fleet's requests failed, " +
             Share(baseline.errors, baseline.requests) + " of the old one's";
  const double share =
      static_cast<double>(canary.requests) / static_cast<double>(canary.requests + baseline.requests);
  out.evidence = Evidence(canary.errors, canary.errors + baseline.errors, share);
  return out;
}

Tested ErrorRate(const definition::Bound& bound, const Sample& canary) {
  Tested out;
  const double limit = static_cast<double>(bound.value) / 10'000;
  out.metric = "error_rate";
  out.text = Share(canary.errors, canary.requests) + " of the new fleet's requests failed, allowed are " +
             (bound.or_equal ? "" : "less than ") + Shown("%g", 100 * limit) + " %";
  out.evidence = Evidence(canary.errors, canary.requests, limit);
  const double observed = static_cast<double>(canary.errors) / static_cast<double>(canary.requests);
  out.kept = bound.or_equal ? observed <= limit : observed < limit || canary.errors == 0;
  return out;
}

Tested Latency(uint32_t percentile, const definition::Bound& bound, const Sample& canary) {
  Tested out;
  uint64_t all = 0;
  uint64_t slow = 0;
  for (const auto& [ms, count] : canary.latency_ms) {
    all += count;
    const bool beyond = bound.or_equal ? ms > bound.value : ms >= bound.value;
    if (beyond) slow += count;
  }
  const double chance = (100 - percentile) / 100.0;
  out.metric = "p" + std::to_string(percentile);
  out.text = Share(slow, all) + " of the new fleet's answers took " + (bound.or_equal ? "more than " : "") +
             std::to_string(bound.value) + " ms" + (bound.or_equal ? "" : " or more") + ", allowed are " +
             std::to_string(100 - percentile) + " %";
  out.evidence = Evidence(slow, all, chance);
  out.kept = all > 0 && static_cast<double>(slow) <= chance * static_cast<double>(all);
  return out;
}

}  // namespace

std::string_view OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kSuccess:
      return "success";
    case Outcome::kFailure:
      return "failure";
    case Outcome::kInconclusive:
      return "inconclusive";
  }
  return "inconclusive";
}

Finding Analyse(const definition::ResolvedAnalysis& analysis, const Sample& canary, const Sample& baseline) {
  Finding out;
  const bool few_new = canary.requests < analysis.min_requests;
  if (few_new || baseline.requests < analysis.min_requests) {
    out.text = "too few requests to tell: " + std::to_string(few_new ? canary.requests : baseline.requests) +
               " of at least " + std::to_string(analysis.min_requests) + " to the " +
               (few_new ? "new" : "old") + " fleet";
    return out;
  }
  out.outcome = Outcome::kSuccess;
  Weighing weighing(analysis);
  weighing.Add(AgainstBaseline(canary, baseline), out);
  if (analysis.error_rate) weighing.Add(ErrorRate(*analysis.error_rate, canary), out);
  for (const auto& [percentile, bound] : analysis.latency)
    weighing.Add(Latency(percentile, bound, canary), out);
  return out;
}

double Evidence(uint64_t hits, uint64_t trials, double chance) {
  hits = std::min(hits, trials);
  if (chance >= 1 || hits == 0) return 0;
  if (chance <= 0) return std::numeric_limits<double>::infinity();
  std::array<double, kAlternatives> logs{};
  for (int i = 0; i < kAlternatives; ++i) {
    const double odds = std::exp2((i + 1) / 2.0);
    // The likelier a hit by `odds`, the likelier by odds / all, the less likely a miss by 1 / all.
    const double all = odds * chance + 1 - chance;
    logs[static_cast<size_t>(i)] =
        static_cast<double>(hits) * std::log(odds / all) - static_cast<double>(trials - hits) * std::log(all);
  }
  const double most = *std::max_element(logs.begin(), logs.end());
  double sum = 0;
  for (const double log : logs) sum += std::exp(log - most);
  return std::exp(most) * sum / kAlternatives;
}

}  // namespace ingot::rollout
