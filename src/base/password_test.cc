#include "base/password.h"

#include <gtest/gtest.h>

#include "base/sha256.h"

namespace ingot {
namespace {

TEST(Password, WhatIsHashedMatchesAndNothingElse) {
  const Result<std::string> hash = HashPassword("geheim");
  ASSERT_TRUE(hash.has_value());
  EXPECT_TRUE(hash->starts_with("$2y$10$"));
  EXPECT_TRUE(PasswordMatches("geheim", *hash));
  EXPECT_FALSE(PasswordMatches("geheim ", *hash));
  EXPECT_FALSE(PasswordMatches("", *hash));
  EXPECT_NE(*HashPassword("geheim"), *hash);
  // A vector of the bcrypt authors' own tests.
  EXPECT_TRUE(PasswordMatches("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"));
}

TEST(Password, WhatIsNoBcryptIsNoHash) {
  for (const char* hash :
       {"", "x", "$apr1$abc$def", "$2y$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe:"}) {
    EXPECT_FALSE(IsPasswordHash(hash)) << hash;
    EXPECT_FALSE(PasswordMatches("U*U", hash)) << hash;
  }
  for (const std::string& password : {std::string(), std::string(73, 'x'), std::string("a\0b", 3)})
    EXPECT_EQ(HashPassword(password).error().code(), Code::kInvalid);
}

// RFC 4231, test cases 2 and 6.
TEST(Password, HmacIsThatOfTheStandard) {
  EXPECT_EQ(Hex(HmacSha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(
      Hex(HmacSha256(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First")),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

}  // namespace
}  // namespace ingot
