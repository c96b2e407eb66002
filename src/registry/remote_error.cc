#include "registry/remote_error.h"

#include "base/json.h"

namespace ingot::registry {
namespace {

constexpr size_t kMaxShown = 200;

std::string Printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kMaxShown)) out += c >= ' ' && c < 127 ? c : '?';
  return out;
}

}  // namespace

std::string DescribeRemoteError(std::string_view body) {
  const auto json = ParseJson(body);
  if (!json || !json->is_object()) return "";
  const JsonObject& top = json->get_object();
  const Json* errors = top.if_contains("errors");
  // Token services answer {"details": …} or OAuth's {"error": …}.
  if (errors == nullptr || !errors->is_array() || errors->get_array().empty() ||
      !errors->get_array().front().is_object()) {
    return Printable(StringOr(top, "details", StringOr(top, "error", "")));
  }
  const JsonObject& first = errors->get_array().front().get_object();
  const std::string code = StringOr(first, "code", "");
  const std::string message = StringOr(first, "message", "");
  return Printable(code.empty() || message.empty() ? code + message : code + ": " + message);
}

}  // namespace ingot::registry
