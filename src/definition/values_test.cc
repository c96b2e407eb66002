// The small languages inside values: listeners, URLs, schedules, names.
#include <gtest/gtest.h>

#include "definition/cron.h"
#include "definition/endpoint_url.h"
#include "definition/listener.h"
#include "definition/scalars.h"

namespace ingot::definition {
namespace {

TEST(Listener, ParsesAndRendersCanonically) {
  const auto canonical = [](std::string_view text) {
    const Result<Listener> listener = Listener::Parse(text);
    return listener ? listener->Render() : "none";
  };
  EXPECT_EQ(canonical(":8000"), ":8000");
  EXPECT_EQ(canonical("0.0.0.0:8000"), ":8000");
  EXPECT_EQ(canonical("[::]:8000"), "[::]:8000");
  EXPECT_EQ(canonical("[0::0]:8000"), "[::]:8000");
  EXPECT_EQ(canonical("127.0.0.1:80"), "127.0.0.1:80");
  EXPECT_EQ(canonical("[0:0::1]:80"), "[::1]:80");
  for (const char* bad :
       {"", ":", "8000", ":0", ":65536", ":080", ":80 ", "localhost:80", "::1:80", "1.2.3:80",
        "[127.0.0.1]:80", "[]:80", ":+80", "127.0.0.1", "[::ffff:127.0.0.1]:80", "[fe80::1%lo]:80"})
    EXPECT_EQ(canonical(bad), "none") << bad;
}

TEST(Listener, ConflictsWhenBothCannotBeOpen) {
  const auto conflict = [](std::string_view a, std::string_view b) {
    return Listener::Parse(a)->ConflictsWith(*Listener::Parse(b));
  };
  EXPECT_TRUE(conflict(":80", "127.0.0.1:80"));
  EXPECT_TRUE(conflict("127.0.0.1:80", ":80"));
  EXPECT_TRUE(conflict("[::1]:80", "[::1]:80"));
  EXPECT_FALSE(conflict("127.0.0.1:80", "127.0.0.2:80"));
  EXPECT_FALSE(conflict(":80", ":81"));
  EXPECT_TRUE(conflict("[::]:80", "[::1]:80"));
  EXPECT_TRUE(conflict("[::1]:80", "[::]:80"));
  EXPECT_FALSE(conflict("[::1]:80", "[::2]:80"));
  EXPECT_FALSE(conflict("[::]:80", ":80"));
  EXPECT_FALSE(conflict(":80", "[::1]:80"));
}

TEST(EndpointUrl, HasHostPortAndTls) {
  const auto parsed = [](std::string_view text) {
    const Result<EndpointUrl> url = EndpointUrl::Parse(text);
    return url ? url->scheme + " " + url->host + " " + std::to_string(url->port) + (url->tls ? " tls" : "")
               : "none";
  };
  EXPECT_EQ(parsed("https://API.example/x?y"), "https api.example 443 tls");
  EXPECT_EQ(parsed("postgres://shop@db.internal/shop"), "postgres db.internal 5432");
  EXPECT_EQ(parsed("rediss://cache:7000"), "rediss cache 7000 tls");
  EXPECT_EQ(parsed("tcp://10.0.0.1:99"), "tcp 10.0.0.1 99");
  EXPECT_EQ(parsed("http://[2001:db8::1]:8080"), "http 2001:db8::1 8080");
  EXPECT_EQ(parsed("odd://x:1"), "odd x 1");
  for (const char* bad : {"", "db.internal", "http://", "http:///path", "tcp://host", "odd://x", "http://x:0",
                          "http://x:65536", "http://a b", "http://-x", "http://u:p@x", "http://u:@x",
                          "mailto:a@b", "file:///etc/passwd", "http://x%00y/"})
    EXPECT_EQ(parsed(bad), "none") << bad;
}

TEST(EndpointUrl, DoesNotRepeatAPassword) {
  const Result<EndpointUrl> url = EndpointUrl::Parse("https://user:hunter2@x");
  ASSERT_FALSE(url.has_value());
  EXPECT_EQ(url.error().message().find("hunter2"), std::string::npos);
}

TEST(Cron, TakesWhatCrontabTakes) {
  for (const char* good :
       {"0 3 * * *", "*/5 * * * *", "0-30/10 1,2,3 1-7 jan-MAR mon-fri", "59 23 31 12 7", "0 0  1 1 sun"})
    EXPECT_TRUE(CheckCron(good).has_value()) << good;
  for (const char* bad : {"", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *",
                          "* * * * 8", "*/0 * * * *", "5-1 * * * *", "a * * * *", "5/2 * * * *",
                          "1,, * * * *", "@daily", "* * * foo *", "1-2-3 * * * *", "-1 * * * *"})
    EXPECT_FALSE(CheckCron(bad).has_value()) << bad;
  EXPECT_EQ(CheckCron("0 25 * * *").error().message(), "\"25\" is not a hour (0 to 23, *, a-b, */n)");
}

TEST(Names, Rules) {
  EXPECT_TRUE(IsName("a-1"));
  EXPECT_TRUE(IsName(std::string(40, 'a')));
  for (const char* bad : {"", "A", "1a", "-a", "a-", "a_b", "a.b", "a/b"}) EXPECT_FALSE(IsName(bad)) << bad;
  EXPECT_FALSE(IsName(std::string(41, 'a')));
  EXPECT_TRUE(IsAbsolutePath("/"));
  EXPECT_TRUE(IsAbsolutePath("/var/cache"));
  for (const char* bad : {"", "a", "/a/", "//a", "/a//b", "/./a", "/a/..", "/../etc"})
    EXPECT_FALSE(IsAbsolutePath(bad)) << bad;
  EXPECT_TRUE(IsHostName("db.internal"));
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "-a", "A", "a b"})
    EXPECT_FALSE(IsHostName(bad)) << bad;
  EXPECT_TRUE(IsUser("app"));
  EXPECT_TRUE(IsUser("1000:1000"));
  for (const char* bad : {"", ":", "a:", ":a", "a:b:c", "a b", "-a"}) EXPECT_FALSE(IsUser(bad)) << bad;
  EXPECT_TRUE(IsSignal("SIGRTMIN+3"));
  EXPECT_TRUE(IsSignal("SIGRTMIN+30"));
  for (const char* bad : {"TERM", "SIGSTOP", "SIGRTMIN+31", "SIGRTMIN+", "SIGRTMIN+1x"})
    EXPECT_FALSE(IsSignal(bad)) << bad;
  EXPECT_TRUE(IsCapability("NET_BIND_SERVICE"));
  EXPECT_FALSE(IsCapability("CAP_CHOWN"));
}

}  // namespace
}  // namespace ingot::definition
