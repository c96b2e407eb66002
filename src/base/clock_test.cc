#include "base/clock.h"

#include <gtest/gtest.h>

namespace ingot {
namespace {

TEST(Time, IsWrittenInUtcWithMillisecondsAndReadBack) {
  const WallTime time(Milliseconds(1'714'564'800'007));
  EXPECT_EQ(RenderTime(time), "2024-05-01T12:00:00.007Z");
  EXPECT_EQ(*ParseTime("2024-05-01T12:00:00.007Z"), time);
  EXPECT_EQ(RenderTime(WallTime{}), "1970-01-01T00:00:00.000Z");
  for (const char* text :
       {"", "2024-05-01", "2024-13-01T00:00:00.000Z", "2024-05-01T25:00:00.000Z", "yesterday"})
    EXPECT_EQ(ParseTime(text).error().code(), Code::kInvalid) << text;
}

TEST(FakeClock, MovesOnlyWhenTold) {
  FakeClock clock;
  const WallTime wall = clock.Now();
  const SteadyTime steady = clock.Steady();
  clock.Sleep(Milliseconds(5));
  clock.JumpWall(Milliseconds(-100));
  EXPECT_EQ(clock.Now() - wall, Milliseconds(-95));
  EXPECT_EQ(clock.Steady() - steady, Milliseconds(5));
}

}  // namespace
}  // namespace ingot
