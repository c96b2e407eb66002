#include "adapters/registry_server.h"

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <thread>

#include "store/store_fixture.h"

namespace ingot::adapters {
namespace {

using store::Must;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

class RegistryServerTest : public store::StoreTest {
 protected:
  void SetUp() override { Start(); }
  void Start() {
    server_.reset();
    registry_.reset();
    registry_ = Must(registry::Registry::Open(*store_, clock_, {root_ / "tmp" / "uploads", {}, false}));
    options_.listen = Must(TcpAddress::Parse("127.0.0.1:0"));
    server_ = Must(RegistryServer::Listen(options_, *registry_));
  }
  Fd Connect() {
    Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const TcpAddress address = server_->address();
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.address), address.size), 0);
    return fd;
  }
  static void Say(const Fd& fd, std::string_view bytes) { Must(WriteAll(fd.get(), bytes)); }
  // Until the other end closes, or `enough` has come.
  static std::string Hear(const Fd& fd, const std::string& enough = "\n never") {
    std::string heard;
    char buffer[65536];
    struct pollfd ready = {fd.get(), POLLIN, 0};
    while (heard.find(enough) == std::string::npos && ::poll(&ready, 1, 10'000) > 0) {
      const ssize_t n = ::recv(fd.get(), buffer, sizeof buffer, 0);
      if (n <= 0) return heard + "<closed>";
      heard.append(buffer, static_cast<size_t>(n));
    }
    return heard;
  }
  static std::string Get(const std::string& path, const std::string& more = "") {
    return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + more + "\r\n";
  }
  static std::string Post(const std::string& content, const std::string& more = "") {
    return "POST /v2/a/blobs/uploads/?digest=" + oci::Digest::Of(content).Render() +
           " HTTP/1.1\r\nHost: x\r\n" + more;
  }

  RegistryServer::Options options_;
  std::unique_ptr<registry::Registry> registry_;
  std::unique_ptr<RegistryServer> server_;
};

TEST_F(RegistryServerTest, AnswersOneRequestAfterAnotherAlsoWhenTheyComeTogether) {
  const Fd fd = Connect();
  Say(fd, Get("/v2/"));
  EXPECT_THAT(Hear(fd, "{}"), StartsWith("HTTP/1.1 200 OK\r\nDate: "));
  Say(fd, Get("/v2/") + Post("hello", "Content-Length: 5\r\n\r\nhello") +
              Get("/v2/a/blobs/" + oci::Digest::Of("hello").Render(), "Connection: close\r\n"));
  const std::string heard = Hear(fd);
  EXPECT_THAT(heard, HasSubstr("201 Created"));
  EXPECT_THAT(heard, EndsWith("Connection: close\r\n\r\nhello<closed>"));
}

TEST_F(RegistryServerTest, AHeadInPiecesAndABodyInChunks) {
  const Fd fd = Connect();
  const std::string request =
      Post("hello, world", "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n") +
      Get("/v2/");
  for (const char c : request) {
    Say(fd, std::string_view(&c, 1));
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  EXPECT_THAT(Hear(fd, "{}"), StartsWith("HTTP/1.1 201 Created"));
}

TEST_F(RegistryServerTest, LargeChunkedBodies) {
  std::string content;
  for (int i = 0; content.size() < size_t{5} << 20; ++i) content += std::to_string(i);
  std::string request = Post(content, "Transfer-Encoding: chunked\r\n\r\n");
  size_t size = 1;
  for (size_t at = 0; at < content.size(); at += size, size = size * 3 % 100'003) {
    char line[20];
    const std::string piece = content.substr(at, size);
    std::snprintf(line, sizeof line, "%zx\r\n", piece.size());
    request += line + piece + "\r\n";
  }
  const Fd fd = Connect();
  Say(fd, request + "0\r\n\r\n");
  EXPECT_THAT(Hear(fd, "\r\n\r\n"), StartsWith("HTTP/1.1 201 Created"));
  Say(fd, Get("/v2/a/blobs/" + oci::Digest::Of(content).Render(), "Connection: close\r\n"));
  const std::string heard = Hear(fd);
  EXPECT_TRUE(heard.ends_with(content + "<closed>"));
}

TEST_F(RegistryServerTest, ContinueIsSaidToWhoeverWaitsForIt) {
  const Fd fd = Connect();
  Say(fd, Post("hello", "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"));
  EXPECT_EQ(Hear(fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  Say(fd, "hello");
  EXPECT_THAT(Hear(fd, "\r\n\r\n"), StartsWith("HTTP/1.1 201 Created"));
  // To whom is refused, the answer, at once.
  Say(fd, "PUT /v2/A/manifests/v HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_THAT(Hear(fd, "}"), StartsWith("HTTP/1.1 400 Bad Request"));
}

TEST_F(RegistryServerTest, ABodyThatIsNotWantedIsReadAndTheConnectionStays) {
  const Fd fd = Connect();
  Say(fd, "PUT /v2/A/manifests/v HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" +
              std::string(100'000, 'x') + Get("/v2/"));
  const std::string heard = Hear(fd, "\r\n\r\n{}");
  EXPECT_THAT(heard, StartsWith("HTTP/1.1 400 Bad Request"));
  EXPECT_THAT(heard, HasSubstr("HTTP/1.1 200 OK"));
}

TEST_F(RegistryServerTest, WhatIsNoHttpIsRefused) {
  for (const std::string& request :
       {std::string("nonsense\r\n\r\n"), std::string("GET /v2/ HTTP/1.1\r\nContent-Length: x\r\n\r\n"),
        std::string("POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        std::string("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n"),
        Post("x", "Transfer-Encoding: chunked\r\n\r\nzz\r\n")}) {
    const Fd fd = Connect();
    Say(fd, request);
    ::shutdown(fd.get(), SHUT_WR);
    EXPECT_THAT(Hear(fd), StartsWith("HTTP/1.1 400 Bad Request")) << request;
  }
  const Fd fd = Connect();
  Say(fd, "GET /v2/ HTTP/1.1\r\nX: " + std::string(20'000, 'x'));
  ::shutdown(fd.get(), SHUT_WR);
  EXPECT_THAT(Hear(fd), StartsWith("HTTP/1.1 431 "));
}

TEST_F(RegistryServerTest, SlowClientsAreCutOff) {
  options_.idle = options_.head = options_.stall = std::chrono::milliseconds(300);
  Start();
  const Fd idle = Connect();
  const Fd head = Connect();
  const Fd body = Connect();
  Say(head, "GET /v2/ HT");
  Say(body, Post("hello", "Content-Length: 5\r\n\r\nhel"));
  EXPECT_EQ(Hear(idle), "<closed>");
  EXPECT_EQ(Hear(head), "<closed>");
  EXPECT_EQ(Hear(body), "<closed>");
}

TEST_F(RegistryServerTest, MoreConnectionsThanThereMayBeWait) {
  options_.connections = 4;
  Start();
  std::vector<Fd> open;
  for (int i = 0; i < 12; ++i) open.push_back(Connect());
  // Idle ones make room after a second.
  for (const Fd& fd : open) {
    Say(fd, Get("/v2/"));
    EXPECT_THAT(Hear(fd, "{}"), testing::AnyOf(StartsWith("HTTP/1.1 200 OK"), "<closed>"));
  }
}

TEST_F(RegistryServerTest, MorePushesThanBuffersAllEnd) {
  const std::string content(3 << 20, 'y');
  std::vector<std::thread> clients;
  std::atomic<int> created{0};
  for (int i = 0; i < 40; ++i) {
    clients.emplace_back([&, i] {
      const std::string mine = content + std::to_string(i);
      const Fd fd = Connect();
      Say(fd, Post(mine, "Content-Length: " + std::to_string(mine.size()) + "\r\n\r\n"));
      Say(fd, mine);
      if (Hear(fd, "\r\n\r\n").starts_with("HTTP/1.1 201")) ++created;
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(created, 40);
}

TEST_F(RegistryServerTest, LayersOfLocalImagesAreMade) {
  store::Lease lease = Must(store_->TakeLease("test"));
  const store::Layer layer = Must(store_->SealLayer(
      store::TreeOf(store_->objects(), {{"big", std::string(9 << 20, 'x')}, {"a", "b"}}), lease));
  Must(store_->SetTag("shop/web", "latest", store::PutImageOf(*store_, lease, {layer})));
  const Fd fd = Connect();
  Say(fd, Get("/v2/shop/web/blobs/" + layer.diff_id.Render(), "Connection: close\r\n"));
  const std::string heard = Hear(fd);
  const size_t begin = heard.find("\r\n\r\n") + 4;
  EXPECT_EQ(oci::Digest::Of(std::string_view(heard).substr(begin, layer.tar_bytes)), layer.diff_id);
  EXPECT_EQ(heard.size(), begin + layer.tar_bytes + std::string_view("<closed>").size());
}

TEST_F(RegistryServerTest, StopWaitsForNobodyWhoIsIdle) {
  const Fd fd = Connect();
  Say(fd, Get("/v2/"));
  Hear(fd, "{}");
  const auto begin = std::chrono::steady_clock::now();
  server_->Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
  EXPECT_EQ(Hear(fd), "<closed>");
}

TEST(TcpAddressTest, AddressesAndWhoReachesThem) {
  for (const char* text : {"127.0.0.1:5000", "127.9.9.9:1", "[::1]:5000"}) {
    const TcpAddress address = Must(TcpAddress::Parse(text));
    EXPECT_EQ(address.Render(), text);
    EXPECT_TRUE(address.IsLoopback()) << text;
  }
  EXPECT_EQ(Must(TcpAddress::Parse("localhost:80")).Render(), "127.0.0.1:80");
  EXPECT_EQ(Must(TcpAddress::Parse(":80")).Render(), "0.0.0.0:80");
  for (const char* text : {":80", "10.0.0.1:80", "[::]:80"})
    EXPECT_FALSE(Must(TcpAddress::Parse(text)).IsLoopback()) << text;
  for (const char* text :
       {"", "5000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "host:80", "[::1:80", "1.2.3:4"})
    EXPECT_EQ(TcpAddress::Parse(text).error().code(), Code::kInvalid) << text;
}

}  // namespace
}  // namespace ingot::adapters
