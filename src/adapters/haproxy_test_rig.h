// For tests: a router namespace of its own, servers that answer with their name, and clients.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "adapters/haproxy.h"
#include "base/file.h"
#include "base/result.h"

namespace ingot::adapters::test {

// A network namespace with loopback and 198.18.0.0/15 local; it goes with its last descriptor.
Result<Fd> MakeRouterNamespace();
// Runs `f` on a thread inside the namespace (-1: here).
void Inside(int network_namespace, const std::function<void()>& f);
// A TCP port of 127.0.0.1 that nobody listens on now.
uint16_t FreePort();

// An HTTP server that answers each request with its name and the number of body bytes, and closes. Its port
// is the same for all.
class TestServer {
 public:
  TestServer(int network_namespace, const std::string& address, uint16_t port, std::string name);
  ~TestServer();
  std::atomic<int> delay_ms{0};
  std::atomic<int> status{200};
  std::atomic<uint64_t> served{0};

 private:
  void Work(int network_namespace);
  std::string name_;
  Fd listener_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

struct Answer {
  int status = 0;    // 0: none
  int error = 0;     // errno of connect
  std::string body;  // without the trailing newline
  std::string head;  // in small letters
};

// A keep-alive connection; reconnects when the server has said that it closes.
class TestClient {
 public:
  TestClient(std::string address, uint16_t port, std::string source = "");
  // Sent with every request: "X-User: bob".
  void SetHeader(std::string header) { header_ = std::move(header) + "\r\n"; }
  // One request; a body makes it a POST.
  Answer Ask(size_t body_bytes = 0, int timeout_ms = 10000);

 private:
  std::string address_;
  uint16_t port_;
  std::string source_;
  std::string header_;
  Fd fd_;
};

}  // namespace ingot::adapters::test
