#include "base/glob.h"

#include <gtest/gtest.h>

#include <string>

namespace ingot {
namespace {

TEST(Glob, AStarStaysWithinASegmentAndTwoDoNot) {
  for (const auto& [pattern, text] :
       {std::pair("shop/web", "shop/web"), std::pair("shop/*", "shop/web"), std::pair("shop/**", "shop/a/b"),
        std::pair("**", "a/b/c"), std::pair("**", ""), std::pair("*", "a"), std::pair("*/web", "shop/web"),
        std::pair("**/web", "web"), std::pair("**/web", "a/b/web"), std::pair("a/**/z", "a/z"),
        std::pair("a/**/z", "a/b/c/z"), std::pair("v?.*", "v1.2"), std::pair("*-*-rc*", "a-b-rc"),
        std::pair("a**z", "a/b/z")})
    EXPECT_TRUE(GlobMatches(pattern, text)) << pattern << " " << text;
  for (const auto& [pattern, text] :
       {std::pair("shop/web", "shop/we"), std::pair("shop/*", "shop/a/b"), std::pair("shop/*", "shop"),
        std::pair("shop/**", "shop"), std::pair("*", "a/b"), std::pair("", "a"), std::pair("a", ""),
        std::pair("**/web", "cobweb"), std::pair("a/**/z", "a/bz"), std::pair("v?", "v/"),
        std::pair("a/**/z", "az"), std::pair("v*", "1v")})
    EXPECT_FALSE(GlobMatches(pattern, text)) << pattern << " " << text;
}

TEST(Glob, ManyStarsTakeNoLonger) {
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "*a";
  EXPECT_FALSE(GlobMatches(pattern + "b", std::string(255, 'a')));
}

}  // namespace
}  // namespace ingot
