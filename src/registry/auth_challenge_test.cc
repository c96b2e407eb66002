#include "registry/auth_challenge.h"

#include <gtest/gtest.h>

#include "registry/remote_error.h"

namespace ingot::registry {
namespace {

TEST(AuthChallenge, ReadsWhatRegistriesSend) {
  const auto hub = ParseChallenges(
      R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push")");
  ASSERT_TRUE(hub) << hub.error().Render();
  ASSERT_EQ(hub->size(), 1u);
  EXPECT_EQ(hub->front().scheme, "bearer");
  EXPECT_EQ(hub->front().Parameter("realm"), "https://auth.docker.io/token");
  EXPECT_EQ(hub->front().Parameter("scope"), "repository:a/b:pull,push");
  EXPECT_EQ(hub->front().Parameter("error"), "");
  const auto several =
      ParseChallenges(R"(Negotiate abc==, BASIC Realm = "a \"b\"" , Bearer realm=x, service=y)");
  ASSERT_TRUE(several) << several.error().Render();
  EXPECT_EQ(*several, (std::vector<AuthChallenge>{{"negotiate", {}},
                                                  {"basic", {{"realm", "a \"b\""}}},
                                                  {"bearer", {{"realm", "x"}, {"service", "y"}}}}));
  EXPECT_TRUE(ParseChallenges("")->empty());
}

TEST(AuthChallenge, RefusesWhatIsMalformed) {
  for (const std::string text :
       {"=", "realm=x", "Bearer a=b, realm=", "Bearer realm=\"x", "Bearer \"x\"", "\x01"}) {
    const auto challenges = ParseChallenges(text);
    ASSERT_FALSE(challenges) << text;
    EXPECT_EQ(challenges.error().code(), Code::kInvalid);
  }
  EXPECT_FALSE(ParseChallenges("Bearer realm=\"" + std::string(9000, 'x') + "\""));
}

TEST(AuthToken, IsTokenOrAccessToken) {
  EXPECT_EQ(ParseAuthToken(R"({"token":"abc","expires_in":300})")->token, "abc");
  EXPECT_EQ(ParseAuthToken(R"({"token":"abc","expires_in":300})")->expires_in_s, 300);
  EXPECT_EQ(ParseAuthToken(R"({"access_token":"x.y-z"})")->token, "x.y-z");
  EXPECT_EQ(ParseAuthToken(R"({"token":"a","expires_in":-5})")->expires_in_s, 60);
  EXPECT_EQ(ParseAuthToken(R"({"token":"a","expires_in":99999999999})")->expires_in_s, 86'400);
  for (const std::string text :
       {"", "[]", "{}", R"({"token":""})", R"({"token":5})", R"({"token":"a\r\nX: y"})"})
    EXPECT_EQ(ParseAuthToken(text).error().code(), Code::kInvalid) << text;
}

TEST(RemoteError, ShowsWhatATerminalDoesNotObey) {
  EXPECT_EQ(DescribeRemoteError(R"({"errors":[{"code":"DENIED","message":"not for you"}]})"),
            "DENIED: not for you");
  EXPECT_EQ(DescribeRemoteError(R"({"errors":[{"message":"a\u001b[2Jb"}]})"), "a?[2Jb");
  EXPECT_EQ(DescribeRemoteError(R"({"details":"incorrect username or password"})"),
            "incorrect username or password");
  EXPECT_EQ(DescribeRemoteError(R"({"errors":[{"message":")" + std::string(5000, 'x') + "\"}]}").size(),
            200u);
  for (const std::string text : {"", "<html>", "[]", R"({"errors":[]})", R"({"errors":[1]})"})
    EXPECT_EQ(DescribeRemoteError(text), "") << text;
}

}  // namespace
}  // namespace ingot::registry
