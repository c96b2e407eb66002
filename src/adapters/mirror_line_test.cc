// Lines that HAProxy writes of requests, and the requests that copy them.
#include "adapters/mirror_line.h"

#include <gtest/gtest.h>

namespace ingot::adapters {
namespace {

// "GET /c?a=1|2" with "host: x\r\nconnection: keep-alive\r\naccept: */*\r\n\r\n".
std::string MirrorLineOf(const std::string& method, const std::string& headers, const std::string& body,
                         const std::string& rest) {
  return "1|b:o:0:3:1:1000|200|--|7|" + method + "|L2M/YT0xfDI=|" + headers + "|" + body + "|" + rest + "\n";
}
constexpr const char* kHeaders = "aG9zdDogeA0KY29ubmVjdGlvbjoga2VlcC1hbGl2ZQ0KYWNjZXB0OiAqLyoNCg0K";
// The same with "content-length: 10".
constexpr const char* kWithLength = "aG9zdDogeA0KY29udGVudC1sZW5ndGg6IDEwDQoNCg==";

TEST(MirrorLine, SaysWhatWasAskedAndAnswered) {
  const auto line = MirrorLine::Parse(MirrorLineOf("GET", kHeaders, "-", "10.0.0.9|5|5|2CF24D"));
  ASSERT_TRUE(line);
  EXPECT_EQ(line->route, "b:o:0:3:1:1000");
  EXPECT_EQ(line->status, 200);
  EXPECT_TRUE(line->whole);
  EXPECT_EQ(line->ms, 7u);
  EXPECT_EQ(line->body_sha256, "2CF24D");
  EXPECT_EQ(line->Name(), "GET /c");
  EXPECT_EQ(line->Request(),
            "GET /c?a=1|2 HTTP/1.1\r\nhost: x\r\naccept: */*\r\nX-Forwarded-For: 10.0.0.9\r\n"
            "X-Ingot-Shadow: 1\r\nConnection: close\r\n\r\n");
}

TEST(MirrorLine, ABodyGoesWithItOnlyWhole) {
  const auto line = MirrorLine::Parse(MirrorLineOf("POST", kWithLength, "aGVsbG8gYm9keQ==", "-|5|5|2CF24D"));
  ASSERT_TRUE(line);
  EXPECT_EQ(line->Request(),
            "POST /c?a=1|2 HTTP/1.1\r\nhost: x\r\nContent-Length: 10\r\nX-Ingot-Shadow: 1\r\n"
            "Connection: close\r\n\r\nhello body");
  const auto without = MirrorLine::Parse(MirrorLineOf("POST", kWithLength, "-", "-|5|5|2CF24D"));
  ASSERT_TRUE(without);
  EXPECT_FALSE(without->Request());
}

TEST(MirrorLine, NothingInItBeginsAnotherRequest) {
  EXPECT_FALSE(MirrorLine::Parse(MirrorLineOf("GET / HTTP/1.1\r\n\r\nGET", kHeaders, "-", "-|5|5|2CF24D")));
  // "a: b\nc: d\r\n\r\n"
  const auto line = MirrorLine::Parse(MirrorLineOf("GET", "YTogYgpjOiBkDQoNCg==", "-", "-|5|5|2CF24D"));
  ASSERT_TRUE(line);
  EXPECT_FALSE(line->Request());
}

TEST(MirrorLine, WhatCouldNotBeWrittenDownIsNotCopied) {
  const auto line = MirrorLine::Parse(MirrorLineOf("GET", "-", "-", "-|5|5|2CF24D"));
  ASSERT_TRUE(line);
  EXPECT_FALSE(line->Request());
  // "transfer-encoding: chunked": its body was not kept.
  const auto chunked = MirrorLine::Parse(
      MirrorLineOf("POST", "dHJhbnNmZXItZW5jb2Rpbmc6IGNodW5rZWQNCg0K", "-", "-|5|5|2CF24D"));
  ASSERT_TRUE(chunked);
  EXPECT_FALSE(chunked->Request());
}

TEST(MirrorLine, ABodyThatWasNotWholeIsNotKnown) {
  EXPECT_FALSE(MirrorLine::Parse(MirrorLineOf("GET", kHeaders, "-", "-|5|3|2CF24D"))->body_sha256);
  EXPECT_FALSE(MirrorLine::Parse(MirrorLineOf("GET", kHeaders, "-", "-|300000|-|-"))->body_sha256);
  EXPECT_FALSE(MirrorLine::Parse(MirrorLineOf("GET", kHeaders, "-", "-|-|-|-"))->body_sha256);
  // A HEAD's is empty, whatever its length says.
  EXPECT_TRUE(MirrorLine::Parse(MirrorLineOf("HEAD", kHeaders, "-", "-|300000|-|-"))->body_sha256);
}

TEST(MirrorLine, OtherLinesAreNone) {
  for (const char* text : {"", "1|", "Proxy x started.", "1|-|503|SC|-1|-|-|-|-|-|-|-|-\n",
                           "2|b|200|--|7|GET|Lw==|-|-|-|-|-|-", "1|b|abc|--|7|GET|Lw==|-|-|-|-|-|-"})
    EXPECT_FALSE(MirrorLine::Parse(text)) << text;
  const auto cut = MirrorLine::Parse("1|b|200|CD|7|GET|Lw==|-|-|-|-|-|-");
  ASSERT_TRUE(cut);
  EXPECT_FALSE(cut->whole);
}

}  // namespace
}  // namespace ingot::adapters
