#include "adapters/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/subprocess.h"

namespace ingot::adapters {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CertificateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = TempDirectory::Make("/tmp", "ingot-certificate-test-");
    ASSERT_TRUE(made) << made.error().Render();
    directory_ = std::make_unique<TempDirectory>(std::move(*made));
  }
  fs::path At(const std::string& name) const { return directory_->path() / name; }
  // A certificate NAME.crt with its key NAME.key.
  void Make(const std::string& name, const std::string& alternatives) {
    Command command;
    command.argv = {"openssl",
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:prime256v1",
                    "-nodes",
                    "-keyout",
                    At(name + ".key"),
                    "-out",
                    At(name + ".crt"),
                    "-days",
                    "10",
                    "-subj",
                    "/CN=Common.Example"};
    if (!alternatives.empty()) {
      command.argv.emplace_back("-addext");
      command.argv.push_back("subjectAltName=" + alternatives);
    }
    auto run = RunChecked(command, std::chrono::seconds(30));
    ASSERT_TRUE(run) << run.error().Render();
  }
  std::unique_ptr<TempDirectory> directory_;
};

TEST_F(CertificateTest, HasNamesTimesAndOnePem) {
  Make("a", "DNS:Shop.example,DNS:*.shop.example,IP:127.0.0.1");
  const auto loaded = LoadCertificate(At("a.crt"), At("a.key"));
  ASSERT_TRUE(loaded) << loaded.error().Render();
  EXPECT_THAT(loaded->names, ElementsAre("shop.example", "*.shop.example"));
  EXPECT_THAT(loaded->pem, HasSubstr("-----BEGIN CERTIFICATE-----"));
  EXPECT_THAT(loaded->pem, HasSubstr("-----BEGIN PRIVATE KEY-----"));
  EXPECT_EQ(std::chrono::duration_cast<std::chrono::hours>(loaded->ends - loaded->begins).count(), 240);
  Make("b", "");
  const auto common = LoadCertificate(At("b.crt"), At("b.key"));
  ASSERT_TRUE(common);
  EXPECT_THAT(common->names, ElementsAre("common.example"));
}

TEST_F(CertificateTest, WhatDoesNotBelongTogetherIsRefused) {
  Make("a", "");
  Make("b", "");
  const auto mixed = LoadCertificate(At("a.crt"), At("b.key"));
  ASSERT_FALSE(mixed);
  EXPECT_EQ(mixed.error().code(), Code::kInvalid);
  EXPECT_THAT(mixed.error().Render(), HasSubstr("is the key of another certificate"));
  EXPECT_THAT(LoadCertificate(At("a.key"), At("a.key")).error().Render(),
              HasSubstr("is no certificate in PEM"));
  EXPECT_THAT(LoadCertificate(At("a.crt"), At("a.crt")).error().Render(),
              HasSubstr("is no private key in PEM"));
  EXPECT_EQ(LoadCertificate(At("none"), At("a.key")).error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace ingot::adapters
