#include "definition/scale_bounds.h"

#include <gtest/gtest.h>

namespace ingot::definition {
namespace {

WallTime TimeOf(const char* text) {
  return *ParseTime(text);
}

// From 8 to 20 on weekdays more than at other times.
ResolvedScale Office(uint32_t cpu) {
  ResolvedScale scale{.min = 2, .max = 12, .cpu = cpu};
  scale.schedules = {{"0 8 * * 1-5", 6, 12}, {"0 20 * * 1-5", 2, 4}};
  return scale;
}

TEST(ScaleBounds, AreThoseOfTheScheduleThatWasLast) {
  const ResolvedScale scale = Office(60);
  const ScaleBounds day{6, 12, "0 8 * * 1-5"};
  const ScaleBounds night{2, 4, "0 20 * * 1-5"};
  EXPECT_EQ(BoundsAt(scale, TimeOf("2026-03-02T07:59:59.999Z")), night);
  EXPECT_EQ(BoundsAt(scale, TimeOf("2026-03-02T08:00:00.000Z")), day);
  EXPECT_EQ(BoundsAt(scale, TimeOf("2026-03-02T19:59:59.999Z")), day);
  EXPECT_EQ(BoundsAt(scale, TimeOf("2026-03-02T20:00:00.000Z")), night);
  // The 7th is a Saturday.
  EXPECT_EQ(BoundsAt(scale, TimeOf("2026-03-07T12:00:00.000Z")), night);
  EXPECT_EQ(NextSchedule(scale, TimeOf("2026-03-07T12:00:00.000Z")), TimeOf("2026-03-09T08:00:00.000Z"));
}

TEST(ScaleBounds, WithoutATargetTheCountIsTheLeast) {
  EXPECT_EQ(BoundsAt(Office(0), TimeOf("2026-03-02T12:00:00.000Z")), (ScaleBounds{6, 6, "0 8 * * 1-5"}));
}

TEST(ScaleBounds, OfTheSameMinuteTheLastInTheListHolds) {
  ResolvedScale scale{.min = 1, .max = 9};
  scale.schedules = {{"0 * * * *", 3, 9}, {"0 8 * * *", 5, 9}};
  EXPECT_EQ(BoundsAt(scale, TimeOf("2026-03-02T08:30:00.000Z")).min, 5u);
  EXPECT_EQ(BoundsAt(scale, TimeOf("2026-03-02T09:00:00.000Z")).min, 3u);
}

TEST(ScaleBounds, AScheduleThatNeverComesChangesNothing) {
  ResolvedScale scale{.min = 1, .max = 9, .cpu = 50};
  scale.schedules = {{"0 0 30 2 *", 3, 9}};
  EXPECT_EQ(BoundsAt(scale, TimeOf("2026-03-02T08:30:00.000Z")), (ScaleBounds{1, 9, ""}));
  EXPECT_EQ(NextSchedule(scale, TimeOf("2026-03-02T08:30:00.000Z")), std::nullopt);
}

TEST(ScaleBounds, TheWidestHoldAllOfThem) {
  ResolvedScale scale = Office(60);
  scale.min = 3;
  EXPECT_EQ(WidestBounds(scale), (ScaleBounds{2, 12, ""}));
}

TEST(ScaleBounds, AreShownToPeople) {
  EXPECT_EQ(Render("web", {6, 12, "0 8 * * 1-5"}, TimeOf("2026-03-02T20:00:00.000Z")),
            "web: 6 to 12 instances by \"0 8 * * 1-5\", until 2026-03-02T20:00:00.000Z");
  EXPECT_EQ(Render("web", {1, 1, ""}, std::nullopt), "web: 1 instance");
}

TEST(ScaleBounds, AreReadAsTheyWereWritten) {
  for (const uint32_t cpu : {0u, 60u}) EXPECT_EQ(ScaleFromJson(ToJson(Office(cpu))).value(), Office(cpu));
}

}  // namespace
}  // namespace ingot::definition
