// A client of the daemon's API on its Unix socket (Boost.Beast).
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/result.h"

namespace ingot::adapters {

struct HttpAnswer {
  int status = 0;
  std::string body;  // empty when it was streamed
};

// One connection, one request at a time; not thread-safe.
class HttpClient {
 public:
  explicit HttpClient(fs::path socket) : socket_(std::move(socket)) {}

  // kUnavailable when no daemon listens there. `body` is sent as application/json when not empty. With
  // `on_line`, a 2xx answer is handed over line by line as it arrives, without the newline; returning false
  // ends it.
  Result<HttpAnswer> Call(std::string_view method, const std::string& target, std::string_view body = {},
                          const std::function<bool(std::string_view line)>& on_line = {});

 private:
  fs::path socket_;
};

// Percent-encodes one path segment or query value.
std::string PercentEncode(std::string_view text);

}  // namespace ingot::adapters
