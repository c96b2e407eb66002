#include "definition/outside_address.h"

#include <gtest/gtest.h>

namespace ingot::definition {
namespace {

TEST(OutsideAddress, IsReadAndWrittenInOneForm) {
  for (const char* text : {"10.0.0.7:8080", "old.example:80", "[fd00::7]:443", "localhost:1"}) {
    const auto address = OutsideAddress::Parse(text);
    ASSERT_TRUE(address.has_value()) << text;
    EXPECT_EQ(address->Render(), text);
  }
  EXPECT_EQ(OutsideAddress::Parse("[FD00:0::7]:80")->host, "fd00::7");
  EXPECT_EQ(OutsideAddress::Parse("Old.Example:80")->host, "old.example");
}

TEST(OutsideAddress, WhatIsNoAddressOfOneServerIsRefused) {
  for (const char* text :
       {"", ":80", "10.0.0.7", "10.0.0.7:0", "10.0.0.7:65536", "10.0.0.7:080", "0.0.0.0:80", "[::]:80",
        "300.1.1.1:80", "1.2.3:80", "fd00::7:80", "[fd00::7]", "[10.0.0.7]:80", "a b:80", "a\nb:80",
        "http://old.example:80", "-old:80", "old.example:80/x"})
    EXPECT_EQ(OutsideAddress::Parse(text).error().code(), Code::kInvalid) << text;
}

TEST(OutsideAddress, KnowsWhatIsThisHost) {
  EXPECT_TRUE(OutsideAddress::Parse("127.9.0.1:80")->IsLoopback());
  EXPECT_TRUE(OutsideAddress::Parse("[::1]:80")->IsLoopback());
  EXPECT_TRUE(OutsideAddress::Parse("localhost:80")->IsLoopback());
  EXPECT_FALSE(OutsideAddress::Parse("127.example:80")->IsLoopback());
  EXPECT_FALSE(OutsideAddress::Parse("10.0.0.7:80")->IsLoopback());
}

}  // namespace
}  // namespace ingot::definition
