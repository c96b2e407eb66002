// Answers of instances to copies, in pieces of any size.
#include "adapters/mirror_answer.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ingot::adapters {
namespace {

using State = MirrorAnswer::State;

std::string Capitals(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

struct Read {
  State state = State::kMore;
  int status = 0;
  std::string body;
};
Read ReadAll(const std::string& text, size_t piece, bool end = false, bool has_body = true) {
  MirrorAnswer answer(has_body);
  Read out;
  for (size_t at = 0; at < text.size() && out.state == State::kMore; at += piece)
    out.state = answer.Feed(std::string_view(text).substr(at, piece));
  if (end && out.state == State::kMore) out.state = answer.End();
  out.status = answer.status();
  if (out.state == State::kDone) out.body = answer.BodySha256();
  return out;
}

TEST(MirrorAnswer, BodiesInEachFramingAreTheSameBody) {
  const std::string hello = Capitals(Sha256Hex("hello"));
  for (const size_t piece : {1, 2, 3, 7, 1000}) {
    const Read length = ReadAll("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", piece);
    EXPECT_EQ(length.state, State::kDone);
    EXPECT_EQ(length.status, 200);
    EXPECT_EQ(length.body, hello);
    const Read chunked = ReadAll(
        "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nT: 1\r\n\r\n",
        piece);
    EXPECT_EQ(chunked.state, State::kDone);
    EXPECT_EQ(chunked.status, 404);
    EXPECT_EQ(chunked.body, hello);
    const Read until = ReadAll("HTTP/1.0 200 OK\r\n\r\nhello", piece, true);
    EXPECT_EQ(until.state, State::kDone);
    EXPECT_EQ(until.body, hello);
  }
}

TEST(MirrorAnswer, NoBodyIsOverWithItsHead) {
  const std::string none = Capitals(Sha256Hex(""));
  EXPECT_EQ(ReadAll("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 100, false, false).body, none);
  EXPECT_EQ(ReadAll("HTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n", 100).body, none);
  EXPECT_EQ(ReadAll("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 100).body, none);
}

TEST(MirrorAnswer, AnInterimAnswerIsNotTheAnswer) {
  const Read read = ReadAll("HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", 5);
  EXPECT_EQ(read.state, State::kDone);
  EXPECT_EQ(read.status, 500);
}

TEST(MirrorAnswer, WhatIsCutOrNoHttpIsNoAnswer) {
  EXPECT_EQ(ReadAll("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", 100, true).state, State::kMalformed);
  EXPECT_EQ(ReadAll("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", 100, true).state,
            State::kMalformed);
  EXPECT_EQ(ReadAll("HTTP/1.1 200", 100, true).state, State::kMalformed);
  EXPECT_EQ(ReadAll("SSH-2.0-OpenSSH\r\n\r\n", 3).state, State::kMalformed);
  EXPECT_EQ(ReadAll("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 100).state,
            State::kMalformed);
  EXPECT_EQ(ReadAll("HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x'), 1000).state, State::kMalformed);
}

TEST(MirrorAnswer, ALargeBodyIsNeitherKeptNorReadForEver) {
  EXPECT_EQ(ReadAll("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + std::string(9'000, 'x'), 1000).body,
            "");
  const Read endless = ReadAll("HTTP/1.1 200 OK\r\n\r\n" + std::string(2'000'000, 'x'), 1000);
  EXPECT_EQ(endless.state, State::kDone);
  EXPECT_EQ(endless.body, "");
}

}  // namespace
}  // namespace ingot::adapters
