#include "app/api_tokens.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

namespace ingot::app {
namespace {

struct ApiTokensTest : testing::Test {
  void SetUp() override {
    directory = std::make_unique<TempDirectory>(*TempDirectory::Make("/tmp", "ingot-tokens-"));
    file = directory->path() / "tokens.json";
    Open();
  }
  void Open() {
    auto opened = ApiTokens::Open(file, clock);
    ASSERT_TRUE(opened) << opened.error().Render();
    tokens = std::move(*opened);
  }
  static ApiToken Wanted(const std::string& name) {
    ApiToken wanted;
    wanted.name = name;
    wanted.in = {"shop/staging"};
    wanted.may = {"rollback", "deploy", "deploy"};
    wanted.created_by = "root";
    return wanted;
  }
  FakeClock clock;
  std::unique_ptr<TempDirectory> directory;
  fs::path file;
  std::unique_ptr<ApiTokens> tokens;
};

TEST_F(ApiTokensTest, OneIsFoundByItselfAloneAndOutlivesTheProcess) {
  const auto token = tokens->Create(Wanted("ci"), std::nullopt);
  ASSERT_TRUE(token) << token.error().Render();
  EXPECT_EQ(token->size(), 6u + 64u);
  Open();
  const auto found = tokens->Find(*token);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name, "ci");
  EXPECT_THAT(found->may, testing::ElementsAre("deploy", "rollback"));
  EXPECT_FALSE(found->IsAdmin());
  EXPECT_FALSE(tokens->Find(""));
  EXPECT_FALSE(tokens->Find(token->substr(1)));
  EXPECT_FALSE(tokens->Find(found->hash));
  const auto other = tokens->Create(Wanted("other"), std::nullopt);
  ASSERT_TRUE(other);
  EXPECT_NE(*other, *token);
  EXPECT_EQ(tokens->Find(*token)->name, "ci");
}

TEST_F(ApiTokensTest, TheFileHasNoTokenAndIsReadByItsOwnerAlone) {
  const auto token = tokens->Create(Wanted("ci"), std::nullopt);
  ASSERT_TRUE(token);
  const auto bytes = ReadFile(file);
  ASSERT_TRUE(bytes);
  EXPECT_EQ(bytes->find(token->substr(6, 20)), std::string::npos);
  struct stat st {};
  ASSERT_EQ(::stat(file.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  EXPECT_EQ(RenderJson(ToJson(tokens->List().at(0))).find("sha256"), std::string::npos);
}

TEST_F(ApiTokensTest, ItEndsWithItsTimeAndGivesItsNameFree) {
  const auto token = tokens->Create(Wanted("ci"), std::chrono::hours(1));
  ASSERT_TRUE(token);
  clock.Advance(std::chrono::minutes(59));
  EXPECT_TRUE(tokens->Find(*token));
  EXPECT_EQ(tokens->Create(Wanted("ci"), std::nullopt).error().code(), Code::kExists);
  clock.Advance(std::chrono::minutes(1));
  EXPECT_FALSE(tokens->Find(*token));
  EXPECT_TRUE(tokens->Create(Wanted("ci"), std::nullopt));
  EXPECT_FALSE(tokens->Find(*token));
}

TEST_F(ApiTokensTest, OneThatWasRemovedIsNobodys) {
  const auto token = tokens->Create(Wanted("ci"), std::nullopt);
  ASSERT_TRUE(token);
  ASSERT_TRUE(tokens->Remove("ci"));
  EXPECT_FALSE(tokens->Find(*token));
  EXPECT_EQ(tokens->Remove("ci").error().code(), Code::kNotFound);
  Open();
  EXPECT_FALSE(tokens->Find(*token));
}

TEST_F(ApiTokensTest, WhatCannotBeIsRefused) {
  const auto refused = [&](const std::function<void(ApiToken&)>& change) {
    ApiToken wanted = Wanted("ci");
    change(wanted);
    const auto made = tokens->Create(wanted, std::nullopt);
    return !made && made.error().code() == Code::kInvalid;
  };
  EXPECT_TRUE(refused([](ApiToken& token) { token.name = "CI"; }));
  EXPECT_TRUE(refused([](ApiToken& token) { token.name = "a/b"; }));
  EXPECT_TRUE(refused([](ApiToken& token) { token.name = ""; }));
  EXPECT_TRUE(refused([](ApiToken& token) { token.in = {"shop"}; }));
  EXPECT_TRUE(refused([](ApiToken& token) { token.in = {"shop/a/b"}; }));
  EXPECT_TRUE(refused([](ApiToken& token) { token.in = {}; }));
  EXPECT_TRUE(refused([](ApiToken& token) { token.may = {"fly"}; }));
  EXPECT_TRUE(refused([](ApiToken& token) { token.may = {}; }));
  EXPECT_TRUE(refused([](ApiToken& token) { token.may = {"admin"}; }));
  EXPECT_FALSE(refused([](ApiToken& token) {
    token.may = {"admin"};
    token.in = {};
  }));
}

TEST_F(ApiTokensTest, ADamagedFileIsNoEmptyOne) {
  ASSERT_TRUE(WriteFileAtomic(file, "{\"version\":1,\"tokens\":[{\"name\":\"ci\"}]}", 0600));
  EXPECT_EQ(ApiTokens::Open(file, clock).error().code(), Code::kCorrupt);
  ASSERT_TRUE(WriteFileAtomic(file, "", 0600));
  EXPECT_EQ(ApiTokens::Open(file, clock).error().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace ingot::app
