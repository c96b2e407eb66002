#include "adapters/postgres.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ingot::adapters {
namespace {

// Passwords in which something special was not percent-encoded: libpq's own messages quote parts of them.
TEST(Postgres, ASecretUrlIsNotRepeatedByTheErrorThatItCauses) {
  for (const std::string url :
       {"postgres://u:hush%ssh@127.0.0.1:1/x", "postgres://u:hush/ssh@127.0.0.1:1/x",
        "postgres://u:hush@ssh@127.0.0.1:1/x", "postgres://u:hush?ssh@127.0.0.1:1/x",
        "postgres://u:hush failed: ssh@127.0.0.1:1/x", "postgres://u:hush:ssh@127.0.0.1:1/x"}) {
    PostgresOptions options;
    options.url = url;
    options.url_is_secret = true;
    const auto opened = PostgresSession::Open(options);
    ASSERT_FALSE(opened) << url;
    if (opened.error().code() == Code::kUnsupported) GTEST_SKIP() << "SKIP: libpq5 is not installed";
    EXPECT_EQ(opened.error().code(), Code::kUnavailable) << url;
    EXPECT_THAT(opened.error().Render(), testing::Not(testing::HasSubstr("hush"))) << url;
    EXPECT_THAT(opened.error().Render(), testing::Not(testing::HasSubstr("ssh"))) << url;
  }
}

// What the system or the server says is what one needs.
TEST(Postgres, ASecretUrlsServerIsStillHeard) {
  PostgresOptions options;
  options.url = "postgres://u:hush@127.0.0.1:1/x";
  options.url_is_secret = true;
  const auto opened = PostgresSession::Open(options);
  ASSERT_FALSE(opened);
  if (opened.error().code() == Code::kUnsupported) GTEST_SKIP() << "SKIP: libpq5 is not installed";
  EXPECT_THAT(opened.error().Render(), testing::HasSubstr("Connection refused"));
}

}  // namespace
}  // namespace ingot::adapters
