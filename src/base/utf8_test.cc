#include "base/utf8.h"

#include <gtest/gtest.h>

namespace ingot {
namespace {

TEST(Utf8, TextIsTextAndBytesAreNot) {
  for (const char* good : {"", "plain",
                           "gepr\xC3\xBC"
                           "ft",
                           "\xE2\x82\xAC", "\xF0\x9F\x98\x80"})
    EXPECT_TRUE(IsUtf8(good)) << good;
  // Latin-1, cut off, overlong, a surrogate, beyond the last code point.
  for (const char* bad : {"gepr\xFC"
                          "ft",
                          "\xC3", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF"})
    EXPECT_FALSE(IsUtf8(bad)) << bad;
}

}  // namespace
}  // namespace ingot
