#include "registry/docker_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "base/file.h"
#include "registry/credentials.h"

namespace ingot::registry {
namespace {

TEST(DockerConfig, FindsTheLogInOfARegistry) {
  // "user:pass:word", "hub:secret"
  const auto config = DockerConfig::Parse(R"({"auths":{
    "registry.example:5000":{"auth":"dXNlcjpwYXNzOndvcmQ="},
    "https://index.docker.io/v1/":{"auth":"aHViOnNlY3JldA=="},
    "https://token.example/v2/":{"identitytoken":"refresh"},
    "many.example/team":{"username":"t","password":"p"},
    "helped.example":{}},
    "credHelpers":{"helped.example":"pass"},"HttpHeaders":{"X":"y"}})");
  ASSERT_TRUE(config) << config.error().Render();
  EXPECT_EQ(config->Find("registry.example:5000", "a/b"), (Credential{"user", "pass:word", ""}));
  EXPECT_EQ(config->Find("docker.io", "library/redis"), (Credential{"hub", "secret", ""}));
  EXPECT_EQ(config->Find("token.example", "a"), (Credential{"", "", "refresh"}));
  EXPECT_EQ(config->Find("many.example", "team/app"), (Credential{"t", "p", ""}));
  EXPECT_EQ(config->Find("many.example", "teams/app"), std::nullopt);
  EXPECT_EQ(config->Find("registry.example", "a/b"), std::nullopt) << "another port is another registry";
  EXPECT_EQ(config->Find("helped.example", "a"), std::nullopt);
  EXPECT_EQ(config->FindHelper("helped.example").name, "pass");
  EXPECT_EQ(config->FindHelper("registry.example:5000").name, "");
  const auto store =
      DockerConfig::Parse(R"({"credsStore":"desktop","credHelpers":{"a.example":"ecr-login"}})");
  EXPECT_EQ(store->FindHelper("docker.io").name, "desktop");
  EXPECT_EQ(store->FindHelper("docker.io").server, "https://index.docker.io/v1/");
  EXPECT_EQ(store->FindHelper("a.example").name, "ecr-login");
}

TEST(DockerConfig, RefusesWhatIsBroken) {
  for (const std::string text :
       {"", "[]", R"({"auths":[]})", R"({"auths":{"a":1}})", R"({"auths":{"a":{"auth":"%%%"}}})",
        R"({"auths":{"a":{"auth":"dXNlcg=="}}})", R"({"credsStore":"../../bin/sh"})",
        R"({"credsStore":"-x"})", R"({"credHelpers":{"a":"b/c"}})", R"({"credHelpers":{"a":1}})"})
    EXPECT_EQ(DockerConfig::Parse(text).error().code(), Code::kInvalid) << text;
  EXPECT_EQ(ParseHelperAnswer(R"({"Username":"<token>","Secret":"t"})")->identity_token, "t");
  EXPECT_EQ(*ParseHelperAnswer(R"({"Username":"u","Secret":"s"})"), (Credential{"u", "s", ""}));
  EXPECT_EQ(ParseHelperAnswer(R"({"Username":"u"})").error().code(), Code::kInvalid);
}

TEST(Credentials, AskTheHelperAndFallBackToTheFile) {
  const TempDirectory directory = *TempDirectory::Make("/tmp", "ingot-credentials-");
  const fs::path helper = directory.path() / "docker-credential-fake";
  ASSERT_TRUE(WriteFileAtomic(helper,
                              "#!/bin/sh\nread server\ncase $server in\n"
                              "known.example) echo '{\"Username\":\"u\",\"Secret\":\"'$1'\"}';;\n"
                              "broken.example) echo no luck >&2; exit 3;;\n"
                              "*) echo credentials not found in native keychain; exit 1;;\nesac\n",
                              0755));
  ASSERT_TRUE(WriteFileAtomic(directory.path() / "config.json",
                              R"({"credsStore":"fake","auths":{"filed.example":{"auth":"dTpw"}}})"));
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", (directory.path().string() + ":" + path).c_str(), 1);
  Credentials credentials({directory.path() / "missing.json", directory.path() / "config.json"});
  EXPECT_EQ(*credentials.Find("known.example", "a"), (Credential{"u", "get", ""}));
  EXPECT_EQ(*credentials.Find("filed.example", "a"), (Credential{"u", "p", ""}));
  EXPECT_EQ(*credentials.Find("other.example", "a"), std::nullopt);
  const auto broken = credentials.Find("broken.example", "a");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code(), Code::kFailed);
  EXPECT_THAT(broken.error().message(), testing::HasSubstr("docker-credential-fake get broken.example"));
  EXPECT_THAT(broken.error().message(), testing::HasSubstr("no luck"));
  ::setenv("PATH", path.c_str(), 1);
  Credentials nobody({directory.path() / "missing.json"});
  EXPECT_EQ(*nobody.Find("known.example", "a"), std::nullopt);
  ASSERT_TRUE(WriteFileAtomic(directory.path() / "config.json", "{"));
  Credentials bad({directory.path() / "config.json"});
  EXPECT_EQ(bad.Find("known.example", "a").error().code(), Code::kInvalid);
}

}  // namespace
}  // namespace ingot::registry
