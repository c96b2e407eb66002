#include "adapters/tcp_reach.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cstring>

#include "adapters/tcp_address.h"

namespace ingot::adapters {
namespace {

using testing::HasSubstr;

uint16_t PortOf(const TcpAddress& address) {
  sockaddr_in v4{};
  std::memcpy(&v4, &address.address, sizeof v4);
  return ntohs(v4.sin_port);
}

TEST(TcpReach, SaysWhoTakesConnections) {
  Fd server = *ListenTcp(*TcpAddress::Parse("127.0.0.1:0"));
  const uint16_t port = PortOf(*BoundAddress(server.get()));
  EXPECT_TRUE(TakesConnections("127.0.0.1", port, Milliseconds(5000)));
  // One address of a name is enough; ::1 is often the first of them.
  EXPECT_TRUE(TakesConnections("localhost", port, Milliseconds(5000)));
  server.reset();
  const auto closed = TakesConnections("127.0.0.1", port, Milliseconds(5000));
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().code(), Code::kUnavailable);
  EXPECT_EQ(closed.error().message(), "Connection refused");
}

TEST(TcpReach, WaitsForNoAnswerAndNoName) {
  // With its queue full the kernel answers nobody.
  const Fd server = *ListenTcp(*TcpAddress::Parse("127.0.0.1:0"));
  ASSERT_EQ(::listen(server.get(), 0), 0);
  const TcpAddress address = *BoundAddress(server.get());
  std::vector<Fd> waiting;
  for (int i = 0; i < 8; ++i) {
    waiting.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    static_cast<void>(::connect(waiting.back().get(),
                                reinterpret_cast<const struct sockaddr*>(&address.address), address.size));
  }
  const auto silent = TakesConnections("127.0.0.1", PortOf(address), Milliseconds(200));
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().code(), Code::kUnavailable);
  EXPECT_EQ(silent.error().message(), "no answer within 200ms");

  const auto nobody = TakesConnections("no-such-host.invalid", 80, Milliseconds(20000));
  ASSERT_FALSE(nobody);
  EXPECT_THAT(nobody.error().message(), HasSubstr("no-such-host.invalid"));
}

// "Could not look" is not "takes none".
TEST(TcpReach, SaysWhenItCouldNotLook) {
  struct rlimit former {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &former), 0);
  const struct rlimit none { 0, former.rlim_max };
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto unknown = TakesConnections("127.0.0.1", 80, Milliseconds(5000));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &former), 0);
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().code(), Code::kUnavailable);
  EXPECT_NE(unknown.error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace ingot::adapters
