#include "oci/reference.h"

#include <gtest/gtest.h>

namespace ingot::oci {
namespace {

const std::string kDigest = "sha256:" + std::string(64, 'a');

TEST(Reference, ParsesItsParts) {
  const Result<Reference> whole = Reference::Parse("registry.example:5000/team/redis:7.2@" + kDigest);
  ASSERT_TRUE(whole.has_value()) << whole.error().Render();
  EXPECT_EQ(whole->registry, "registry.example:5000");
  EXPECT_EQ(whole->repository, "team/redis");
  EXPECT_EQ(whole->tag, "7.2");
  EXPECT_EQ(whole->digest->Render(), kDigest);
  const Result<Reference> shortest = Reference::Parse("redis");
  ASSERT_TRUE(shortest.has_value());
  EXPECT_EQ(*shortest, (Reference{"", "redis", "", std::nullopt}));
}

TEST(Reference, ParseAndRenderAreInverses) {
  for (const std::string& text :
       {std::string("redis"), std::string("redis:7"), "redis@" + kDigest, "a/b/c:1@" + kDigest,
        std::string("localhost/app"), std::string("localhost:5000/app"), std::string("[::1]:5000/app:x"),
        std::string("127.0.0.1:5000/a__b/c--d/e.f_g:V1.0-rc_1"), std::string("library/redis"),
        std::string("Registry.Example/app")}) {
    const Result<Reference> reference = Reference::Parse(text);
    ASSERT_TRUE(reference.has_value()) << reference.error().Render();
    EXPECT_EQ(reference->Render(), text);
  }
}

TEST(Reference, RefusesAndNamesThePart) {
  const auto part = [](const std::string& text) {
    const Result<Reference> reference = Reference::Parse(text);
    if (reference) return std::string("none");
    EXPECT_EQ(reference.error().code(), Code::kInvalid);
    const std::string& message = reference.error().message();
    const size_t start = message.find("reference: its ") + 15;
    return message.substr(start, message.find(';') - start);
  };
  for (const char* bad :
       {"", "Redis", "a//b", "/a", "a/", "a..b", "a___b", "_a", "a-", "a b", "a:b/c", "../a", "a/../b"})
    EXPECT_EQ(part(bad), std::string(bad) == "a:b/c"  ? "registry"
                         : std::string(bad) == "../a" ? "registry"
                                                      : "repository")
        << bad;
  for (const char* bad : {"a:", "a:-x", "a:.x", "a:b:c", "a:x y"}) EXPECT_EQ(part(bad), "tag") << bad;
  EXPECT_EQ(part("a:" + std::string(129, 'x')), "tag");
  EXPECT_EQ(part(std::string(256, 'a')), "repository");
  for (const char* bad : {"a@", "a@sha256:abc", "a@sha256", "a@b@c"}) EXPECT_EQ(part(bad), "digest") << bad;
  for (const char* bad : {"-x.example/a", "x.example:/a", "x.example:123456/a", "[::1/a", "[xyz]/a", ".x/a"})
    EXPECT_EQ(part(bad), "registry") << bad;
}

TEST(Reference, NormalizedAsDockerReadsShortNames) {
  const auto normalized = [](const std::string& text) {
    return Reference::Parse(text)->Normalized().Render();
  };
  EXPECT_EQ(normalized("redis"), "docker.io/library/redis:latest");
  EXPECT_EQ(normalized("team/redis:7"), "docker.io/team/redis:7");
  EXPECT_EQ(normalized("docker.io/redis"), "docker.io/library/redis:latest");
  EXPECT_EQ(normalized("index.docker.io/library/redis"), "docker.io/library/redis:latest");
  EXPECT_EQ(normalized("redis@" + kDigest), "docker.io/library/redis@" + kDigest);
  EXPECT_EQ(normalized("registry.example/redis"), "registry.example/redis:latest");
}

}  // namespace
}  // namespace ingot::oci
