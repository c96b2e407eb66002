// The verbs' side of the daemon's API (docs/formats/api.md).
#pragma once

#include <functional>
#include <string>

#include "adapters/http_client.h"
#include "app/invocation.h"
#include "base/json.h"

namespace ingot::app {

class DaemonClient {
 public:
  explicit DaemonClient(const Layout& layout) : http_(layout.socket()) {}

  // The JSON answer of a 2xx. Any other status becomes the Error that the daemon sent, with its code.
  Result<Json> Call(std::string_view method, const std::string& target, const Json* body = nullptr);
  // The raw answer of a 2xx, for bodies that are not JSON.
  Result<std::string> CallRaw(std::string_view method, const std::string& target, std::string_view body);
  // A streamed answer, line by line; `on_line` returning false ends it.
  Result<void> Stream(std::string_view method, const std::string& target, std::string_view body,
                      const std::function<bool(std::string_view)>& on_line);

 private:
  Result<adapters::HttpAnswer> Checked(std::string_view method, const std::string& target,
                                       std::string_view body,
                                       const std::function<bool(std::string_view)>& on_line);
  adapters::HttpClient http_;
};

// "/v1/projects/P/environments/E" + rest.
std::string EnvironmentPath(const std::string& project, const std::string& environment,
                            const std::string& rest = "");

// The error as the API carries it, and back.
Json ErrorToJson(const Error& error);
Error ErrorFromJson(const Json& json);

}  // namespace ingot::app
