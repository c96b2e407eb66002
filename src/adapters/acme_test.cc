// ACME: keys, and orders against an authority in memory that obeys, or not. The real one is in
// tests/e2e/test_acme.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <deque>

#include "adapters/acme_client.h"
#include "oci/base64.h"
#include "registry/fake_client_http.h"

namespace ingot::adapters {
namespace {

using registry::ClientRequest;
using registry::FakeAnswer;
using registry::FakeClientHttp;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string FromBase64Url(std::string text) {
  for (char& c : text) c = c == '-' ? '+' : c == '_' ? '/' : c;
  while (text.size() % 4 != 0) text += '=';
  return oci::ParseBase64(text).value_or("?");
}

TEST(AcmeKey, IsReadAsItWasWritten) {
  const AcmeKey key = *AcmeKey::Generate();
  const auto again = AcmeKey::FromPem(key.ToPem());
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->Thumbprint(), key.Thumbprint());
  EXPECT_NE(AcmeKey::Generate()->Thumbprint(), key.Thumbprint());
  EXPECT_EQ(AcmeKey::FromPem("").error().code(), Code::kInvalid);
  EXPECT_EQ(AcmeKey::FromPem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").error().code(),
            Code::kInvalid);
}

TEST(AcmeKey, HasTheThumbprintOfItsKnownPoint) {
  // P-256 with the private key 1: its public key is the generator. The thumbprint was computed by another
  // program (sha256sum of the canonical JSON).
  const char* pem =
      "-----BEGIN EC PRIVATE KEY-----\n"
      "MDECAQEEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABoAoGCCqGSM49\n"
      "AwEH\n"
      "-----END EC PRIVATE KEY-----\n";
  const auto key = AcmeKey::FromPem(pem);
  ASSERT_TRUE(key.has_value());
  EXPECT_EQ(StringOr(key->Jwk(), "x", ""), "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY");
  EXPECT_EQ(StringOr(key->Jwk(), "y", ""), "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU");
  EXPECT_EQ(key->Thumbprint(), "xx0BcA-wMohw8atYDJOe6peGModklG2wRHBlXHMvl0M");
}

TEST(AcmeKey, SignsWhatOthersVerify) {
  const AcmeKey key = *AcmeKey::Generate();
  const Json jws = *ParseJson(*key.Sign({{"nonce", "n"}, {"url", "https://a.example/x"}}, "{\"a\":1}"));
  const std::string head = StringOr(jws.get_object(), "protected", "");
  const std::string payload = StringOr(jws.get_object(), "payload", "");
  const std::string raw = FromBase64Url(StringOr(jws.get_object(), "signature", ""));
  ASSERT_EQ(raw.size(), 64u);
  EXPECT_EQ(FromBase64Url(payload), "{\"a\":1}");
  EXPECT_EQ(StringOr(ParseJson(FromBase64Url(head))->get_object(), "alg", ""), "ES256");
  // Verified with the key in PEM, and a signature in DER.
  const std::string pem = key.ToPem();
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  EVP_PKEY* pkey = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  ECDSA_SIG* signature = ECDSA_SIG_new();
  const auto* bytes = reinterpret_cast<const unsigned char*>(raw.data());
  ECDSA_SIG_set0(signature, BN_bin2bn(bytes, 32, nullptr), BN_bin2bn(bytes + 32, 32, nullptr));
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature, &der);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  const std::string input = head + "." + payload;
  EXPECT_EQ(EVP_DigestVerifyInit(context, nullptr, EVP_sha256(), nullptr, pkey), 1);
  EXPECT_EQ(EVP_DigestVerify(context, der, static_cast<size_t>(size),
                             reinterpret_cast<const unsigned char*>(input.data()), input.size()),
            1);
  EVP_MD_CTX_free(context);
  OPENSSL_free(der);
  ECDSA_SIG_free(signature);
  EVP_PKEY_free(pkey);
  BIO_free(bio);
}

TEST(AcmeKey, AsksForTheNameAlone) {
  const std::string der = *AcmeKey::Generate()->SigningRequest("shop.example");
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  X509_REQ* request = d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size()));
  ASSERT_NE(request, nullptr);
  EXPECT_EQ(X509_REQ_verify(request, X509_REQ_get0_pubkey(request)), 1);
  EXPECT_EQ(X509_NAME_entry_count(X509_REQ_get_subject_name(request)), 0);
  EXPECT_THAT(der, HasSubstr("shop.example"));
  X509_REQ_free(request);
}

// An authority of one order, as RFC 8555 has it. Each nonce is good once.
class Authority {
 public:
  std::string authorization = "pending";
  std::string order = "pending";
  std::string token = "tok-1_A";
  std::string challenge_type = "http-01";
  int polls = 1;       // answers "pending" so often after the challenge was accepted
  int finalizing = 1;  // answers "processing" so often
  int reject_nonces = 0;
  bool proves = true;
  std::deque<FakeAnswer> refusals;               // of new orders, one each
  std::vector<std::string> log;                  // "new-order", …
  std::map<std::string, std::string> published;  // at the time of the proof
  std::map<std::string, std::string> now;        // what is published

  Result<FakeAnswer> Answer(const ClientRequest& request) {
    const std::string& target = request.url.target;
    FakeAnswer answer;
    answer.headers.emplace("replay-nonce", "n" + std::to_string(++nonces_));
    if (target == "/dir") {
      answer.body = RenderJson(JsonObject{{"newNonce", kBase + "/nonce"},
                                          {"newAccount", kBase + "/account"},
                                          {"newOrder", kBase + "/new-order"}});
      return answer;
    }
    if (target == "/nonce") return answer;
    std::string body(request.upload->size_bytes, '\0');
    EXPECT_EQ(*request.upload->read(body.data(), body.size()), body.size());
    EXPECT_EQ(registry::HeaderOf(request, "Content-Type"), "application/jose+json");
    const Json jws = *ParseJson(body);
    const Json head = *ParseJson(FromBase64Url(StringOr(jws.get_object(), "protected", "")));
    EXPECT_EQ(StringOr(head.get_object(), "url", ""), kBase + target);
    const std::string nonce = StringOr(head.get_object(), "nonce", "");
    if (!used_.insert(nonce).second || reject_nonces > 0) {
      --reject_nonces;
      log.push_back("badNonce");
      return Problem(400, "badNonce", "JWS has an invalid anti-replay nonce", std::move(answer));
    }
    EXPECT_EQ(head.get_object().contains("jwk"), target == "/account");
    EXPECT_EQ(StringOr(head.get_object(), "kid", ""), target == "/account" ? "" : kBase + "/account/1");
    log.push_back(target.substr(1));
    const std::string payload = FromBase64Url(StringOr(jws.get_object(), "payload", ""));
    return Serve(target, payload, std::move(answer));
  }
  static FakeAnswer Problem(int status, const std::string& type, const std::string& detail,
                            FakeAnswer answer = {}) {
    answer.status = status;
    answer.body = RenderJson(JsonObject{{"type", "urn:ietf:params:acme:error:" + type}, {"detail", detail}});
    return answer;
  }
  inline static const std::string kBase = "https://ca.example";

 private:
  Result<FakeAnswer> Serve(const std::string& target, const std::string& payload, FakeAnswer answer) {
    if (target == "/account") {
      answer.status = 201;
      answer.headers.emplace("location", kBase + "/account/1");
      answer.body = "{\"status\":\"valid\"}";
    } else if (target == "/new-order" && !refusals.empty()) {
      FakeAnswer refusal = refusals.front();
      refusals.pop_front();
      refusal.headers.merge(answer.headers);
      return refusal;
    } else if (target == "/new-order") {
      answer.status = 201;
      answer.headers.emplace("location", kBase + "/order");
      answer.body = "{\"status\":\"pending\"}";
    } else if (target == "/order") {
      if (order == "processing" && finalizing-- <= 0) order = "valid";
      JsonObject object{{"status", order},
                        {"authorizations", JsonArray{kBase + "/authorization"}},
                        {"finalize", kBase + "/finalize"}};
      if (order == "valid") object["certificate"] = kBase + "/certificate";
      if (order == "gone") return Problem(404, "malformed", "no such order", std::move(answer));
      answer.body = RenderJson(object);
    } else if (target == "/authorization") {
      if (accepted_ && polls-- <= 0) {
        authorization = proves ? "valid" : "invalid";
        order = proves ? "ready" : "invalid";
      }
      JsonObject challenge{{"type", challenge_type},
                           {"token", token},
                           {"url", kBase + "/challenge"},
                           {"status", accepted_ ? "processing" : "pending"}};
      if (authorization == "invalid")
        challenge["error"] = JsonObject{{"type", "urn:ietf:params:acme:error:connection"},
                                        {"detail", "10.0.0.1: nobody\x1b[2J answers"}};
      answer.body = RenderJson(JsonObject{{"status", authorization}, {"challenges", JsonArray{challenge}}});
      answer.headers.emplace("retry-after", "3");
    } else if (target == "/challenge") {
      EXPECT_EQ(payload, "{}");
      accepted_ = true;
      published = now;
      answer.body = "{}";
    } else if (target == "/finalize") {
      EXPECT_EQ(order, "ready");
      order = "processing";
      answer.body = "{}";
    } else if (target == "/certificate") {
      answer.body = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";
    } else {
      answer.status = 404;
    }
    return answer;
  }
  int nonces_ = 0;
  bool accepted_ = false;
  std::set<std::string> used_;
};

class AcmeClientTest : public ::testing::Test {
 protected:
  AcmeClient Client() {
    AcmeClient::Options options;
    options.directory = Authority::kBase + "/dir";
    options.email = "ops@shop.example";
    options.wait = [this](Milliseconds pause) {
      waited_.push_back(pause.count());
      return waits_-- > 0;
    };
    options.publish = [this](const std::map<std::string, std::string>& what) -> Result<void> {
      authority_.now = what;
      return {};
    };
    return AcmeClient(http_, key_, std::move(options));
  }
  Authority authority_;
  FakeClientHttp http_{[this](const ClientRequest& request) { return authority_.Answer(request); }};
  AcmeKey key_ = *AcmeKey::Generate();
  std::vector<int64_t> waited_;
  int waits_ = 1000;
};

TEST_F(AcmeClientTest, AnOrderGoesFromBeginToEnd) {
  AcmeClient client = Client();
  const auto order = client.NewOrder("shop.example");
  ASSERT_TRUE(order.has_value()) << order.error().Render();
  const auto chain = client.Finish(*order, "csr");
  ASSERT_TRUE(chain.has_value()) << chain.error().Render();
  EXPECT_THAT(*chain, HasSubstr("BEGIN CERTIFICATE"));
  EXPECT_EQ(authority_.published,
            (std::map<std::string, std::string>{{"tok-1_A", "tok-1_A." + key_.Thumbprint()}}));
  EXPECT_TRUE(authority_.now.empty());
  EXPECT_THAT(authority_.log,
              ElementsAre("account", "new-order", "order", "authorization", "challenge", "authorization",
                          "authorization", "order", "finalize", "order", "order", "certificate"));
  // As long as the authority asks for.
  EXPECT_EQ(waited_.front(), 3000);
}

TEST_F(AcmeClientTest, NoncesThatAreRefusedAreReplaced) {
  authority_.reject_nonces = 7;
  AcmeClient client = Client();
  ASSERT_TRUE(client.Finish(*client.NewOrder("shop.example"), "csr").has_value());
  EXPECT_EQ(std::count(authority_.log.begin(), authority_.log.end(), "badNonce"), 7);
  authority_.reject_nonces = 1000;
  EXPECT_THAT(client.NewOrder("shop.example").error().message(), HasSubstr("badNonce"));
}

TEST_F(AcmeClientTest, AnOrderThatWasBegunBeforeGoesOnWhereItIs) {
  authority_.order = "ready";
  authority_.authorization = "valid";
  AcmeClient client = Client();
  ASSERT_TRUE(client.Finish(Authority::kBase + "/order", "csr").has_value());
  EXPECT_THAT(authority_.log, ElementsAre("account", "order", "finalize", "order", "order", "certificate"));
  authority_.log.clear();
  AcmeClient third = Client();
  authority_.order = "valid";
  ASSERT_TRUE(third.Finish(Authority::kBase + "/order", "csr").has_value());
  EXPECT_THAT(authority_.log, ElementsAre("account", "order", "order", "certificate"));
  authority_.order = "gone";
  EXPECT_EQ(third.Finish(Authority::kBase + "/order", "csr").error().code(), Code::kNotFound);
}

TEST_F(AcmeClientTest, ARefusalIsToldInTheAuthoritysWordsAndWithItsTime) {
  FakeAnswer refusal = Authority::Problem(429, "rateLimited", "too many certificates for shop.example");
  refusal.headers.emplace("retry-after", "600");
  authority_.refusals.push_back(refusal);
  AcmeClient client = Client();
  const auto refused = client.NewOrder("shop.example");
  EXPECT_EQ(refused.error().code(), Code::kRefused);
  EXPECT_EQ(refused.error().message(),
            "the authority says rateLimited: too many certificates for shop.example (status 429)");
  EXPECT_EQ(client.retry_after(), Milliseconds(600'000));
}

TEST_F(AcmeClientTest, ANameThatIsNotProvenSaysWhyAndNothingStaysPublished) {
  authority_.proves = false;
  AcmeClient client = Client();
  const auto failed = client.Finish(*client.NewOrder("shop.example"), "csr");
  EXPECT_EQ(failed.error().code(), Code::kNotFound);
  EXPECT_THAT(failed.error().message(), HasSubstr("connection: 10.0.0.1: nobody [2J answers"));
  EXPECT_TRUE(authority_.now.empty());
  EXPECT_FALSE(authority_.published.empty());
}

TEST_F(AcmeClientTest, WhatAnAuthorityMustNotSayIsRefused) {
  for (const char* token : {"", "a b", "../x", "a.b", "a\nb"}) {
    authority_ = Authority();
    authority_.token = token;
    AcmeClient client = Client();
    EXPECT_EQ(client.Finish(*client.NewOrder("shop.example"), "csr").error().code(), Code::kRefused) << token;
    EXPECT_TRUE(authority_.now.empty());
  }
  authority_ = Authority();
  authority_.challenge_type = "dns-01";
  AcmeClient client = Client();
  EXPECT_THAT(client.Finish(*client.NewOrder("shop.example"), "csr").error().message(),
              HasSubstr("no http-01 challenge"));
  FakeClientHttp nonsense([](const ClientRequest&) -> Result<FakeAnswer> {
    return FakeAnswer{200, {}, "hello"};
  });
  AcmeClient lost(nonsense, key_, {Authority::kBase + "/dir", "", nullptr, nullptr});
  EXPECT_EQ(lost.NewOrder("shop.example").error().code(), Code::kInvalid);
}

TEST_F(AcmeClientTest, OneThatNeverDecidesIsGivenUpAndOneThatIsNotNeededEndsAtOnce) {
  authority_.polls = 1'000'000;
  AcmeClient client = Client();
  EXPECT_EQ(client.Finish(*client.NewOrder("shop.example"), "csr").error().code(), Code::kTimeout);
  authority_ = Authority();
  waits_ = 0;
  AcmeClient again = Client();
  EXPECT_EQ(again.Finish(*again.NewOrder("shop.example"), "csr").error().code(), Code::kCancelled);
  EXPECT_TRUE(authority_.now.empty());
}

TEST(Acme, RetryAfterIsSecondsOrADate) {
  const WallTime now = *ParseTime("2026-01-01T00:00:00.000Z");
  EXPECT_EQ(ParseRetryAfter("120", now), Milliseconds(120'000));
  EXPECT_EQ(ParseRetryAfter("Thu, 01 Jan 2026 00:01:00 GMT", now), Milliseconds(60'000));
  EXPECT_EQ(ParseRetryAfter("Wed, 31 Dec 2025 00:00:00 GMT", now), Milliseconds(0));
  EXPECT_EQ(ParseRetryAfter("99999999", now), std::chrono::hours(24));
  EXPECT_EQ(ParseRetryAfter("", now), std::nullopt);
  EXPECT_EQ(ParseRetryAfter("soon", now), std::nullopt);
}

}  // namespace
}  // namespace ingot::adapters
