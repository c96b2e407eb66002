#include "secrets/key_ring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ingot::secrets {
namespace {

using testing::HasSubstr;

const std::string kOne(64, '1');
const std::string kTwo(64, 'a');

TEST(KeyRing, ReadsWhatItWrites) {
  const KeyRing ring = *KeyRing::Parse("# of this host\n\n" + kTwo + "\r\n" + kOne + "\n");
  EXPECT_EQ(ring.Render().text(), kTwo + "\n" + kOne + "\n");
  EXPECT_EQ(ring.current().bytes.text(), std::string(32, '\xaa'));
  EXPECT_EQ(ring.size(), 2u);
  EXPECT_EQ(KeyRing::Parse(ring.Render().text())->Ids(), ring.Ids());
  EXPECT_EQ(ring.Find(KeyRing::Parse(kOne)->current().id)->bytes.text(), std::string(32, '\x11'));
  EXPECT_EQ(ring.Find("0000000000000000"), nullptr);
}

TEST(KeyRing, AnIdSaysNothingOfTheKey) {
  const KeyRing ring = *KeyRing::Parse(kOne);
  EXPECT_EQ(ring.current().id.size(), 16u);
  EXPECT_EQ(ring.Ids().find("1111"), std::string::npos);
}

TEST(KeyRing, WhatIsNoKeyIsRefusedWithItsLineAndWithoutItsText) {
  for (const std::string& bad : {kOne.substr(1), kOne + "1", "z" + kOne.substr(1)}) {
    const auto ring = KeyRing::Parse(kTwo + "\n" + bad + "\n");
    ASSERT_FALSE(ring);
    EXPECT_EQ(ring.error().code(), Code::kInvalid);
    EXPECT_THAT(ring.error().message(), HasSubstr("line 2"));
    EXPECT_EQ(ring.error().message().find("1111"), std::string::npos);
  }
  EXPECT_THAT(KeyRing::Parse(kOne + "\n" + kOne).error().message(), HasSubstr("same key"));
  EXPECT_EQ(KeyRing::Parse("# nothing\n").error().code(), Code::kInvalid);
  EXPECT_EQ(KeyRing::Parse("").error().code(), Code::kInvalid);
}

TEST(KeyRing, ANewKeyGoesBeforeTheOthers) {
  const KeyRing one = KeyRing::Make();
  const KeyRing two = one.WithNew();
  EXPECT_EQ(two.size(), 2u);
  EXPECT_NE(two.current().id, one.current().id);
  EXPECT_NE(two.Find(one.current().id), nullptr);
  EXPECT_EQ(two.CurrentAlone().Ids(), two.current().id);
}

}  // namespace
}  // namespace ingot::secrets
