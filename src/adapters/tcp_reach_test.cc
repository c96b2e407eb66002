#include "adapters/tcp_reach.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/fd.h"

namespace ingot::adapters {
namespace {

using testing::HasSubstr;

// A listener on 127.0.0.1 that nobody accepts from.
class ReachedServer {
 public:
  explicit ReachedServer(int backlog) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    struct sockaddr_in in {};
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof in;
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<struct sockaddr*>(&in), size), 0);
    EXPECT_EQ(::listen(fd_.get(), backlog), 0);
    EXPECT_EQ(::getsockname(fd_.get(), reinterpret_cast<struct sockaddr*>(&in), &size), 0);
    port_ = ntohs(in.sin_port);
  }
  uint16_t port() const { return port_; }
  void Close() { fd_.reset(); }

 private:
  Fd fd_;
  uint16_t port_ = 0;
};

TEST(TcpReach, SaysWhoTakesConnections) {
  ReachedServer server(16);
  EXPECT_TRUE(TakesConnections("127.0.0.1", server.port(), Milliseconds(5000)));
  // The addresses of a name are tried in turn; ::1 is often the first of them.
  EXPECT_TRUE(TakesConnections("localhost", server.port(), Milliseconds(5000)));
  server.Close();
  const auto closed = TakesConnections("127.0.0.1", server.port(), Milliseconds(5000));
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().code(), Code::kUnavailable);
  EXPECT_EQ(closed.error().message(), "Connection refused");
}

TEST(TcpReach, WaitsForNoAnswerAndNoName) {
  // With its queue full the kernel answers nobody.
  ReachedServer server(0);
  std::vector<Fd> waiting;
  for (int i = 0; i < 8; ++i) {
    waiting.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    struct sockaddr_in in {};
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in.sin_port = htons(server.port());
    static_cast<void>(::connect(waiting.back().get(), reinterpret_cast<struct sockaddr*>(&in), sizeof in));
  }
  const auto silent = TakesConnections("127.0.0.1", server.port(), Milliseconds(200));
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().message(), "no answer within 200ms");

  const auto nobody = TakesConnections("no-such-host.invalid", 80, Milliseconds(20000));
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().code(), Code::kNotFound);
  EXPECT_THAT(nobody.error().message(), HasSubstr("no-such-host.invalid"));
}

}  // namespace
}  // namespace ingot::adapters
