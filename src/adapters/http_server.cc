#include "adapters/http_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <condition_variable>
#include <list>
#include <optional>
#include <thread>

#include "base/sync.h"

namespace ingot::adapters {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using LocalSocket = asio::local::stream_protocol;

constexpr size_t kBodyLimit = size_t{16} << 20;
constexpr size_t kConnections = 256;
constexpr size_t kOfOthers = 64;  // who are not root: they may not keep root out

std::string Decode(std::string_view text) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

void ParseTarget(std::string_view target, HttpRequest& request) {
  const size_t mark = target.find('?');
  request.path = Decode(target.substr(0, mark));
  if (mark == std::string_view::npos) return;
  std::string_view rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    const size_t equals = pair.find('=');
    request.query[Decode(pair.substr(0, equals))] =
        equals == std::string_view::npos ? "" : Decode(pair.substr(equals + 1));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
  }
}

class Reply final : public HttpReply {
 public:
  Reply(LocalSocket::socket& socket, const std::atomic<bool>& stopping, bool keep_alive)
      : socket_(socket), stopping_(stopping), keep_alive_(keep_alive) {}

  Result<void> Send(int status, std::string_view content_type, std::string_view body) override {
    http::response<http::string_body> response(static_cast<http::status>(status), 11, std::string(body));
    response.set(http::field::content_type, content_type);
    response.keep_alive(keep_alive_);
    response.prepare_payload();
    answered_ = true;
    beast::error_code ec;
    http::write(socket_, response, ec);
    return Check(ec);
  }

  Result<void> Begin(int status, std::string_view content_type) override {
    http::response<http::empty_body> response(static_cast<http::status>(status), 11);
    response.set(http::field::content_type, content_type);
    response.keep_alive(keep_alive_);
    response.chunked(true);
    answered_ = true;
    http::response_serializer<http::empty_body> serializer(response);
    beast::error_code ec;
    http::write_header(socket_, serializer, ec);
    return Check(ec);
  }

  Result<void> Write(std::string_view chunk) override {
    if (chunk.empty()) return {};
    beast::error_code ec;
    asio::write(socket_, http::make_chunk(asio::const_buffer(chunk.data(), chunk.size())), ec);
    return Check(ec);
  }

  Result<void> End() override {
    beast::error_code ec;
    asio::write(socket_, http::make_chunk_last(), ec);
    return Check(ec);
  }

  bool Gone() override {
    if (stopping_) return true;
    struct pollfd p = {socket_.native_handle(), POLLRDHUP, 0};
    return ::poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
  }

  bool answered() const { return answered_; }
  bool broken() const { return broken_; }

 private:
  Result<void> Check(const beast::error_code& ec) {
    if (!ec) return {};
    broken_ = true;
    return Error(Code::kCancelled, "the client has gone: " + ec.message());
  }

  LocalSocket::socket& socket_;
  const std::atomic<bool>& stopping_;
  bool keep_alive_;
  bool answered_ = false;
  bool broken_ = false;
};

class SocketServer final : public HttpServer {
 public:
  SocketServer(LocalSocket::acceptor acceptor, std::unique_ptr<asio::io_context> context, HttpHandler handler)
      : context_(std::move(context)), acceptor_(std::move(acceptor)), handler_(std::move(handler)) {
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
      connections->open.push_back(socket.native_handle());
      if (!root) ++connections->of_others;
      std::thread([this, root, peer = std::move(socket)]() mutable {
        Serve(std::move(peer), root);
      }).detach();
    }
  }

  void Serve(LocalSocket::socket socket, bool root) {
    const int fd = socket.native_handle();
    const SocketPeer peer = PeerOf(fd);
    beast::flat_buffer buffer;
    bool open = true;
    while (open && !stopping_) {
      http::request_parser<http::string_body> parser;
      parser.body_limit(kBodyLimit);
      beast::error_code ec;
      http::read(socket, buffer, parser, ec);
      if (ec) {
        if (ec == http::error::body_limit) {
          Reply reply(socket, stopping_, false);
          static_cast<void>(reply.Send(413, "text/plain", "the body is larger than 16 MiB\n").has_value());
        }
        break;
      }
      HttpRequest request;
      const auto& message = parser.get();
      request.method = std::string(message.method_string());
      request.body = std::move(parser.get().body());
      request.peer = peer;
      ParseTarget(std::string_view(message.target().data(), message.target().size()), request);
      Reply reply(socket, stopping_, message.keep_alive());
      handler_(request, reply);
      if (!reply.answered())
        static_cast<void>(reply.Send(500, "text/plain", "no answer was made for this request\n").has_value());
      open = message.keep_alive() && !reply.broken();
    }
    auto connections = connections_.lock();
    beast::error_code ignored;
    socket.close(ignored);
    connections->open.remove(fd);
    if (!root) --connections->of_others;
    ended_.notify_all();
  }

  std::unique_ptr<asio::io_context> context_;
  LocalSocket::acceptor acceptor_;
  HttpHandler handler_;
  std::atomic<bool> stopping_{false};
  Sync<Connections> connections_;
  std::condition_variable ended_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::Listen(const fs::path& path, HttpHandler handler,
                                                       const std::string& group) {
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
      new SocketServer(std::move(acceptor), std::move(context), std::move(handler)));
}

}  // namespace ingot::adapters
