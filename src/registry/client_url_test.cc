#include "registry/client_url.h"

#include <gtest/gtest.h>

namespace ingot::registry {
namespace {

TEST(ClientUrl, ParseAndRenderAreInverses) {
  for (const std::string text :
       {"https://registry.example/", "https://registry.example:5000/v2/",
        "http://127.0.0.1:5000/v2/a?b=c&d=%20", "https://[2001:db8::1]:8443/x", "http://[::1]/"}) {
    const auto url = ClientUrl::Parse(text);
    ASSERT_TRUE(url) << text << ": " << url.error().Render();
    EXPECT_EQ(url->Render(), text);
  }
  EXPECT_EQ(ClientUrl::Parse("HTTPS://Registry.Example:443")->Render(), "https://registry.example/");
  EXPECT_EQ(ClientUrl::Parse("https://a.example?x=1#part")->Render(), "https://a.example/?x=1");
}

TEST(ClientUrl, RefusesWhatIsNone) {
  for (const std::string text :
       {"", "registry.example", "ftp://x/", "file:///etc/passwd", "https://", "https:///x", "https://a b/",
        "https://user:secret@a.example/", "https://a.example:0/", "https://a.example:65536/",
        "https://a.example:/", "https://a.example:x/", "https://[::1/", "https://[]/", "https://[::1]x/",
        "https://a.example/\r\nX: y", "https://a.example\\@b.example/", "gopher://127.0.0.1:6379/_"}) {
    const auto url = ClientUrl::Parse(text);
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().code(), Code::kInvalid);
    EXPECT_EQ(url.error().message().find("secret"), std::string::npos) << "a password in a message";
  }
  EXPECT_FALSE(ClientUrl::Parse("https://a.example/" + std::string(20'000, 'x')));
}

TEST(ClientUrl, ResolvesAsALocationHeaderMeans) {
  const ClientUrl base = *ClientUrl::Parse("https://a.example:5000/v2/x/blobs/y?z=1");
  const auto to = [&](const std::string& location) {
    const auto url = base.Resolve(location);
    return url ? url->Render() : "none";
  };
  EXPECT_EQ(to("https://b.example/k"), "https://b.example/k");
  EXPECT_EQ(to("//b.example/k"), "https://b.example/k");
  EXPECT_EQ(to("/k?l=m"), "https://a.example:5000/k?l=m");
  EXPECT_EQ(to("k"), "https://a.example:5000/v2/x/blobs/k");
  EXPECT_EQ(to("?k=1"), "https://a.example:5000/v2/x/blobs/y?k=1");
  EXPECT_EQ(to("/k?u=http://c.example/"), "https://a.example:5000/k?u=http://c.example/");
  EXPECT_EQ(to("file:///etc/passwd"), "none");
}

TEST(ClientUrl, LoopbackIsAnAddressNotAName) {
  for (const char* host : {"localhost", "127.0.0.1", "127.255.0.9", "[::1]"})
    EXPECT_TRUE(IsLoopbackHost(host)) << host;
  for (const char* host : {"127.0.0.1.evil.example", "localhost.evil.example", "128.0.0.1", "127.0.0",
                           "127.0.0.256", "127.0.0.1.1", "[::2]", "0.0.0.0", "", "127..0.1", "127.0.0.0001"})
    EXPECT_FALSE(IsLoopbackHost(host)) << host;
  EXPECT_TRUE(RequireSecure(*ClientUrl::Parse("http://127.0.0.1/"), "x"));
  EXPECT_EQ(RequireSecure(*ClientUrl::Parse("http://a.example/"), "x").error().code(), Code::kRefused);
  EXPECT_EQ(EncodeQueryValue("repository:a/b:pull"), "repository%3Aa%2Fb%3Apull");
}

}  // namespace
}  // namespace ingot::registry
