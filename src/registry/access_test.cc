#include "registry/access.h"

#include <gmock/gmock.h>

#include "base/json.h"
#include "base/password.h"
#include "oci/base64.h"
#include "registry/registry_state.h"
#include "store/store_fixture.h"

namespace ingot::registry {
namespace {

using store::Must;
using testing::ElementsAre;
using testing::HasSubstr;

class AccessTest : public store::StoreTest {
 protected:
  void SetUp() override {
    Htpasswd users;
    users.users["ci"] = Must(HashPassword("geheim"));
    users.users["ops"] = Must(HashPassword("streng"));
    file_ = root_ / "users";
    Must(WriteFileAtomic(file_, users.Render()));
    rules_.htpasswd = "users";
    rules_.repositories.push_back({"open/**", Grant{"anonymous"}, Grant{"ci"}, Grant{"ops"}, {}, {}});
    rules_.repositories.push_back({"closed", Grant{"ops"}, Grant{}, Grant{}, {}, {}});
    Start();
  }
  using Grant = definition::Grant;
  void Start() { access_ = Must(Access::Open(rules_, file_, clock_)); }

  Response Ask(const std::string& method, const std::string& path, const std::string& authorization = "",
               std::vector<std::pair<std::string, std::string>> query = {}) {
    Request request;
    request.method = method;
    request.path = path;
    request.query = std::move(query);
    request.authorization = authorization;
    request.host = "registry.example:5000";
    request.peer = "10.0.0.1";
    request.certificate = certificate_;
    request.tls = true;
    return access_
        ->Guard(request,
                [this](const Request& next) {
                  passed_ = next.query;
                  return Ready(Response());
                })
        ->Finish();
  }
  static std::string Basic(const std::string& login) { return "Basic " + oci::RenderBase64(login); }
  std::string Token(const std::string& scope, const std::string& authorization = "") {
    const Response response =
        Ask("GET", "/v2/token", authorization, {{"service", "ingot"}, {"scope", scope}});
    EXPECT_EQ(response.status, 200) << response.text;
    return "Bearer " + std::string(Must(ParseJson(response.text)).at("token").get_string());
  }

  FakeClock clock_;
  fs::path file_;
  definition::HostRegistry rules_;
  std::unique_ptr<Access> access_;
  std::string certificate_;
  std::vector<std::pair<std::string, std::string>> passed_;
};

TEST_F(AccessTest, AnonymousMayWhatTheRulesSayAndIsToldHowToBecomeSomebody) {
  EXPECT_EQ(Ask("GET", "/v2/open/a/manifests/v").status, 200);
  EXPECT_EQ(Ask("GET", "/v2/open/a/tags/list").status, 200);
  const Response base = Ask("GET", "/v2/");
  EXPECT_EQ(base.status, 401);
  EXPECT_EQ(base.Header("WWW-Authenticate"),
            "Bearer realm=\"https://registry.example:5000/v2/token\",service=\"ingot\"");
  const Response push = Ask("PUT", "/v2/open/a/manifests/v");
  EXPECT_EQ(push.status, 401);
  EXPECT_THAT(push.text, HasSubstr("\"UNAUTHORIZED\""));
  EXPECT_THAT(std::string(push.Header("WWW-Authenticate")),
              HasSubstr(",scope=\"repository:open/a:pull,push\""));
  EXPECT_EQ(Ask("GET", "/v2/closed/manifests/v").status, 401);
  EXPECT_EQ(Ask("GET", "/v2/unnamed/manifests/v").status, 401);
  EXPECT_EQ(Ask("DELETE", "/v2/open/a/manifests/v").status, 401);
}

TEST_F(AccessTest, EachRightIsItsOwn) {
  const std::string ci = Basic("ci:geheim");
  const std::string ops = Basic("ops:streng");
  EXPECT_EQ(Ask("GET", "/v2/", ci).status, 200);
  EXPECT_EQ(Ask("PUT", "/v2/open/a/manifests/v", ci).status, 200);
  EXPECT_EQ(Ask("POST", "/v2/open/a/blobs/uploads/", ci).status, 200);
  EXPECT_EQ(Ask("DELETE", "/v2/open/a/blobs/uploads/x", ci).status, 200);
  EXPECT_EQ(Ask("DELETE", "/v2/open/a/manifests/v", ci).status, 403);
  EXPECT_EQ(Ask("DELETE", "/v2/open/a/manifests/v", ops).status, 200);
  EXPECT_EQ(Ask("PUT", "/v2/open/a/manifests/v", ops).status, 403);
  EXPECT_EQ(Ask("GET", "/v2/closed/manifests/v", ci).status, 403);
  EXPECT_EQ(Ask("GET", "/v2/closed/manifests/v", ops).status, 200);
  EXPECT_EQ(Ask("PUT", "/v2/unnamed/manifests/v", ci).status, 200);
  EXPECT_EQ(Ask("GET", "/v2/", Basic("ci:falsch")).status, 401);
  EXPECT_EQ(Ask("GET", "/v2/", Basic("nobody:geheim")).status, 401);
  EXPECT_EQ(Ask("GET", "/v2/open/a/manifests/v", Basic("ci:falsch")).status, 401);
  EXPECT_EQ(Ask("GET", "/v2/", "Digest x").status, 401);
}

TEST_F(AccessTest, TokensGiveWhatWasAskedForAndMayBeGiven) {
  const std::string pull = Token("repository:closed:pull,push,delete", Basic("ops:streng"));
  EXPECT_EQ(Ask("GET", "/v2/closed/manifests/v", pull).status, 200);
  EXPECT_EQ(Ask("PUT", "/v2/closed/manifests/v", pull).status, 403);
  // Another repository was not asked for, though the user may.
  const Response other = Ask("DELETE", "/v2/open/a/manifests/v", pull);
  EXPECT_EQ(other.status, 401);
  EXPECT_THAT(std::string(other.Header("WWW-Authenticate")), HasSubstr("error=\"insufficient_scope\""));
  EXPECT_EQ(Ask("GET", "/v2/open/a/manifests/v", Token("repository:open/a:pull")).status, 200);
  EXPECT_EQ(Ask("GET", "/v2/closed/manifests/v", Token("repository:closed:pull")).status, 401);
  EXPECT_EQ(Ask("GET", "/v2/token", Basic("ops:falsch")).status, 401);
  EXPECT_EQ(Ask("POST", "/v2/token").status, 405);
  // One letter of the signature, one of the contents.
  for (const size_t at : {size_t{10}, pull.size() - 6}) {
    std::string forged = pull;
    forged[at] = forged[at] == 'A' ? 'B' : 'A';
    EXPECT_EQ(Ask("GET", "/v2/closed/manifests/v", forged).status, 401);
  }
  clock_.Advance(std::chrono::minutes(11));
  EXPECT_EQ(Ask("GET", "/v2/closed/manifests/v", pull).status, 401);
}

TEST_F(AccessTest, AMountNeedsToReadWhereItIsFrom) {
  const auto mount = [&](const std::string& from, const std::string& who) {
    passed_.clear();
    std::vector<std::pair<std::string, std::string>> query{{"mount", "sha256:x"}};
    if (!from.empty()) query.emplace_back("from", from);
    EXPECT_EQ(Ask("POST", "/v2/open/a/blobs/uploads/", who, query).status, 200);
    return passed_.size();
  };
  EXPECT_EQ(mount("open/b", Basic("ci:geheim")), 2u);
  EXPECT_EQ(mount("closed", Basic("ci:geheim")), 0u);
  EXPECT_EQ(mount("", Basic("ci:geheim")), 0u);
  EXPECT_EQ(mount("open/b", Token("repository:open/a:pull,push", Basic("ci:geheim"))), 0u);
}

TEST_F(AccessTest, CertificatesAreSomebody) {
  rules_.tls = definition::RegistryTls{"c", "k", "ca"};
  rules_.repositories[1].read = Grant{"cert:build 1"};
  Start();
  certificate_ = "cert:build 1";
  EXPECT_EQ(Ask("GET", "/v2/").status, 200);
  EXPECT_EQ(Ask("GET", "/v2/closed/manifests/v").status, 200);
  certificate_ = "cert:build 2";
  EXPECT_EQ(Ask("GET", "/v2/closed/manifests/v").status, 403);
}

TEST_F(AccessTest, WhoGuessesHasToWait) {
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Ask("GET", "/v2/", Basic("ci:" + std::to_string(i))).status, 401);
  const Response refused = Ask("GET", "/v2/", Basic("ci:geheim"));
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.Header("Retry-After"), "60");
  clock_.Advance(std::chrono::seconds(60));
  EXPECT_EQ(Ask("GET", "/v2/", Basic("ci:geheim")).status, 200);
}

TEST_F(AccessTest, AChangedFileCountsAtOnceAndABrokenOneNot) {
  EXPECT_EQ(Ask("GET", "/v2/", Basic("ci:geheim")).status, 200);
  Must(WriteFileAtomic(file_, "broken\n"));
  EXPECT_EQ(access_->Refresh().error().code(), Code::kInvalid);
  EXPECT_EQ(Ask("GET", "/v2/", Basic("ci:geheim")).status, 200);
  Htpasswd users;
  users.users["ci"] = Must(HashPassword("neu"));
  Must(WriteFileAtomic(file_, users.Render()));
  Must(access_->Refresh());
  EXPECT_EQ(Ask("GET", "/v2/", Basic("ci:geheim")).status, 401);
  EXPECT_EQ(Ask("GET", "/v2/", Basic("ci:neu")).status, 200);
}

TEST(HtpasswdTest, LinesAndTheirMistakes) {
  const std::string hash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
  const auto good = Htpasswd::Parse("# users\r\n\nb:" + hash + "\na:" + hash + "\r\n");
  ASSERT_TRUE(good.has_value());
  EXPECT_EQ(good->Render(), "a:" + hash + "\nb:" + hash + "\n");
  for (const std::string& bad :
       std::vector<std::string>{"a", "a:plain", ":" + hash, "anonymous:" + hash, "a b:" + hash, "a:$apr1$x$y",
                                "a:" + hash + "\na:" + hash})
    EXPECT_EQ(Htpasswd::Parse(bad).error().code(), Code::kInvalid) << bad;
  EXPECT_THAT(Htpasswd::Parse("\na:secret\n").error().message(), testing::StartsWith("line 2: "));
  EXPECT_THAT(Htpasswd::Parse("\na:secret\n").error().message(), testing::Not(HasSubstr("secret")));
}

TEST(TokenTest, ScopesAndTheirGrammar) {
  EXPECT_EQ(Scope::Parse("repository:shop/web:push,pull,x"), (Scope{"shop/web", true, true, false}));
  EXPECT_EQ(Scope::Parse("repository:a:*"), (Scope{"a", true, true, true}));
  EXPECT_EQ((Scope{"a", false, true, true}).Render(), "repository:a:push,delete");
  for (const char* bad : {"", "repository:a", "registry:catalog:*", "repository:A:pull",
                          "repository:../a:pull", "repository:h:5000/a:pull"})
    EXPECT_EQ(Scope::Parse(bad), std::nullopt) << bad;
  const AccessToken token{"cert:a b", 7, {{"a", true, false, false}, {"b", false, false, true}}};
  EXPECT_EQ(AccessToken::Open(token.Sign("k"), "k"), token);
  EXPECT_EQ(AccessToken::Open(token.Sign("k"), "l"), std::nullopt);
}

}  // namespace
}  // namespace ingot::registry
