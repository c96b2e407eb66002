// RemoteHost: the API of another host, by TLS (docs/formats/api.md, "From another host"). libcurl is loaded
// with the first request.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "adapters/curl.h"
#include "adapters/http_client.h"
#include "app/remote_logins.h"
#include "base/byte_stream.h"

namespace ingot::app {

// A body of known length that is read while it is sent.
struct RemoteBody {
  uint64_t size_bytes = 0;
  ByteSource read;
};

class RemoteHost {
 public:
  // `url`: as `environments.X.host` says it. Errors of LoginFor.
  static Result<std::unique_ptr<RemoteHost>> Open(const std::string& url);
  // The same with a log-in that is given.
  static Result<std::unique_ptr<RemoteHost>> Open(const std::string& url, RemoteLogin login);

  const std::string& url() const { return name_; }
  // As adapters::HttpClient::Call. kUnavailable: no such name, nobody accepts, it broke; kTimeout; kRefused:
  // the certificate is not believed. Messages name the host and what to do. An answer may take as long as it
  // takes: a host that has gone is noticed by TCP.
  Result<adapters::HttpAnswer> Call(std::string_view method, const std::string& target, std::string_view body,
                                    const std::function<bool(std::string_view line)>& on_line);
  Result<adapters::HttpAnswer> Send(std::string_view method, const std::string& target, RemoteBody body,
                                    const std::function<bool(std::string_view line)>& on_line);

 private:
  RemoteHost(registry::ClientUrl url, RemoteLogin login);
  const registry::ClientUrl url_;
  const std::string name_;
  const RemoteLogin login_;
  adapters::CurlHttp http_;
};

}  // namespace ingot::app
