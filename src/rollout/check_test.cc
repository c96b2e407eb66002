#include "rollout/check.h"

#include <gtest/gtest.h>

namespace ingot::rollout {
namespace {

using definition::Condition;
using definition::ResolvedCheck;

ResolvedCheck Errors(int fails = 1) {
  ResolvedCheck check;
  check.name = "errors";
  check.kind = ResolvedCheck::Kind::kPrometheus;
  check.url = "http://prometheus:9090";
  check.query = "sum(rate(errors[1m]))";
  check.condition = {Condition::Op::kLess, 0.01};
  check.fails = fails;
  return check;
}

CheckTally Tally(const std::vector<Measurement>& all) {
  CheckTally tally;
  for (const Measurement& one : all) tally.Add(one);
  return tally;
}

const Measurement kGood{Outcome::kSuccess, "0.001", ""};
const Measurement kBad{Outcome::kFailure, "0.25", ""};
const Measurement kUnknown{Outcome::kInconclusive, "", "nobody answers"};

TEST(Check, WhatWasNotMeasuredIsInconclusiveAndSaysNothingYet) {
  EXPECT_EQ(OutcomeOf(Errors(), {}), Outcome::kInconclusive);
  EXPECT_EQ(Explain(Errors(), {}), "");
}

TEST(Check, TheLastMeasurementCounts) {
  EXPECT_EQ(OutcomeOf(Errors(), Tally({kGood})), Outcome::kSuccess);
  EXPECT_EQ(OutcomeOf(Errors(), Tally({kUnknown})), Outcome::kInconclusive);
  EXPECT_EQ(OutcomeOf(Errors(), Tally({kGood, kUnknown})), Outcome::kInconclusive);
  EXPECT_EQ(OutcomeOf(Errors(), Tally({kUnknown, kGood})), Outcome::kSuccess);
  EXPECT_EQ(OutcomeOf(Errors(), Tally({kGood, kBad})), Outcome::kFailure);
}

TEST(Check, SoManyFailuresInARowFail) {
  EXPECT_EQ(OutcomeOf(Errors(3), Tally({kBad, kBad})), Outcome::kInconclusive);
  EXPECT_EQ(OutcomeOf(Errors(3), Tally({kBad, kBad, kGood, kBad, kBad})), Outcome::kInconclusive);
  EXPECT_EQ(OutcomeOf(Errors(3), Tally({kBad, kBad, kGood})), Outcome::kSuccess);
  EXPECT_EQ(OutcomeOf(Errors(3), Tally({kBad, kBad, kBad})), Outcome::kFailure);
  // Not to know does not make good what was bad.
  EXPECT_EQ(OutcomeOf(Errors(3), Tally({kBad, kBad, kUnknown, kBad})), Outcome::kFailure);
}

TEST(Check, SaysWhatWasMeasuredAndWhatWasExpected) {
  EXPECT_EQ(Explain(Errors(), Tally({kBad})),
            "check errors: 0.25, expected < 0.01 (sum(rate(errors[1m])) at http://prometheus:9090)");
  EXPECT_EQ(Explain(Errors(3), Tally({kBad, kBad})),
            "check errors: 0.25, expected < 0.01 (sum(rate(errors[1m])) at http://prometheus:9090); 2 of 3 "
            "failures in a row");
  EXPECT_EQ(Explain(Errors(3), Tally({kBad, kUnknown})),
            "check errors: nobody answers (sum(rate(errors[1m])) at http://prometheus:9090); before that, 1 "
            "of 3 failures in a row");
  ResolvedCheck http;
  http.name = "verdict";
  http.kind = ResolvedCheck::Kind::kHttp;
  http.url = "https://judge/verdict";
  EXPECT_EQ(Explain(http, Tally({{Outcome::kFailure, "status 503", ""}})),
            "check verdict: status 503, expected status 200 to 299 (https://judge/verdict)");
  ResolvedCheck run;
  run.name = "judge";
  run.command = {"/usr/bin/judge", "--all"};
  EXPECT_EQ(Explain(run, Tally({{Outcome::kFailure, "exit code 1", "too slow"}})),
            "check judge: exit code 1, expected exit code 0 (/usr/bin/judge --all): too slow");
}

TEST(Check, IsShownWithItsNumbers) {
  EXPECT_EQ(RenderJson(ToJson(Errors(3), Tally({kGood, kBad}))),
            "{\"check\":\"errors\",\"subject\":\"sum(rate(errors[1m])) at http://prometheus:9090\","
            "\"bound\":\"< 0.01\",\"value\":\"0.25\",\"message\":\"\",\"measured\":2,\"fails\":1,"
            "\"outcome\":\"inconclusive\"}");
}

}  // namespace
}  // namespace ingot::rollout
