#include "definition/cron.h"

#include <gtest/gtest.h>

namespace ingot::definition {
namespace {

WallTime At(const char* text) {
  return *ParseTime(text);
}

std::string NextOf(const char* schedule, const char* after) {
  const auto next = CronTimes::Parse(schedule)->Next(At(after));
  return next ? RenderTime(*next) : "never";
}

TEST(Cron, TheNextMinuteThatFits) {
  EXPECT_EQ(NextOf("0 3 * * *", "2026-03-01T02:59:59.999Z"), "2026-03-01T03:00:00.000Z");
  // Strictly after: an instant that was acted on does not come again.
  EXPECT_EQ(NextOf("0 3 * * *", "2026-03-01T03:00:00.000Z"), "2026-03-02T03:00:00.000Z");
  EXPECT_EQ(NextOf("*/15 8-9 * * *", "2026-03-01T09:45:00.000Z"), "2026-03-02T08:00:00.000Z");
  EXPECT_EQ(NextOf("30 4 1 jan *", "2026-03-01T00:00:00.000Z"), "2027-01-01T04:30:00.000Z");
  EXPECT_EQ(NextOf("0 0 29 2 *", "2026-03-01T00:00:00.000Z"), "2028-02-29T00:00:00.000Z");
  EXPECT_EQ(NextOf("0 0 31 2 *", "2026-03-01T00:00:00.000Z"), "never");
  // Sunday is 0 and 7. 2026-03-01 is one.
  EXPECT_EQ(NextOf("0 12 * * 7", "2026-03-01T12:00:00.000Z"), "2026-03-08T12:00:00.000Z");
  EXPECT_EQ(NextOf("0 12 * * sun", "2026-02-28T12:00:00.000Z"), "2026-03-01T12:00:00.000Z");
}

TEST(Cron, WithBothDaysRestrictedEitherIsEnough) {
  EXPECT_EQ(NextOf("0 0 13 * fri", "2026-03-01T00:00:00.000Z"), "2026-03-06T00:00:00.000Z");
  EXPECT_EQ(NextOf("0 0 13 * mon", "2026-03-09T00:00:00.000Z"), "2026-03-13T00:00:00.000Z");
}

TEST(Cron, TheLastMinuteThatFitted) {
  const auto last = [](const char* schedule, const char* after, const char* until) {
    const auto at = CronTimes::Parse(schedule)->Last(At(after), At(until));
    return at ? RenderTime(*at) : "none";
  };
  EXPECT_EQ(last("* * * * *", "2026-03-01T00:00:00.000Z", "2026-03-01T00:05:59.000Z"),
            "2026-03-01T00:05:00.000Z");
  EXPECT_EQ(last("0 3 * * *", "2026-02-01T00:00:00.000Z", "2026-03-01T02:59:00.000Z"),
            "2026-02-28T03:00:00.000Z");
  EXPECT_EQ(last("0 3 * * *", "2026-03-01T03:00:00.000Z", "2026-03-01T12:00:00.000Z"), "none");
  // Next and Last agree wherever one looks.
  const CronTimes cron = *CronTimes::Parse("7,37 */5 * * mon-fri");
  for (WallTime at = At("2026-01-01T00:00:00.000Z"); at < At("2026-01-10T00:00:00.000Z");
       at += std::chrono::minutes(11)) {
    const auto next = cron.Next(at);
    ASSERT_TRUE(next);
    EXPECT_TRUE(cron.Fits(*next));
    EXPECT_EQ(cron.Last(at, *next), *next);
    EXPECT_EQ(cron.Last(at, *next - std::chrono::milliseconds(1)), std::nullopt);
  }
}

}  // namespace
}  // namespace ingot::definition
