#include "adapters/registry_trust.h"

#include <gtest/gtest.h>

namespace ingot::adapters {
namespace {

TEST(RegistryTrust, AddsTheAuthoritiesOfOneRegistryToTheSystems) {
  const TempDirectory directory = *TempDirectory::Make("/tmp", "ingot-trust-");
  const fs::path certs = directory.path() / "certs.d";
  const fs::path one = certs / "registry.example:5000";
  ASSERT_TRUE(MakeDirectories(one));
  ASSERT_TRUE(WriteFileAtomic(directory.path() / "system.pem", "SYSTEM"));
  ASSERT_TRUE(WriteFileAtomic(one / "ca.crt", "ONE"));
  ASSERT_TRUE(WriteFileAtomic(one / "client.cert", "ours"));
  RegistryTrustSource source({directory.path() / "system.pem", {directory.path() / "missing", certs}});
  const auto trust = source.Find("registry.example:5000");
  ASSERT_TRUE(trust) << trust.error().Render();
  EXPECT_EQ(trust->authorities, "SYSTEM\nONE\n");
  EXPECT_EQ(trust->certificate, one / "client.cert");
  EXPECT_EQ(trust->key, one / "client.key");
  const auto other = source.Find("registry.example");
  ASSERT_TRUE(other);
  EXPECT_EQ(other->authorities, "SYSTEM\n") << "another port is another registry";
  EXPECT_TRUE(other->certificate.empty());
  EXPECT_EQ(RegistryTrustSource({"", {certs}}).Find("a.example")->authorities, "") << "the library's own";
  EXPECT_EQ(RegistryTrustSource({directory.path() / "none", {certs}}).Find("a.example").error().code(),
            Code::kNotFound);
}

}  // namespace
}  // namespace ingot::adapters
