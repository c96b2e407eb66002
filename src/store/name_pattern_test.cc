#include "store/name_pattern.h"

#include <gmock/gmock.h>

#include <string>

namespace ingot::store {
namespace {

TEST(NamePatternTest, AStarStaysWithinOnePart) {
  EXPECT_TRUE(MatchesName("shop/*", "shop/web"));
  EXPECT_FALSE(MatchesName("shop/*", "shop/web/base"));
  EXPECT_FALSE(MatchesName("shop/*", "shop"));
  EXPECT_TRUE(MatchesName("*", "web"));
  EXPECT_FALSE(MatchesName("*", "shop/web"));
  EXPECT_TRUE(MatchesName("release-*", "release-1.0"));
  EXPECT_TRUE(MatchesName("*-rc*", "1.0-rc2"));
  EXPECT_FALSE(MatchesName("*-rc*", "1.0"));
}

TEST(NamePatternTest, TwoStarsStandForAnything) {
  EXPECT_TRUE(MatchesName("**", "shop/web"));
  EXPECT_TRUE(MatchesName("shop/**", "shop/web/base"));
  EXPECT_FALSE(MatchesName("shop/**", "shopping/web"));
  EXPECT_TRUE(MatchesName("**/web", "a/b/web"));
}

TEST(NamePatternTest, EverythingElseIsItself) {
  EXPECT_TRUE(MatchesName("shop/web", "shop/web"));
  EXPECT_FALSE(MatchesName("shop.web", "shopxweb"));
  EXPECT_FALSE(MatchesName("", "a"));
  EXPECT_TRUE(MatchesName("", ""));
}

TEST(NamePatternTest, AHostilePatternTakesNoTime) {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "*a";
  EXPECT_FALSE(MatchesName(pattern, std::string(2000, 'a') + "b"));
}

TEST(NamePatternTest, Versions) {
  for (const char* version :
       {"1.0", "v1.2", "v1.2.3", "2024.06.01", "1.2.3-rc1", "1.2_3", "1.0.a", "10.20.30.40"})
    EXPECT_TRUE(IsVersionTag(version)) << version;
  for (const char* other : {"latest", "1", "v1", "main", "1.x", "x1.0", "v", "", "1a.0", "staging", "1.0x"})
    EXPECT_FALSE(IsVersionTag(other)) << other;
}

}  // namespace
}  // namespace ingot::store
