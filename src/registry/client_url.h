// http and https URLs as the client of a registry meets them: endpoints, token realms, redirects (RFC 3986,
// the part of it that these need).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ingot::registry {

struct ClientUrl {
  std::string scheme;       // "http" or "https"
  std::string host;         // lower case; an IPv6 address in brackets
  uint16_t port = 0;        // never 0 after Parse
  std::string target{"/"};  // path and query, begins with "/"

  // kInvalid: another scheme, a user or password in it, letters that no URL has, a port that is none. A
  // fragment is dropped.
  static Result<ClientUrl> Parse(std::string_view text);
  // The inverse; the scheme's own port is left out.
  std::string Render() const;
  // "host" or "host:port", as in the Host header.
  std::string Authority() const;
  // What a Location header means that was found here. kInvalid as Parse.
  Result<ClientUrl> Resolve(std::string_view location) const;

  bool SameOrigin(const ClientUrl& other) const {
    return scheme == other.scheme && host == other.host && port == other.port;
  }
  bool IsLoopback() const;
  bool operator==(const ClientUrl&) const = default;
};

// "localhost", 127.0.0.0/8, "[::1]"; without a port.
bool IsLoopbackHost(std::string_view host);

// kRefused unless the URL is https or on loopback: passwords, tokens and tags travel there.
Result<void> RequireSecure(const ClientUrl& url, std::string_view what);

// Letters, digits and "-._~" as they are, all else %XX.
std::string EncodeQueryValue(std::string_view text);

}  // namespace ingot::registry
