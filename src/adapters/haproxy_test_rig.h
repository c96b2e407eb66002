// For tests: a router namespace of its own, servers that answer with their name, and clients.
#pragma once

#include <gtest/gtest.h>

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

// A router below a directory that HAProxy's user cannot enter, as a root below /root would be.
class RouterRig {
 public:
  static constexpr uint16_t kPort = 8080;  // of every server

  RouterRig();
  ~RouterRig();
  HaproxyOptions Options() const;
  // The next daemon, where there is one.
  void Open();
  void Close() { router_.reset(); }

  HaproxyRouter& router() { return *router_; }
  std::string Listen() { return "127.0.0.1:" + std::to_string(FreePort()); }
  // A server whose name is the instance's.
  platform::Server Serve(const platform::InstanceId& instance) { return Serve(instance, instance.Render()); }
  platform::Server Serve(const platform::InstanceId& instance, const std::string& name);
  TestServer& server(size_t i) { return *servers_[i]; }
  void EndServer(size_t i) { servers_[i].reset(); }
  std::string Asker() { return "127.0.2." + std::to_string(++used_); }
  std::optional<platform::InstanceId> Request(const std::string& listen) { return Who(Client(listen).Ask()); }
  std::optional<platform::InstanceId> RequestFrom(const std::string& address, const std::string& service);
  // Who has answered, by his name.
  static std::optional<platform::InstanceId> Who(const Answer& answer);
  static TestClient Client(const std::string& listen);
  int network_namespace() const { return namespace_.get(); }
  const fs::path& directory() const { return directory_->path(); }

 private:
  std::unique_ptr<TempDirectory> directory_;
  Fd namespace_;
  std::unique_ptr<HaproxyRouter> router_;
  std::vector<std::unique_ptr<TestServer>> servers_;
  int used_ = 0;
};

// One service, `web`, that two fleets have an instance of.
class WebRouterTest : public ::testing::Test {
 protected:
  static platform::FleetId Web(int n);
  static platform::Topology::Service Service();
  std::string Listen() const { return "127.0.0.1:" + std::to_string(port_); }
  // `web` as it is given, behind the listener.
  platform::Topology Declared(platform::Topology::Service web) const;
  // That topology, and a server of each fleet.
  void Serve(const platform::Topology& topology, const std::string& first = "1",
             const std::string& second = "2");
  // Which server, by its name, answers a request with this header; "" none.
  std::string Side(const std::string& header) const;
  HaproxyRouter& router() { return rig_.router(); }

  const platform::EnvironmentId kShop{"shop", "local"};
  RouterRig rig_;
  uint16_t port_ = FreePort();
};

}  // namespace ingot::adapters::test
