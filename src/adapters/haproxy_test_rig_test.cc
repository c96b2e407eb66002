#include "adapters/haproxy_test_rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <functional>

#include "adapters/listeners.h"
#include "base/subprocess.h"
#include "platform/router_contract.h"

namespace ingot::adapters::test {

using platform::InstanceId;

namespace {

struct sockaddr_in AddressOf(const std::string& address, uint16_t port) {
  struct sockaddr_in in {};
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  ::inet_pton(AF_INET, address.c_str(), &in.sin_addr);
  return in;
}

void SetTimeout(const Fd& fd, int ms) {
  struct timeval tv = {ms / 1000, (ms % 1000) * 1000};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
}

// Head and body of one message. False: the stream ended or failed first.
bool ReadMessage(const Fd& fd, std::string& head, std::string& body) {
  std::string data;
  size_t length = 0;
  while (true) {
    const size_t end = data.find("\r\n\r\n");
    if (end != std::string::npos) {
      head = data.substr(0, end);
      for (char& c : head) c = static_cast<char>(::tolower(c));
      const size_t at = head.find("content-length: ");
      length = at == std::string::npos ? 0 : std::stoul(head.substr(at + 16));
      if (data.size() >= end + 4 + length) {
        body = data.substr(end + 4, length);
        return true;
      }
    }
    char buffer[16384];
    const ssize_t n = ::recv(fd.get(), buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data.append(buffer, static_cast<size_t>(n));
  }
}

}  // namespace

void Inside(int network_namespace, const std::function<void()>& f) {
  std::thread([&] {
    if (network_namespace >= 0) ::setns(network_namespace, CLONE_NEWNET);
    f();
  }).join();
}

Result<Fd> MakeRouterNamespace() {
  Result<Fd> made = Error(Code::kInternal, "no thread");
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) < 0)
      made = ErrnoError(errno, "make a network namespace");
    else
      made = OpenFile("/proc/thread-self/ns/net", O_RDONLY);
  }).join();
  if (!made) return made;
  for (const std::vector<std::string>& argv :
       {std::vector<std::string>{"ip", "link", "set", "lo", "up"},
        std::vector<std::string>{"ip", "route", "add", "local", "198.18.0.0/15", "dev", "lo"}}) {
    Command command;
    command.argv = argv;
    command.network_namespace = made->get();
    TRY(RunChecked(command, std::chrono::seconds(5)));
  }
  return made;
}

uint16_t FreePort() {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  struct sockaddr_in in = AddressOf("127.0.0.1", 0);
  socklen_t size = sizeof in;
  ::bind(fd.get(), reinterpret_cast<struct sockaddr*>(&in), size);
  ::getsockname(fd.get(), reinterpret_cast<struct sockaddr*>(&in), &size);
  return ntohs(in.sin_port);
}

TestServer::TestServer(int network_namespace, const std::string& address, uint16_t port, std::string name)
    : name_(std::move(name)) {
  auto opened = OpenListener({address, port}, network_namespace);
  if (!opened) throw std::runtime_error(opened.error().Render());
  listener_ = std::move(*opened);
  for (int i = 0; i < 6; ++i) workers_.emplace_back([this, network_namespace] { Work(network_namespace); });
}

TestServer::~TestServer() {
  stop_ = true;
  for (std::thread& worker : workers_) worker.join();
}

void TestServer::Work(int) {
  while (!stop_) {
    struct pollfd p = {listener_.get(), POLLIN, 0};
    if (::poll(&p, 1, 50) <= 0) continue;
    Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd.valid()) continue;
    SetTimeout(fd, 5000);
    std::string head;
    std::string body;
    if (!ReadMessage(fd, head, body)) continue;  // a health check
    if (delay_ms > 0) std::this_thread::sleep_for(Milliseconds(delay_ms.load()));
    ++served;
    const std::string text = name_ + " " + std::to_string(body.size()) + "\n";
    const std::string answer = "HTTP/1.1 " + std::to_string(status.load()) +
                               " X\r\nConnection: close\r\nContent-Length: " + std::to_string(text.size()) +
                               "\r\n\r\n" + text;
    static_cast<void>(!::send(fd.get(), answer.data(), answer.size(), MSG_NOSIGNAL));
  }
}

TestClient::TestClient(std::string address, uint16_t port, std::string source)
    : address_(std::move(address)), port_(port), source_(std::move(source)) {}

Answer TestClient::Ask(size_t body_bytes, int timeout_ms) {
  Answer answer;
  if (!fd_.valid()) {
    fd_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    SetTimeout(fd_, timeout_ms);
    const int on = 1;
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!source_.empty()) {
      const struct sockaddr_in from = AddressOf(source_, 0);
      ::bind(fd_.get(), reinterpret_cast<const struct sockaddr*>(&from), sizeof from);
    }
    const struct sockaddr_in in = AddressOf(address_, port_);
    if (::connect(fd_.get(), reinterpret_cast<const struct sockaddr*>(&in), sizeof in) < 0) {
      answer.error = errno;
      fd_.reset();
      return answer;
    }
  }
  const std::string head_line = (body_bytes == 0 ? "GET" : "POST") + (" / HTTP/1.1\r\nHost: x\r\n" + header_);
  const std::string request = body_bytes == 0 ? head_line + "\r\n"
                                              : head_line + "Content-Length: " + std::to_string(body_bytes) +
                                                    "\r\n\r\n" + std::string(body_bytes, 'x');
  std::string& head = answer.head;
  if (::send(fd_.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
          static_cast<ssize_t>(request.size()) ||
      !ReadMessage(fd_, head, answer.body)) {
    fd_.reset();
    return answer;
  }
  if (head.size() > 12) answer.status = std::atoi(head.c_str() + 9);
  if (!answer.body.empty() && answer.body.back() == '\n') answer.body.pop_back();
  if (head.find("connection: close") != std::string::npos) fd_.reset();
  return answer;
}

RouterRig::RouterRig() {
  auto directory = TempDirectory::Make("/tmp", "ingot-haproxy-test-");
  if (!directory) throw std::runtime_error(directory.error().Render());
  directory_ = std::make_unique<TempDirectory>(std::move(*directory));
  ::chmod(directory_->path().c_str(), 0700);
  auto made = MakeRouterNamespace();
  if (!made) throw std::runtime_error(made.error().Render());
  namespace_ = std::move(*made);
  Open();
}

RouterRig::~RouterRig() {
  if (router_) static_cast<void>(router_->Destroy().has_value());
}

HaproxyOptions RouterRig::Options() const {
  HaproxyOptions options;
  options.directory = directory() / "ha";
  options.root_key = directory().filename().string().substr(19);
  options.router_namespace = namespace_.get();
  options.hard_stop_after = Milliseconds(3000);
  options.keep_alive_timeout = Milliseconds(1000);
  return options;
}

void RouterRig::Open() {
  router_.reset();
  auto opened = HaproxyRouter::Open(Options());
  if (!opened) throw std::runtime_error(opened.error().Render());
  router_ = std::move(*opened);
}

platform::Server RouterRig::Serve(const InstanceId& instance, const std::string& name) {
  const std::string address = "127.0.1." + std::to_string(++used_);
  servers_.push_back(std::make_unique<TestServer>(namespace_.get(), address, kPort, name));
  return {instance, address};
}

std::optional<InstanceId> RouterRig::RequestFrom(const std::string& address, const std::string& service) {
  auto virtual_address = router_->VirtualAddress(platform::EnvironmentId("shop", "local"), service);
  Answer answer;
  Inside(namespace_.get(), [&] { answer = TestClient(*virtual_address, kPort, address).Ask(); });
  return Who(answer);
}

std::optional<InstanceId> RouterRig::Who(const Answer& answer) {
  if (answer.status != 200) return std::nullopt;
  auto id = InstanceId::Parse(answer.body.substr(0, answer.body.find(' ')));
  return id ? std::optional<InstanceId>(*id) : std::nullopt;
}

TestClient RouterRig::Client(const std::string& listen) {
  auto address = ListenAddress::Parse(listen);
  return TestClient(address->address == "0.0.0.0" ? "127.0.0.1" : address->address, address->port);
}

platform::FleetId WebRouterTest::Web(int n) {
  return platform::FleetId({"shop", "local"}, "web", "00000000000" + std::to_string(n));
}

platform::Topology::Service WebRouterTest::Service() {
  return {"web", {{"http", RouterRig::kPort, platform::Protocol::kHttp}}, 2};
}

platform::Topology WebRouterTest::Declared(platform::Topology::Service web) const {
  platform::Topology topology;
  topology.services = {std::move(web)};
  topology.listeners = {{Listen(), "web", platform::Protocol::kHttp}};
  return topology;
}

void WebRouterTest::Serve(const platform::Topology& topology, const std::string& first,
                          const std::string& second) {
  ROUTER_OK(router().SetTopology(kShop, topology));
  ROUTER_OK(router().SetServers(Web(1), {rig_.Serve(InstanceId(Web(1), 1), first)}));
  ROUTER_OK(router().SetServers(Web(2), {rig_.Serve(InstanceId(Web(2), 2), second)}));
}

std::string WebRouterTest::Side(const std::string& header) const {
  TestClient client("127.0.0.1", port_);
  client.SetHeader(header);
  const Answer answer = client.Ask();
  return answer.body.substr(0, answer.body.find(' '));
}

}  // namespace ingot::adapters::test
