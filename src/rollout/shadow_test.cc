// What the numbers of a shadow mean.
#include "rollout/shadow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ingot::rollout {
namespace {

using platform::ShadowCounters;
using ::testing::HasSubstr;

definition::ResolvedShadow Limits() {
  definition::ResolvedShadow out;
  out.share = 100;
  out.differences = 100;
  out.errors = 100;
  out.least = 100;
  out.methods = {"GET"};
  return out;
}

ShadowCounters Counted(uint64_t same, uint64_t other_status, uint64_t other_body, uint64_t timed_out) {
  ShadowCounters out;
  out.same = same;
  out.other_status = other_status;
  out.other_body = other_body;
  out.timed_out = timed_out;
  return out;
}

TEST(Shadow, GoesOnWithinItsLimitsWhenItsTimeIsOver) {
  const Finding finding = JudgeShadow(Limits(), Counted(199, 1, 0, 2), true);
  EXPECT_EQ(finding.outcome, Outcome::kSuccess);
  EXPECT_EQ(
      finding.text,
      "1 of 200 answers differ (0.5 %: 1 in status, 0 in body), 2 of 202 copies had no answer (0.9901 %: "
      "0 failed, 2 timed out)");
}

TEST(Shadow, BeyondALimitAtTheEndIsAFailureWithTheNumbers) {
  const Finding differs = JudgeShadow(Limits(), Counted(197, 1, 2, 0), true);
  EXPECT_EQ(differs.outcome, Outcome::kFailure);
  EXPECT_THAT(differs.text, HasSubstr("3 of 200 answers differ (1.5 %: 1 in status, 2 in body)"));
  EXPECT_THAT(differs.text, HasSubstr("allowed are 1 % differences and 1 % without an answer"));
  EXPECT_EQ(JudgeShadow(Limits(), Counted(200, 0, 0, 3), true).outcome, Outcome::kFailure);
}

TEST(Shadow, WhileItGoesOnAFailureTakesMoreThanChance) {
  EXPECT_EQ(JudgeShadow(Limits(), Counted(197, 1, 2, 0), false).outcome, Outcome::kSuccess);
  EXPECT_EQ(JudgeShadow(Limits(), Counted(180, 0, 20, 0), false).outcome, Outcome::kFailure);
}

TEST(Shadow, WithoutAnyLeaveOneDifferenceIsEnough) {
  definition::ResolvedShadow strict = Limits();
  strict.differences = 0;
  EXPECT_EQ(JudgeShadow(strict, Counted(199, 0, 1, 0), false).outcome, Outcome::kFailure);
  EXPECT_EQ(JudgeShadow(strict, Counted(200, 0, 0, 0), true).outcome, Outcome::kSuccess);
}

TEST(Shadow, TooFewAreInconclusiveHoweverGoodOrBad) {
  for (const ShadowCounters& counted : {Counted(99, 0, 0, 0), Counted(0, 99, 0, 0), ShadowCounters{}})
    for (const bool over : {false, true})
      EXPECT_EQ(JudgeShadow(Limits(), counted, over).outcome, Outcome::kInconclusive);
  EXPECT_EQ(JudgeShadow(Limits(), Counted(99, 0, 0, 0), true).text,
            "too few answers to compare: 99 of at least 100");
}

TEST(Shadow, WhatCouldNotBeComparedIsNotTheSame) {
  ShadowCounters counted = Counted(40, 0, 0, 0);
  counted.body_unknown = 500;
  counted.skipped = 7;
  const Finding finding = JudgeShadow(Limits(), counted, true);
  EXPECT_EQ(finding.outcome, Outcome::kInconclusive);
  EXPECT_EQ(finding.text,
            "too few answers to compare: 40 of at least 100; of 500 more the bodies could not be compared "
            "(bodies: false compares statuses alone); 7 were not copied");
}

TEST(Shadow, AFleetThatNeverAnswersFailsThoughNothingCouldBeCompared) {
  const Finding finding = JudgeShadow(Limits(), Counted(0, 0, 0, 100), false);
  EXPECT_EQ(finding.outcome, Outcome::kFailure);
  EXPECT_THAT(finding.text, HasSubstr("100 of 100 copies had no answer (100 %: 0 failed, 100 timed out)"));
}

TEST(Shadow, IsShownWithBothLatencies) {
  ShadowCounters counted = Counted(3, 1, 0, 1);
  counted.real_ms = 40;
  counted.shadow_ms = 80;
  counted.in_flight = 2;
  counted.examples = {"GET /a: 200, new 500"};
  const JsonObject json = ToJson(counted);
  EXPECT_EQ(json.at("mirrored"), 7);
  EXPECT_EQ(json.at("mean_ms"), 10);
  EXPECT_EQ(json.at("shadow_mean_ms"), 20);
  EXPECT_EQ(json.at("examples").at(0), "GET /a: 200, new 500");
  EXPECT_TRUE(ToJson(ShadowCounters{}).at("mean_ms").is_null());
}

}  // namespace
}  // namespace ingot::rollout
