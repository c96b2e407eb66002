#include "base/prometheus.h"

#include <gtest/gtest.h>

namespace ingot {
namespace {

TEST(PrometheusTextTest, IsTheTextFormat) {
  PrometheusText text;
  text.Metric("ingot_requests_total", "counter", "All of them.")
      .Sample(3, {{"method", "GET"}, {"path", "a\"b\\c\nd\xff"}})
      .Metric("ingot_seconds", "histogram", "How long.")
      .Sample(1, {{"le", "+Inf"}}, "_bucket")
      .Seconds(0.25, {}, "_sum");
  EXPECT_EQ(std::move(text).Take(),
            "# HELP ingot_requests_total All of them.\n"
            "# TYPE ingot_requests_total counter\n"
            "ingot_requests_total{method=\"GET\",path=\"a\\\"b\\\\c\\nd?\"} 3\n"
            "# HELP ingot_seconds How long.\n"
            "# TYPE ingot_seconds histogram\n"
            "ingot_seconds_bucket{le=\"+Inf\"} 1\n"
            "ingot_seconds_sum 0.250000\n");
}

}  // namespace
}  // namespace ingot
