#include "definition/promql.h"

#include <gtest/gtest.h>

namespace ingot::definition {
namespace {

TEST(Promql, WholeQueriesAreTaken) {
  for (const char* query : {"up", "sum(rate(errors{job=\"a)\"}[1m]))", "a # (\n + b", "x{a='\\'('}",
                            "x{a=`\\`}", "x{a=`(\n[`}", "1"})
    EXPECT_TRUE(CheckPromql(query)) << query;
}

TEST(Promql, TornOnesAreRefusedAndSayWhere) {
  const auto why = [](const char* query) { return CheckPromql(query).error().message(); };
  EXPECT_EQ(why(""), "no Prometheus takes this query: it is empty");
  EXPECT_EQ(why("\n # up"), "no Prometheus takes this query: it is empty");
  EXPECT_EQ(why("sum(rate(a[1m])"), "no Prometheus takes this query: a \")\" is missing at its end");
  EXPECT_EQ(why("up)"), "no Prometheus takes this query: the \")\" at character 3 closes nothing");
  EXPECT_EQ(why("a[1m)"), "no Prometheus takes this query: the \")\" at character 5 closes nothing");
  EXPECT_EQ(why("x{a=\"b}"),
            "no Prometheus takes this query: the string that begins at character 5 has no end");
  EXPECT_EQ(why("x{a=\"b\n\"}"),
            "no Prometheus takes this query: the string that begins at character 5 has no end");
}

}  // namespace
}  // namespace ingot::definition
