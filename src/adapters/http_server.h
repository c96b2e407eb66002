// The daemon's HTTP/1.1 server (Boost.Beast) on a Unix socket, and by TLS for other hosts. One thread per
// connection: the API has a handful of clients, some of which follow an event stream for hours.
//
// By TLS nobody is believed before the gate has said who he is, and it is asked before the body is read. Time
// and memory are bounded: a head has to come within ten seconds with the handshake, a body and an answer have
// to move, and connections are counted, of all and of one network.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "adapters/socket_peer.h"
#include "adapters/tcp_address.h"
#include "adapters/tls_server.h"
#include "base/byte_stream.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/result.h"

namespace ingot::adapters {

struct HttpRequest {
  std::string method;                        // "GET"
  std::string path;                          // percent-decoded, without the query: "/v1/status"
  std::map<std::string, std::string> query;  // percent-decoded
  std::string body;                          // at most 16 MiB
  // Instead of `body` where HttpRules::streams says so: its bytes as they come, as many as the client sends.
  // kCancelled: it has gone, or sends too slowly.
  ByteSource stream;
  SocketPeer peer;  // who is at the other end of the connection

  // By TLS only.
  std::string address;      // of the client, without its port; of IPv6 the /64
  std::string certificate;  // "cert:NAME": of a client certificate that was verified; empty: none
  std::string bearer;       // of `Authorization: Bearer …`; empty: none
};

// An answer in place of the handler's.
struct HttpRefusal {
  int status = 401;
  std::string body;              // JSON
  std::string retry_after = {};  // seconds; empty: not said
};

// Asked with the head, before the body is read; each may be empty.
struct HttpRules {
  // Sets `peer`, or says why not. May block for a while.
  std::function<std::optional<HttpRefusal>(HttpRequest&)> gate;
  std::function<bool(const HttpRequest&)> streams;
};

// Answers one request, once: either Send, or Begin, any number of Write, and End.
class HttpReply {
 public:
  virtual ~HttpReply() = default;
  virtual Result<void> Send(int status, std::string_view content_type, std::string_view body) = 0;
  // A body of unknown length (chunked). Write fails with kCancelled when the client has gone.
  virtual Result<void> Begin(int status, std::string_view content_type) = 0;
  virtual Result<void> Write(std::string_view chunk) = 0;
  virtual Result<void> End() = 0;
  // True when the client has closed its end or the server is stopping: a follower asks this while it waits.
  virtual bool Gone() = 0;
};

// Called on the connection's thread; several at once.
using HttpHandler = std::function<void(const HttpRequest&, HttpReply&)>;

class HttpServer {
 public:
  // Listens at `socket` (mode 0600, or 0660 for `group` when there is one; replacing a stale file). kConflict
  // when another process answers there, kNotFound when the host has no such group.
  static Result<std::unique_ptr<HttpServer>> Listen(const fs::path& socket, HttpHandler handler,
                                                    const std::string& group = "", HttpRules rules = {});
  virtual ~HttpServer() = default;
  // Refuses new connections and waits until every handler has returned.
  virtual void Stop() = 0;
};

struct TlsHttpOptions {
  TcpAddress listen;
  TlsServer* tls = nullptr;  // not null; must outlive the server
  // Looks every second whether the files of `tls` have changed, and is told when they cannot be used. For one
  // server of a TlsServer; empty: another one does it.
  std::function<void(const std::string&)> complain = {};
  size_t connections = 256;
  size_t of_one_network = 64;                    // of one TcpAddress::Network
  Milliseconds head = std::chrono::seconds(10);  // for a handshake and a head, or a head
  Milliseconds idle = std::chrono::seconds(60);  // between two requests
  // A body, either way, moves 32 KiB in this time or the connection is closed.
  Milliseconds stall = std::chrono::seconds(30);
};

class TlsHttpServer : public HttpServer {
 public:
  // kConflict: the address is in use; kPermission. `listener`: of ListenTcp, for who has to know before
  // whether it can be had; `options.listen` is not looked at then.
  static Result<std::unique_ptr<TlsHttpServer>> Listen(const TlsHttpOptions& options, HttpHandler handler,
                                                       HttpRules rules, Fd listener = Fd());
  // Where it listens, with the port that the kernel chose.
  virtual TcpAddress address() const = 0;
};

}  // namespace ingot::adapters
