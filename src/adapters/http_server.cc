#include "adapters/http_server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <condition_variable>
#include <list>
#include <optional>
#include <thread>

#include "adapters/http_connection.h"
#include "base/sync.h"

namespace ingot::adapters {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using LocalSocket = asio::local::stream_protocol;

constexpr size_t kConnections = 256;
constexpr size_t kOfOthers = 64;  // who are not root: they may not keep root out

class SocketServer final : public HttpServer {
 public:
  SocketServer(LocalSocket::acceptor acceptor, std::unique_ptr<asio::io_context> context, HttpHandler handler,
               HttpRules rules)
      : context_(std::move(context)),
        acceptor_(std::move(acceptor)),
        handler_(std::move(handler)),
        rules_(std::move(rules)) {
    thread_ = std::thread([this] { AcceptLoop(); });
  }
  ~SocketServer() override { Stop(); }

  void Stop() override {
    if (stopping_.exchange(true)) return;
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
    thread_.join();
    auto connections = connections_.lock();
    // A connection that idles between requests sits in a read; end that, not a reply that is being written.
    for (const int fd : connections->open) ::shutdown(fd, SHUT_RD);
    while (!connections->open.empty()) connections.Wait(ended_);
  }

 private:
  struct Connections {
    std::list<int> open;
    size_t of_others = 0;  // who are not root
  };

  void AcceptLoop() {
    while (!stopping_) {
      beast::error_code ec;
      LocalSocket::socket socket(*context_);
      acceptor_.accept(socket, ec);
      if (stopping_) return;
      if (ec) {
        // Out of descriptors or memory: give others time to finish instead of spinning.
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        continue;
      }
      const bool root = IsRoot(socket.native_handle());
      auto connections = connections_.lock();
      if (connections->open.size() >= kConnections || (!root && connections->of_others >= kOfOthers))
        continue;
      const int fd = socket.release();
      connections->open.push_back(fd);
      if (!root) ++connections->of_others;
      std::thread([this, root, fd] { Serve(fd, root); }).detach();
    }
  }

  void Serve(int fd, bool root) {
    HttpRequest known;
    known.peer = PeerOf(fd);
    auto wire = MakeLocalWire(Fd(fd));
    ServeHttp(*wire, {}, stopping_, handler_, rules_, known, {});
    auto connections = connections_.lock();
    wire.reset();
    connections->open.remove(fd);
    if (!root) --connections->of_others;
    ended_.notify_all();
  }

  std::unique_ptr<asio::io_context> context_;
  LocalSocket::acceptor acceptor_;
  const HttpHandler handler_;
  const HttpRules rules_;
  std::atomic<bool> stopping_{false};
  Sync<Connections> connections_;
  std::condition_variable ended_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::Listen(const fs::path& path, HttpHandler handler,
                                                       const std::string& group, HttpRules rules) {
  if (path.native().size() > 107)
    return Error(Code::kInvalid,
                 "the socket path " + path.string() +
                     " is longer than the 107 bytes that Linux allows; choose a shorter --root");
  std::optional<gid_t> members;
  if (!group.empty()) members = TRY(GroupByName(group));
  auto context = std::make_unique<asio::io_context>();
  const LocalSocket::endpoint endpoint(path.string());
  beast::error_code ec;
  LocalSocket::socket probe(*context);
  probe.connect(endpoint, ec);
  if (!ec) return Error(Code::kConflict, "another daemon answers on " + path.string() + "; stop it first");
  ::unlink(path.c_str());
  LocalSocket::acceptor acceptor(*context);
  const mode_t before = ::umask(0177);
  acceptor.open(endpoint.protocol(), ec);
  if (!ec) acceptor.bind(endpoint, ec);
  ::umask(before);
  if (!ec && members &&
      (::chown(path.c_str(), static_cast<uid_t>(-1), *members) != 0 || ::chmod(path.c_str(), 0660) != 0))
    return ErrnoError(errno, "let the group " + group + " use " + path.string());
  if (!ec) acceptor.listen(asio::socket_base::max_listen_connections, ec);
  if (ec) return Error(Code::kIo, "cannot listen on " + path.string() + ": " + ec.message());
  return std::unique_ptr<HttpServer>(
      new SocketServer(std::move(acceptor), std::move(context), std::move(handler), std::move(rules)));
}

}  // namespace ingot::adapters
