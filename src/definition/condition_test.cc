#include "definition/condition.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace ingot::definition {
namespace {

TEST(Condition, IsReadAndWritten) {
  for (const auto& [written, rendered] :
       std::vector<std::pair<std::string, std::string>>{{"< 0.01", "< 0.01"},
                                                        {"<0.010", "< 0.01"},
                                                        {"<= 5", "<= 5"},
                                                        {">  1e3", "> 1000"},
                                                        {">= -2.5", ">= -2.5"},
                                                        {"==0", "== 0"},
                                                        {"!= -0.0", "!= 0"},
                                                        {"< +1", "< 1"}}) {
    const auto condition = Condition::Parse(written);
    ASSERT_TRUE(condition) << written;
    EXPECT_EQ(condition->Render(), rendered);
    EXPECT_EQ(*Condition::Parse(rendered), *condition);
  }
}

TEST(Condition, AnythingElseIsRefused) {
  for (const char* text : {"", "<", "0.01", "= 1", "< 1%", "< 5ms", "< nan", "> inf", "< 1 2", "=< 1",
                           "< 0x10", "< 1e999", "<> 1", "< --1", "< +-1e"})
    EXPECT_EQ(Condition::Parse(text).error().code(), Code::kInvalid) << text;
}

TEST(Condition, Holds) {
  const auto holds = [](const char* text, double value) { return Condition::Parse(text)->Holds(value); };
  EXPECT_TRUE(holds("< 1", 0.999));
  EXPECT_FALSE(holds("< 1", 1));
  EXPECT_TRUE(holds("<= 1", 1));
  EXPECT_TRUE(holds("> 1", 1.5));
  EXPECT_FALSE(holds("> 1", 1));
  EXPECT_TRUE(holds(">= 1", 1));
  EXPECT_TRUE(holds("== 1", 1));
  EXPECT_FALSE(holds("== 1", 2));
  EXPECT_TRUE(holds("!= 1", 2));
  EXPECT_FALSE(holds("!= 1", 1));
  EXPECT_FALSE(holds("!= 1", std::nan("")));
  EXPECT_FALSE(holds("< 1", std::numeric_limits<double>::infinity()));
}

TEST(Condition, NumbersAreShort) {
  EXPECT_EQ(RenderNumber(0.1), "0.1");
  EXPECT_EQ(RenderNumber(1e20), "1e+20");
  EXPECT_EQ(RenderNumber(std::nan("")), "NaN");
  EXPECT_EQ(RenderNumber(-std::numeric_limits<double>::infinity()), "-Inf");
}

}  // namespace
}  // namespace ingot::definition
