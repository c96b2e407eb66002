// The verbs' side of the daemon's API (docs/formats/api.md): of this host, or of the one that the definition
// names for an environment.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "adapters/http_client.h"
#include "app/invocation.h"
#include "base/byte_stream.h"
#include "base/json.h"

namespace ingot::app {

class RemoteHost;

class DaemonClient {
 public:
  // This host's.
  explicit DaemonClient(const Layout& layout);
  // That of the environment that the verb is about: the definition is looked at with the first call, and not
  // at all for `local`, which is this host.
  explicit DaemonClient(const Invocation& invocation);
  DaemonClient(DaemonClient&&) noexcept;
  ~DaemonClient();

  // The JSON answer of a 2xx. Any other status becomes the Error that the daemon sent, with its code.
  Result<Json> Call(std::string_view method, const std::string& target, const Json* body = nullptr);
  // The raw answer of a 2xx, for bodies that are not JSON.
  Result<std::string> CallRaw(std::string_view method, const std::string& target, std::string_view body);
  // A streamed answer, line by line; `on_line` returning false ends it.
  Result<void> Stream(std::string_view method, const std::string& target, std::string_view body,
                      const std::function<bool(std::string_view)>& on_line);
  // The same with a body of exactly `size_bytes`, which is read while it is sent; to another host only.
  Result<void> Send(const std::string& target, uint64_t size_bytes, ByteSource body,
                    const std::function<bool(std::string_view)>& on_line);

  // Null: this host. Errors of reading the definition and the log-in.
  Result<RemoteHost*> Remote();

 private:
  Result<adapters::HttpAnswer> Checked(std::string_view method, const std::string& target,
                                       std::string_view body,
                                       const std::function<bool(std::string_view)>& on_line);
  static Result<adapters::HttpAnswer> Understood(adapters::HttpAnswer answer);
  std::unique_ptr<Invocation> undecided_;  // set: not looked at yet
  adapters::HttpClient http_;
  std::unique_ptr<RemoteHost> remote_;
};

// "/v1/projects/P/environments/E" + rest.
std::string EnvironmentPath(const std::string& project, const std::string& environment,
                            const std::string& rest = "");

// The error as the API carries it, and back.
Json ErrorToJson(const Error& error);
Error ErrorFromJson(const Json& json);

}  // namespace ingot::app
