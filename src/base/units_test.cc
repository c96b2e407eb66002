#include "base/units.h"

#include <gtest/gtest.h>

namespace ingot {
namespace {

TEST(Units, DurationsAreInverses) {
  for (const auto& [text, ms] : std::vector<std::pair<std::string, int64_t>>{{"0s", 0},
                                                                             {"250ms", 250},
                                                                             {"5s", 5'000},
                                                                             {"1m30s", 90'000},
                                                                             {"1h30m", 5'400'000},
                                                                             {"1d", 86'400'000}}) {
    EXPECT_EQ(ParseDuration(text)->count(), ms) << text;
    EXPECT_EQ(RenderDuration(Milliseconds(ms)), text);
  }
  EXPECT_EQ(ParseDuration("2w")->count(), int64_t{14} * 86'400'000);
}

TEST(Units, WhatIsNoDurationIsRefused) {
  for (const char* text :
       {"", "5", "s", "-1s", "1.5s", "1s ", "5 s", "1x", "101y", "99999999999999999999s", "40000d"})
    EXPECT_EQ(ParseDuration(text).error().code(), Code::kInvalid) << text;
}

TEST(Units, SizesInBinaryAndDecimalUnits) {
  EXPECT_EQ(*ParseSize("512"), 512u);
  EXPECT_EQ(*ParseSize("64KiB"), 65'536u);
  EXPECT_EQ(*ParseSize("1GiB"), uint64_t{1} << 30);
  EXPECT_EQ(*ParseSize("10MB"), 10'000'000u);
  for (const char* text : {"", "KiB", "-1", "1.5GiB", "1 GiB", "1gib", "99999999999999999999", "20000000TiB"})
    EXPECT_EQ(ParseSize(text).error().code(), Code::kInvalid) << text;
  EXPECT_EQ(RenderSize(0), "0 B");
  EXPECT_EQ(RenderSize(1'363'149), "1.30 MiB");
}

TEST(Units, NearestIsASlipOfThePenOrNothing) {
  const std::vector<std::string> names = {"replicas", "routes", "image"};
  EXPECT_EQ(Nearest("replica", names), "replicas");
  EXPECT_EQ(Nearest("iamge", names), "image");
  EXPECT_EQ(Nearest("completely-else", names), "");
  EXPECT_EQ(Nearest("x", {}), "");
}

}  // namespace
}  // namespace ingot
