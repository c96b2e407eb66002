#include "definition/analysis_check.h"

#include <gtest/gtest.h>

namespace ingot::definition {
namespace {

TEST(AnalysisCheck, IsSaidInOneLine) {
  ResolvedCheck check;
  check.kind = ResolvedCheck::Kind::kPrometheus;
  check.url = "http://prometheus:9090";
  check.query = "\n sum(a)\n\t / sum(b)\n";
  check.condition = {Condition::Op::kLessOrEqual, 0.01};
  EXPECT_EQ(SubjectOf(check), "sum(a) / sum(b) at http://prometheus:9090");
  EXPECT_EQ(BoundOf(check), "<= 0.01");
  check.query = std::string(199, 'x') + "äöü" + std::string(500, 'y');
  EXPECT_EQ(SubjectOf(check), std::string(199, 'x') + "… at http://prometheus:9090");
  check.kind = ResolvedCheck::Kind::kHttp;
  EXPECT_EQ(SubjectOf(check), "http://prometheus:9090");
  EXPECT_EQ(BoundOf(check), "status 200 to 299");
  check.status = 204;
  EXPECT_EQ(BoundOf(check), "status 204");
  check.kind = ResolvedCheck::Kind::kRun;
  check.command = {"/bin/sh", "-c", "a\nb"};
  EXPECT_EQ(SubjectOf(check), "/bin/sh -c a b");
  EXPECT_EQ(BoundOf(check), "exit code 0");
}

}  // namespace
}  // namespace ingot::definition
