#include "store/version_tag.h"

#include <gmock/gmock.h>

namespace ingot::store {
namespace {

TEST(VersionTagTest, VersionsAndWhatMoves) {
  for (const char* version :
       {"1.0", "v1.2", "v1.2.3", "2024.06.01", "1.2.3-rc1", "1.2_3", "1.0.a", "10.20.30.40"})
    EXPECT_TRUE(IsVersionTag(version)) << version;
  for (const char* other : {"latest", "1", "v1", "main", "1.x", "x1.0", "v", "", "1a.0", "staging", "1.0x"})
    EXPECT_FALSE(IsVersionTag(other)) << other;
}

}  // namespace
}  // namespace ingot::store
