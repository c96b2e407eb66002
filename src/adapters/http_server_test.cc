#include "adapters/http_server.h"

#include <gtest/gtest.h>

#include <thread>

#include "adapters/http_client.h"

namespace ingot::adapters {
namespace {

struct Fixture : testing::Test {
  void SetUp() override {
    directory = std::make_unique<TempDirectory>(*TempDirectory::Make("/tmp", "ingot-http-"));
    socket = directory->path() / "s";
  }
  std::unique_ptr<TempDirectory> directory;
  fs::path socket;
};
using Http = Fixture;

TEST_F(Http, CarriesMethodPathQueryAndBody) {
  auto server = HttpServer::Listen(socket, [](const HttpRequest& request, HttpReply& reply) {
    std::string query;
    for (const auto& [key, value] : request.query) query += key + "=" + value + ";";
    ASSERT_TRUE(
        reply.Send(201, "text/plain", request.method + " " + request.path + " " + query + request.body));
  });
  ASSERT_TRUE(server) << server.error().Render();
  auto answer = HttpClient(socket).Call("PUT", "/v1/a%20b?x=1%262&y", "body");
  ASSERT_TRUE(answer) << answer.error().Render();
  EXPECT_EQ(answer->status, 201);
  EXPECT_EQ(answer->body, "PUT /v1/a b x=1&2;y=;body");
}

TEST_F(Http, StreamsLinesAsTheyCome) {
  auto server = HttpServer::Listen(socket, [](const HttpRequest&, HttpReply& reply) {
    ASSERT_TRUE(reply.Begin(200, "application/jsonl"));
    ASSERT_TRUE(reply.Write("one\ntw"));
    ASSERT_TRUE(reply.Write("o\nthree"));
    ASSERT_TRUE(reply.End());
  });
  std::vector<std::string> lines;
  auto answer = HttpClient(socket).Call("GET", "/", {}, [&](std::string_view line) {
    lines.emplace_back(line);
    return true;
  });
  ASSERT_TRUE(answer) << answer.error().Render();
  EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", "three"}));
}

TEST_F(Http, AFollowerSeesThatItsClientHasGone) {
  std::atomic<bool> noticed{false};
  auto server = HttpServer::Listen(socket, [&](const HttpRequest&, HttpReply& reply) {
    ASSERT_TRUE(reply.Begin(200, "text/plain"));
    ASSERT_TRUE(reply.Write("first\n"));
    for (int i = 0; i < 1000 && !reply.Gone(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    noticed = reply.Gone();
  });
  ASSERT_TRUE(HttpClient(socket).Call("GET", "/", {}, [](std::string_view) { return false; }));
  (*server)->Stop();
  EXPECT_TRUE(noticed);
}

TEST_F(Http, ASecondDaemonOnTheSameSocketIsRefused) {
  auto server = HttpServer::Listen(socket, [](const HttpRequest&, HttpReply&) {});
  auto second = HttpServer::Listen(socket, [](const HttpRequest&, HttpReply&) {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kConflict);
}

TEST_F(Http, AMissingDaemonIsUnavailable) {
  auto answer = HttpClient(socket).Call("GET", "/");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), Code::kUnavailable);
}

}  // namespace
}  // namespace ingot::adapters
