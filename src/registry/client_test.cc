#include "registry/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oci/base64.h"
#include "registry/fake_client_http.h"

namespace ingot::registry {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const std::string kBareManifest =
    R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"})";

oci::Reference Ref(const std::string& text) {
  return oci::Reference::Parse(text)->Normalized();
}

FakeAnswer Status(int status, const std::string& body = "") {
  FakeAnswer answer;
  answer.status = status;
  answer.body = body;
  return answer;
}

FakeAnswer Redirect(const std::string& to, int status = 307) {
  FakeAnswer answer = Status(status);
  answer.headers.emplace("location", to);
  return answer;
}

class ClientTest : public testing::Test {
 protected:
  ClientTest() { registry_.AddManifest(oci::kManifestType, kBareManifest, "1"); }

  Result<RemoteManifest> Manifest(const std::string& reference = "registry.example/app:1") {
    return Client(http_, find_, clock_, options_).GetManifest(Ref(reference));
  }
  Result<std::string> Blob(const oci::Descriptor& blob,
                           const std::string& reference = "registry.example/app:1") {
    std::string bytes;
    TRY(Client(http_, find_, clock_, options_)
            .GetBlob(Ref(reference), blob, [&](std::string_view piece) -> Result<void> {
              bytes += piece;
              return {};
            }));
    return bytes;
  }

  FakeRegistry registry_;
  // Asked first; the honest registry is behind it.
  std::function<std::optional<Result<FakeAnswer>>(const ClientRequest&)> before_;
  FakeClientHttp http_{[this](const ClientRequest& request) -> Result<FakeAnswer> {
    if (before_)
      if (auto answer = before_(request)) return *answer;
    return registry_.Serve(request);
  }};
  FindCredential find_ = [](const std::string&, const std::string&) -> Result<std::optional<Credential>> {
    return std::optional<Credential>();
  };
  FakeClock clock_;
  Client::Options options_;
};

TEST_F(ClientTest, AsksForAManifestOfAnyFormat) {
  const auto manifest = Manifest();
  ASSERT_TRUE(manifest) << manifest.error().Render();
  EXPECT_EQ(manifest->bytes, kBareManifest);
  EXPECT_EQ(manifest->digest, oci::Digest::Of(kBareManifest));
  EXPECT_EQ(manifest->media_type, oci::kManifestType);
  ASSERT_EQ(http_.requests().size(), 1u);
  EXPECT_EQ(http_.requests()[0].url.Render(), "https://registry.example/v2/app/manifests/1");
  for (const auto type :
       {oci::kManifestType, oci::kIndexType, oci::kDockerManifestType, oci::kDockerListType})
    EXPECT_THAT(HeaderOf(http_.requests()[0], "Accept"), HasSubstr(std::string(type)));
  EXPECT_TRUE(Manifest("registry.example/app@" + manifest->digest.Render()));
  ASSERT_FALSE(Manifest("redis"));
  EXPECT_EQ(http_.requests().back().url.Render(),
            "https://registry-1.docker.io/v2/library/redis/manifests/latest");
}

TEST_F(ClientTest, AnUnknownTagSaysSo) {
  const auto manifest = Manifest("registry.example/app:2");
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().code(), Code::kNotFound);
  EXPECT_EQ(manifest.error().message(),
            "registry.example: 404: there is no app:2 (MANIFEST_UNKNOWN: manifest unknown); see that the "
            "name and the "
            "tag are right");
}

TEST_F(ClientTest, AManifestIsWhatItsDigestSays) {
  const std::string other = kBareManifest + " ";
  before_ = [&](const ClientRequest&) { return Result<FakeAnswer>(Status(200, other)); };
  auto manifest = Manifest("registry.example/app@" + oci::Digest::Of(kBareManifest).Render());
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().code(), Code::kInvalid);
  before_ = [&](const ClientRequest&) {
    FakeAnswer answer = Status(200, other);
    answer.headers.emplace("docker-content-digest", oci::Digest::Of(kBareManifest).Render());
    return Result<FakeAnswer>(answer);
  };
  EXPECT_EQ(Manifest().error().code(), Code::kInvalid);
  before_ = [&](const ClientRequest&) { return Result<FakeAnswer>(Status(200, std::string(5 << 20, ' '))); };
  EXPECT_EQ(Manifest().error().code(), Code::kInvalid);
  EXPECT_THAT(Manifest().error().message(), HasSubstr("4 MiB"));
}

TEST_F(ClientTest, GetsATokenAndShowsThePasswordToTheRealmAlone) {
  find_ = [](const std::string& name, const std::string&) -> Result<std::optional<Credential>> {
    EXPECT_EQ(name, "registry.example");
    return std::optional<Credential>(Credential{"user", "secret", ""});
  };
  before_ = [&](const ClientRequest& request) -> std::optional<Result<FakeAnswer>> {
    if (request.url.host == "auth.example") {
      EXPECT_EQ(request.url.Render(),
                "https://auth.example/token?x=1&service=the%20registry&scope=repository%3Aapp%3Apull");
      EXPECT_EQ(HeaderOf(request, "Authorization"), "Basic " + oci::RenderBase64("user:secret"));
      return Result<FakeAnswer>(Status(200, R"({"token":"tk","expires_in":100})"));
    }
    if (HeaderOf(request, "Authorization") == "Bearer tk") return std::nullopt;
    EXPECT_EQ(HeaderOf(request, "Authorization"), "");
    FakeAnswer answer = Status(401);
    answer.headers.emplace("www-authenticate",
                           R"(Bearer realm="https://auth.example/token?x=1",service="the registry")");
    return Result<FakeAnswer>(answer);
  };
  Client client(http_, find_, clock_);
  ASSERT_TRUE(client.GetManifest(Ref("registry.example/app:1")));
  EXPECT_EQ(http_.requests().size(), 3u);
  ASSERT_TRUE(client.GetManifest(Ref("registry.example/app:1")));
  EXPECT_EQ(http_.requests().size(), 4u) << "the token is used again";
  clock_.Advance(std::chrono::seconds(95));
  ASSERT_TRUE(client.GetManifest(Ref("registry.example/app:1")));
  EXPECT_EQ(http_.requests().size(), 7u) << "before it expires a new one is fetched";
}

TEST_F(ClientTest, AnIdentityTokenIsPostedAndBasicIsSent) {
  Credential credential{"", "", "refresh&me"};
  std::string challenge = R"(Bearer realm="https://auth.example/token",service="s")";
  find_ = [&](const std::string&, const std::string&) -> Result<std::optional<Credential>> {
    return std::optional<Credential>(credential);
  };
  before_ = [&](const ClientRequest& request) -> std::optional<Result<FakeAnswer>> {
    if (request.url.host == "auth.example") {
      EXPECT_EQ(
          request.form,
          "grant_type=refresh_token&client_id=ingot&service=s&scope=repository%3Aapp%3Apull&refresh_token="
          "refresh%26me");
      return Result<FakeAnswer>(Status(200, R"({"access_token":"tk"})"));
    }
    if (!HeaderOf(request, "Authorization").empty()) return std::nullopt;
    FakeAnswer answer = Status(401);
    answer.headers.emplace("www-authenticate", challenge);
    return Result<FakeAnswer>(answer);
  };
  ASSERT_TRUE(Manifest());
  EXPECT_EQ(HeaderOf(http_.requests().back(), "Authorization"), "Bearer tk");
  credential = {"user", "secret", ""};
  challenge = "Basic realm=\"r\"";
  ASSERT_TRUE(Manifest());
  EXPECT_EQ(HeaderOf(http_.requests().back(), "Authorization"), "Basic " + oci::RenderBase64("user:secret"));
}

TEST_F(ClientTest, WhoIsNotLoggedInIsToldHow) {
  before_ = [&](const ClientRequest& request) -> std::optional<Result<FakeAnswer>> {
    if (request.url.host == "auth.example")
      return Result<FakeAnswer>(Status(200, R"({"token":"anonymous"})"));
    FakeAnswer answer =
        Status(401, R"({"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]})");
    answer.headers.emplace("www-authenticate", R"(Bearer realm="https://auth.example/token")");
    return Result<FakeAnswer>(answer);
  };
  auto manifest = Manifest();
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().code(), Code::kPermission);
  EXPECT_EQ(
      manifest.error().message(),
      "registry.example: 401: app:1 does not exist or is not for everybody (UNAUTHORIZED: authentication "
      "required); log in with `docker login registry.example` or `skopeo login --authfile "
      "~/.docker/config.json registry.example`");
  find_ = [](const std::string&, const std::string&) -> Result<std::optional<Credential>> {
    return std::optional<Credential>(Credential{"user", "wrong", ""});
  };
  manifest = Manifest();
  ASSERT_FALSE(manifest);
  EXPECT_THAT(manifest.error().message(), HasSubstr("does not accept the log-in of config.json"));
  EXPECT_EQ(manifest.error().message().find("wrong"), std::string::npos);
  before_ = [&](const ClientRequest& request) -> std::optional<Result<FakeAnswer>> {
    if (request.url.host == "auth.example")
      return Result<FakeAnswer>(Status(401, R"({"details":"bad password"})"));
    FakeAnswer answer = Status(401);
    answer.headers.emplace("www-authenticate", R"(Bearer realm="https://auth.example/token")");
    return Result<FakeAnswer>(answer);
  };
  manifest = Manifest();
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().code(), Code::kPermission);
  EXPECT_THAT(
      manifest.error().message(),
      StartsWith("registry.example: 401: auth.example gives no token for app (bad password); log in with"));
}

TEST_F(ClientTest, ARealmMustBeEncryptedAndElsewhere) {
  std::string realm = "http://auth.example/token";
  before_ = [&](const ClientRequest& request) -> std::optional<Result<FakeAnswer>> {
    EXPECT_EQ(request.url.host, "registry.example") << "asked a realm that it should not have";
    FakeAnswer answer = Status(401);
    answer.headers.emplace("www-authenticate", "Bearer realm=\"" + realm + "\"");
    return Result<FakeAnswer>(answer);
  };
  EXPECT_EQ(Manifest().error().code(), Code::kRefused);
  realm = "http://127.0.0.1:8080/token";
  EXPECT_EQ(Manifest().error().code(), Code::kRefused);
  realm = "file:///etc/passwd";
  EXPECT_EQ(Manifest().error().code(), Code::kInvalid);
}

TEST_F(ClientTest, ARedirectIsFollowedWithoutTheCredentials) {
  find_ = [](const std::string&, const std::string&) -> Result<std::optional<Credential>> {
    return std::optional<Credential>(Credential{"user", "secret", ""});
  };
  const oci::Descriptor blob = registry_.AddBlob(oci::kLayerGzipType, "blob");
  before_ = [&](const ClientRequest& request) -> std::optional<Result<FakeAnswer>> {
    if (request.url.host == "cdn.example") {
      EXPECT_EQ(HeaderOf(request, "Authorization"), "");
      return std::nullopt;
    }
    if (HeaderOf(request, "Authorization").empty()) {
      FakeAnswer answer = Status(401);
      answer.headers.emplace("www-authenticate", "Basic realm=x");
      return Result<FakeAnswer>(answer);
    }
    if (request.url.target.find("same") == std::string::npos)
      return Result<FakeAnswer>(Redirect("/v2/same/blobs/" + blob.digest.Render()));
    return Result<FakeAnswer>(Redirect("https://cdn.example/blobs/" + blob.digest.Render()));
  };
  const auto bytes = Blob(blob);
  ASSERT_TRUE(bytes) << bytes.error().Render();
  EXPECT_EQ(*bytes, "blob");
  const auto requests = http_.requests();
  ASSERT_EQ(requests.size(), 4u);
  EXPECT_NE(HeaderOf(requests[2], "Authorization"), "") << "the same host";
  EXPECT_EQ(requests[3].url.Render(), "https://cdn.example/blobs/" + blob.digest.Render());
}

TEST_F(ClientTest, AHostThatIsLedBackToIsNotAskedInAnothersName) {
  find_ = [](const std::string&, const std::string&) -> Result<std::optional<Credential>> {
    return std::optional<Credential>(Credential{"user", "secret", ""});
  };
  before_ = [&](const ClientRequest& request) -> std::optional<Result<FakeAnswer>> {
    if (request.url.host == "evil.example")
      return Result<FakeAnswer>(Redirect("https://registry.example/private"));
    if (request.url.target == "/private") {
      EXPECT_EQ(HeaderOf(request, "Authorization"), "");
      return Result<FakeAnswer>(Status(401));
    }
    if (HeaderOf(request, "Authorization").empty()) {
      FakeAnswer answer = Status(401);
      answer.headers.emplace("www-authenticate", "Basic realm=x");
      return Result<FakeAnswer>(answer);
    }
    return Result<FakeAnswer>(Redirect("https://evil.example/"));
  };
  EXPECT_EQ(Manifest().error().code(), Code::kPermission);
}

TEST_F(ClientTest, BadRedirectsAreRefused) {
  std::string to = "https://registry.example/v2/app/manifests/1";
  before_ = [&](const ClientRequest& request) -> std::optional<Result<FakeAnswer>> {
    EXPECT_EQ(request.url.scheme, "https");
    EXPECT_NE(request.url.host, "127.0.0.1");
    return Result<FakeAnswer>(Redirect(to));
  };
  const auto loop = Manifest();
  EXPECT_EQ(loop.error().code(), Code::kRefused);
  EXPECT_THAT(loop.error().message(), HasSubstr("in circles"));
  EXPECT_EQ(http_.requests().size(), 6u);
  to = "http://registry.example/x";
  EXPECT_EQ(Manifest().error().code(), Code::kRefused);
  to = "https://127.0.0.1:6379/x";
  EXPECT_EQ(Manifest().error().code(), Code::kRefused);
  to = "file:///etc/passwd";
  EXPECT_EQ(Manifest().error().code(), Code::kInvalid);
  to = "";
  EXPECT_EQ(Manifest().error().code(), Code::kRefused) << "to itself";
}

TEST_F(ClientTest, TriesAgainWhenTheServerHasATroubleOfItsOwn) {
  int failures = 3;
  before_ = [&](const ClientRequest&) -> std::optional<Result<FakeAnswer>> {
    if (failures-- <= 0) return std::nullopt;
    if (failures == 2) return Result<FakeAnswer>(Error(Code::kUnavailable, "the connection broke"));
    FakeAnswer answer = Status(failures == 1 ? 503 : 429);
    if (failures == 0) answer.headers.emplace("retry-after", "7");
    return Result<FakeAnswer>(answer);
  };
  const SteadyTime begin = clock_.Steady();
  ASSERT_TRUE(Manifest());
  EXPECT_EQ(clock_.Steady() - begin, Milliseconds(250 + 500 + 7000));
  failures = 100;
  const auto manifest = Manifest();
  EXPECT_EQ(manifest.error().code(), Code::kUnavailable);
  EXPECT_EQ(failures, 95) << "five attempts";
  before_ = [&](const ClientRequest&) { return Result<FakeAnswer>(Error(Code::kRefused, "TLS")); };
  const size_t sent = http_.requests().size();
  EXPECT_EQ(Manifest().error().code(), Code::kRefused);
  EXPECT_EQ(http_.requests().size(), sent + 1) << "a bad certificate does not get better";
}

class BlobTest : public ClientTest {
 protected:
  BlobTest() {
    for (int i = 0; i < 200'000; ++i) bytes_ += static_cast<char>(i * 7 + i / 256);
    blob_ = registry_.AddBlob(oci::kLayerGzipType, bytes_);
  }
  std::string bytes_;
  oci::Descriptor blob_;
};

TEST_F(BlobTest, ABrokenConnectionIsResumedWhereItWas) {
  int breaks = 0;
  before_ = [&](const ClientRequest& request) -> std::optional<Result<FakeAnswer>> {
    if (breaks == 20) return std::nullopt;
    ++breaks;
    FakeAnswer answer = registry_.Serve(request);
    answer.body.resize(std::min<size_t>(answer.body.size(), 7000));
    answer.broken = Error(Code::kUnavailable, "the connection broke");
    return Result<FakeAnswer>(answer);
  };
  // 7,000 bytes are no progress: five attempts.
  EXPECT_EQ(Blob(blob_).error().code(), Code::kUnavailable);
  EXPECT_EQ(breaks, 5);
  options_.attempts = 30;
  const auto bytes = Blob(blob_);
  ASSERT_TRUE(bytes) << bytes.error().Render();
  EXPECT_EQ(*bytes, bytes_);
  EXPECT_EQ(HeaderOf(http_.requests().back(), "Range"), "bytes=105000-");
}

TEST_F(BlobTest, AServerThatKnowsNoRangesBeginsAgain) {
  bool broke = false;
  before_ = [&](const ClientRequest& request) -> std::optional<Result<FakeAnswer>> {
    ClientRequest whole = request;
    whole.headers.clear();
    FakeAnswer answer = registry_.Serve(whole);
    if (!broke) {
      answer.body.resize(100'000);  // and says nothing: the connection is closed
      broke = true;
    }
    return Result<FakeAnswer>(answer);
  };
  const auto bytes = Blob(blob_);
  ASSERT_TRUE(bytes) << bytes.error().Render();
  EXPECT_EQ(*bytes, bytes_);
}

TEST_F(BlobTest, MoreOrFewerBytesOrOthersAreRefused) {
  registry_.blobs[blob_.digest.Render()] += "x";
  EXPECT_EQ(Blob(blob_).error().code(), Code::kInvalid);
  EXPECT_THAT(Blob(blob_).error().message(), HasSubstr("longer than the 200000 bytes"));
  registry_.blobs[blob_.digest.Render()].resize(150'000);
  EXPECT_EQ(Blob(blob_).error().code(), Code::kInvalid);
  EXPECT_THAT(Blob(blob_).error().message(), HasSubstr("ends after 150000 of the 200000 bytes"));
  before_ = [&](const ClientRequest&) {
    FakeAnswer answer = Status(206, "other part");
    answer.headers.emplace("content-range", "bytes 5-14/200000");
    return Result<FakeAnswer>(answer);
  };
  EXPECT_EQ(Blob(blob_).error().code(), Code::kInvalid);
  before_ = nullptr;
  const oci::Descriptor small = registry_.AddBlob(oci::kConfigType, "abc");
  registry_.blobs[small.digest.Render()] = "abd";
  Client client(http_, find_, clock_);
  EXPECT_EQ(client.GetSmallBlob(Ref("registry.example/app"), small, 10).error().code(), Code::kInvalid);
  EXPECT_EQ(client.GetSmallBlob(Ref("registry.example/app"), small, 2).error().code(), Code::kInvalid);
}

TEST_F(BlobTest, TheSinksErrorComesThroughAndEndsIt) {
  Client client(http_, find_, clock_);
  const auto got = client.GetBlob(Ref("registry.example/app"), blob_, [](std::string_view) {
    return Result<void>(Error(Code::kNoSpace, "full"));
  });
  EXPECT_EQ(got.error().code(), Code::kNoSpace);
  EXPECT_EQ(http_.requests().size(), 1u);
}

TEST_F(ClientTest, MirrorsAreAskedFirstForDockerHubAlone) {
  options_.mirrors = {"https://mirror.example"};
  bool up = true;
  before_ = [&](const ClientRequest& request) -> std::optional<Result<FakeAnswer>> {
    if (request.url.host == "mirror.example" && !up) return Result<FakeAnswer>(Status(404));
    return std::nullopt;
  };
  ASSERT_TRUE(Manifest("app:1"));
  EXPECT_EQ(http_.requests().back().url.Render(), "https://mirror.example/v2/library/app/manifests/1");
  ASSERT_TRUE(Manifest("registry.example/app:1"));
  EXPECT_EQ(http_.requests().back().url.host, "registry.example");
  up = false;
  ASSERT_TRUE(Manifest("app:1"));
  EXPECT_EQ(http_.requests().back().url.host, "registry-1.docker.io");
  options_.mirrors = {"http://mirror.example"};
  EXPECT_EQ(Manifest("app:1").error().code(), Code::kRefused);
}

TEST_F(ClientTest, PlainHttpIsForLoopbackAlone) {
  ASSERT_TRUE(Manifest("127.0.0.1:5000/app:1"));
  EXPECT_EQ(http_.requests().back().url.Render(), "http://127.0.0.1:5000/v2/app/manifests/1");
  // A TLS server answers plain HTTP with 400.
  before_ = [&](const ClientRequest& request) -> std::optional<Result<FakeAnswer>> {
    if (request.url.scheme == "http") return Result<FakeAnswer>(Status(400));
    return std::nullopt;
  };
  ASSERT_TRUE(Manifest("localhost:5000/app:1"));
  EXPECT_EQ(http_.requests().back().url.Render(), "https://localhost:5000/v2/app/manifests/1");
}

}  // namespace
}  // namespace ingot::registry
