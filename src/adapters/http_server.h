// The daemon's HTTP/1.1 server on a Unix socket (Boost.Beast). One thread per connection: the API has a
// handful of local clients, some of which follow an event stream for hours.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "adapters/socket_peer.h"
#include "base/file.h"
#include "base/result.h"

namespace ingot::adapters {

struct HttpRequest {
  std::string method;                        // "GET"
  std::string path;                          // percent-decoded, without the query: "/v1/status"
  std::map<std::string, std::string> query;  // percent-decoded
  std::string body;                          // at most 16 MiB
  SocketPeer peer;                           // who is at the other end of the socket
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
                                                    const std::string& group = "");
  virtual ~HttpServer() = default;
  // Refuses new connections and waits until every handler has returned.
  virtual void Stop() = 0;
};

}  // namespace ingot::adapters
