// ClientHttp: one HTTP request, its answer as it arrives. What the registry's client stands on; implemented
// by adapters/curl.h, scripted in tests (fake_client_http.h).
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/byte_stream.h"
#include "base/clock.h"
#include "base/result.h"
#include "registry/client_url.h"

namespace ingot::registry {

// A body that is sent: exactly so many bytes. `read` blocks; its Error ends the exchange and is passed on.
struct ClientUpload {
  uint64_t size_bytes = 0;
  ByteSource read;
};

struct ClientRequest {
  ClientUrl url;
  std::string method;  // empty: GET, or POST of a form
  std::vector<std::pair<std::string, std::string>> headers;
  std::string form;  // not empty: POST, as application/x-www-form-urlencoded
  std::optional<ClientUpload> upload;
  const std::atomic<bool>* cancelled = nullptr;  // looked at once a second at least
  std::optional<Milliseconds> timeout;           // of the whole exchange; unset: as long as it goes on
  // After the body was sent nothing may come for so long, in place of the client's own limits: of an answer
  // that tells what happens when it happens.
  std::optional<Milliseconds> patience = {};
};

struct ClientResponse {
  int status = 0;
  std::multimap<std::string, std::string> headers;  // names in lower case
  // The first of that name; "" when there is none.
  std::string_view Header(std::string_view lower_name) const;
};

class ClientHttp {
 public:
  virtual ~ClientHttp() = default;
  // Called with each piece of the body, the status and headers beside it. An Error ends the exchange and is
  // passed on.
  using Body = std::function<Result<void>(const ClientResponse& head, std::string_view piece)>;

  // Sends one request and follows no redirect. Any status is an answer. Any thread. kUnavailable: the name is
  // not known, nobody accepts, the connection broke (then `body` may have had a part). kTimeout: connecting
  // took too long, or nothing came for a while. kRefused: the certificate, or more headers than an honest
  // server sends. kCancelled. kUnsupported: this host has no HTTP client library. The message names the host.
  virtual Result<ClientResponse> Send(const ClientRequest& request, const Body& body) = 0;
};

}  // namespace ingot::registry
