// The URL of an endpoint: where it is and whether it speaks TLS. endpoint_url.cc is the only file that knows
// Boost.URL.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ingot::definition {

struct EndpointUrl {
  std::string scheme;  // lower case
  std::string host;    // lower case; an IPv6 address without brackets
  uint16_t port = 0;   // the scheme's own where the URL names none
  bool tls = false;
  std::string path;  // as written; may be empty

  // RFC 3986; sqlite:///file alone names no host, and no port then. kInvalid: not an absolute URL with a
  // host, no port and a scheme without a known one, or a password in it (the message does not repeat the URL
  // then).
  static Result<EndpointUrl> Parse(std::string_view text);
};

}  // namespace ingot::definition
