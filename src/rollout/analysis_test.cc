#include "rollout/analysis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace ingot::rollout {
namespace {

using ::testing::HasSubstr;

definition::ResolvedAnalysis Default() {
  definition::ResolvedAnalysis out;
  out.min_requests = 50;
  out.confidence = 9'990;
  return out;
}

TEST(Analysis, EvidenceIsALikelihoodRatio) {
  EXPECT_EQ(Evidence(0, 0, 0.5), 0);
  EXPECT_EQ(Evidence(1, 1, 0), std::numeric_limits<double>::infinity());
  // One hit with chance 1/2 is 2 odds / (odds + 1) times likelier: between 1.17 and 1.98.
  EXPECT_GT(Evidence(1, 1, 0.5), 1.5);
  EXPECT_LT(Evidence(1, 1, 0.5), 1.9);
  EXPECT_GT(Evidence(12, 12, 0.5), 1'000);
  EXPECT_LT(Evidence(11, 11, 0.5), 1'000);
  EXPECT_LT(Evidence(10, 20, 0.5), 1);
  EXPECT_LT(Evidence(1, 1'000'000, 0.5), 1e-100);
  EXPECT_TRUE(std::isfinite(Evidence(100, 1'000'000'000, 0.0000001)));
}

// That is what "at most 1/E" rests on: on the average over what chance gives, the evidence is 1.
TEST(Analysis, EvidenceIsOneOnTheAverage) {
  for (const double chance : {0.05, 0.2, 0.5, 0.9}) {
    double mean = 0;
    double weight = std::pow(1 - chance, 30);  // of 0 hits
    for (uint64_t hits = 0; hits <= 30; ++hits) {
      mean += weight * Evidence(hits, 30, chance);
      weight *= static_cast<double>(30 - hits) / static_cast<double>(hits + 1) * chance / (1 - chance);
    }
    EXPECT_LE(mean, 1 + 1e-9) << chance;  // without hits nothing is held against anybody
    EXPECT_GT(mean, 0.7) << chance;
  }
}

TEST(Analysis, TooFewRequestsAreInconclusiveHoweverBad) {
  const Finding finding = Analyse(Default(), {49, 49, {}}, {1'000, 0, {}});
  EXPECT_EQ(finding.outcome, Outcome::kInconclusive);
  EXPECT_EQ(finding.text, "too few requests to tell: 49 of at least 50 to the new fleet");
  EXPECT_EQ(Analyse(Default(), {500, 0, {}}, {3, 0, {}}).text,
            "too few requests to tell: 3 of at least 50 to the old fleet");
}

TEST(Analysis, MoreErrorsThanTheOldFleetAreAFailureWithNumbers) {
  const Finding finding = Analyse(Default(), {200, 10, {}}, {800, 1, {}});
  EXPECT_EQ(finding.outcome, Outcome::kFailure);
  EXPECT_THAT(finding.text, HasSubstr("errors: 10 of 200 (5.00 %) of the new fleet's requests failed, "
                                      "1 of 800 (0.12 %) of the old one's; evidence "));
  EXPECT_THAT(finding.text, HasSubstr(":1, 1e+03:1 is a failure (confidence 99.9 %)"));
  ASSERT_EQ(finding.tests.size(), 1u);
  EXPECT_EQ(finding.tests[0].at("outcome"), "failure");
  // As many errors on both sides are not the release's.
  EXPECT_EQ(Analyse(Default(), {200, 10, {}}, {800, 40, {}}).outcome, Outcome::kSuccess);
}

TEST(Analysis, ABoundIsKeptBrokenOrNeither) {
  definition::ResolvedAnalysis analysis = Default();
  analysis.error_rate = definition::Bound{false, 100};
  const auto outcome = [&](uint64_t errors) {
    return Analyse(analysis, {1'000, errors, {}}, {1'000, errors, {}}).outcome;
  };
  EXPECT_EQ(outcome(9), Outcome::kSuccess);
  EXPECT_EQ(outcome(10), Outcome::kInconclusive);
  EXPECT_EQ(outcome(14), Outcome::kInconclusive);
  EXPECT_EQ(outcome(40), Outcome::kFailure);
  analysis.error_rate->or_equal = true;
  EXPECT_EQ(outcome(10), Outcome::kSuccess);
}

TEST(Analysis, LatencyIsJudgedByHowManyAreTooSlow) {
  definition::ResolvedAnalysis analysis = Default();
  analysis.latency[99] = definition::Bound{false, 250};
  const auto finding = [&](uint64_t slow) {
    const Sample canary{1'000, 0, {{3, 1'000 - slow}, {250, slow}}};
    return Analyse(analysis, canary, {1'000, 0, {}});
  };
  EXPECT_EQ(finding(10).outcome, Outcome::kSuccess);
  EXPECT_EQ(finding(13).outcome, Outcome::kInconclusive);
  EXPECT_EQ(finding(50).outcome, Outcome::kFailure);
  EXPECT_THAT(finding(50).text,
              HasSubstr("p99: 50 of 1000 (5.00 %) of the new fleet's answers took 250 ms or more, "
                        "allowed are 1 %"));
  // Nothing measured is not a success.
  EXPECT_EQ(Analyse(analysis, {1'000, 0, {}}, {1'000, 0, {}}).outcome, Outcome::kInconclusive);
}

// A step that is looked at every 50 ms at 1,000 requests/s: at which request it failed; 0: never.
uint64_t FailsAt(std::mt19937_64& random, double canary_errors, double baseline_errors, double weight,
                 uint64_t requests) {
  const definition::ResolvedAnalysis analysis = Default();
  Sample canary;
  Sample baseline;
  std::uniform_real_distribution<double> dice(0, 1);
  for (uint64_t i = 1; i <= requests; ++i) {
    Sample& side = dice(random) < weight ? canary : baseline;
    ++side.requests;
    if (dice(random) < (&side == &canary ? canary_errors : baseline_errors)) ++side.errors;
    if (i % 50 == 0 && Analyse(analysis, canary, baseline).outcome == Outcome::kFailure) return i;
  }
  return 0;
}

TEST(Analysis, EqualPairsAreNotTakenForBadOnes) {
  std::mt19937_64 random(1);
  int failures = 0;
  for (int pair = 0; pair < 400; ++pair) failures += FailsAt(random, 0.02, 0.02, 0.2, 20'000) != 0 ? 1 : 0;
  // At most 0.1 % each: 0.4 on the average is the worst that is promised.
  EXPECT_LE(failures, 3);
}

TEST(Analysis, FivePercentErrorsAreFoundWithinAThousandRequests) {
  std::mt19937_64 random(2);
  int late = 0;
  for (int pair = 0; pair < 200; ++pair) {
    const uint64_t at = FailsAt(random, 0.05, 0, 0.5, 5'000);
    ASSERT_NE(at, 0u);
    late += at > 900 ? 1 : 0;
  }
  EXPECT_LE(late, 6);
}

TEST(Analysis, OnePointMoreIsFoundWithinTenThousandRequests) {
  std::mt19937_64 random(3);
  int missed = 0;
  for (int pair = 0; pair < 100; ++pair) missed += FailsAt(random, 0.02, 0.01, 0.5, 10'000) == 0 ? 1 : 0;
  // 50 against 100 errors of 5,000 each: at the limit of what can be told with this confidence.
  EXPECT_LE(missed, 70);
}

}  // namespace
}  // namespace ingot::rollout
