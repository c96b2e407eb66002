#include "registry/client_url.h"

#include <algorithm>
#include <charconv>

namespace ingot::registry {
namespace {

constexpr size_t kMaxUrl = 16 << 10;  // signed redirects of object stores have a few thousand letters

bool IsUrlLetter(char c) {
  return c > ' ' && c < 127 && c != '"' && c != '<' && c != '>' && c != '\\';
}

bool IsHostLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

std::string LowerCase(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

uint16_t PortOfScheme(std::string_view scheme) {
  return scheme == "https" ? 443 : 80;
}

Error NoUrl(std::string_view text, std::string_view why) {
  std::string shown;
  for (const char c : text.substr(0, 120)) shown += c > ' ' && c < 127 ? c : '?';
  return Error(Code::kInvalid, "\"" + shown + "\" is not a URL to follow: " + std::string(why));
}

}  // namespace

Result<ClientUrl> ClientUrl::Parse(std::string_view text) {
  if (text.size() > kMaxUrl) return NoUrl(text, "it is longer than 16 KiB");
  if (!std::all_of(text.begin(), text.end(), IsUrlLetter))
    return NoUrl(text, "it has letters that no URL has");
  ClientUrl url;
  const size_t colon = text.find("://");
  if (colon == std::string_view::npos) return NoUrl(text, "expected https://…");
  url.scheme = LowerCase(text.substr(0, colon));
  if (url.scheme != "http" && url.scheme != "https") return NoUrl(text, "expected https://…");
  std::string_view rest = text.substr(colon + 3);
  rest = rest.substr(0, rest.find('#'));
  const size_t end = std::min(rest.find_first_of("/?"), rest.size());
  std::string_view authority = rest.substr(0, end);
  rest = rest.substr(end);
  if (authority.find('@') != std::string_view::npos) return NoUrl("", "it has a user or password in it");
  url.port = PortOfScheme(url.scheme);
  const size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
  if (bracket == std::string_view::npos) return NoUrl(text, "its host is none");
  if (const size_t mark = authority.find(':', bracket); mark != std::string_view::npos) {
    const std::string_view port = authority.substr(mark + 1);
    const auto [last, error] = std::from_chars(port.begin(), port.end(), url.port);
    if (error != std::errc() || last != port.end() || url.port == 0) return NoUrl(text, "its port is none");
    authority = authority.substr(0, mark);
  }
  url.host = LowerCase(authority);
  const std::string_view address = std::string_view(url.host).substr(bracket > 0 ? 1 : 0);
  const bool known = bracket > 0
                         ? bracket > 2 && bracket + 1 == url.host.size() &&
                               address.find_first_not_of("0123456789abcdef:.") == address.size() - 1
                         : !url.host.empty() && std::all_of(url.host.begin(), url.host.end(), IsHostLetter);
  if (!known) return NoUrl(text, "its host is none");
  if (!rest.empty()) url.target = (rest.front() == '?' ? "/" : "") + std::string(rest);
  return url;
}

std::string ClientUrl::Authority() const {
  return port == PortOfScheme(scheme) ? host : host + ":" + std::to_string(port);
}

std::string ClientUrl::Render() const {
  return scheme + "://" + Authority() + target;
}

Result<ClientUrl> ClientUrl::Resolve(std::string_view location) const {
  if (location.starts_with("//")) return Parse(scheme + ":" + std::string(location));
  const size_t colon = location.find(':');
  if (colon != std::string_view::npos && location.find_first_of("/?#") > colon) return Parse(location);
  std::string base = target.substr(0, target.find('?'));
  if (location.starts_with('/')) {
    base.clear();
  } else if (!location.starts_with('?')) {
    base.resize(base.rfind('/') + 1);
  }
  return Parse(scheme + "://" + Authority() + base + std::string(location));
}

bool IsLoopbackHost(std::string_view host) {
  if (host == "localhost" || host == "[::1]") return true;
  // Four numbers: "127.0.0.1.example" is somebody's name.
  int parts = 0;
  while (true) {
    const std::string_view part = host.substr(0, host.find('.'));
    unsigned number = 256;
    const auto [end, error] = std::from_chars(part.begin(), part.end(), number);
    if (error != std::errc() || end != part.end() || number > 255 || part.size() > 3) return false;
    if (parts++ == 0 && number != 127) return false;
    if (part.size() == host.size()) return parts == 4;
    host.remove_prefix(part.size() + 1);
  }
}

bool ClientUrl::IsLoopback() const {
  return IsLoopbackHost(host);
}

Result<void> RequireSecure(const ClientUrl& url, std::string_view what) {
  if (url.scheme == "https" || url.IsLoopback()) return {};
  return Error(Code::kRefused, std::string(what) + " " + url.scheme + "://" + url.Authority() +
                                   " is not encrypted; plain HTTP is spoken on loopback only");
}

std::string EncodeQueryValue(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
        std::string_view("-._~").find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

}  // namespace ingot::registry
