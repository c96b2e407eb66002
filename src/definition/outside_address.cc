#include "definition/outside_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "definition/listener.h"
#include "definition/scalars.h"

namespace ingot::definition {

namespace {

// The canonical text of an address literal; "" when it is none.
std::string CanonicalLiteral(int family, const std::string& text) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  std::array<char, INET6_ADDRSTRLEN> out{};
  if (inet_pton(family, text.c_str(), bytes.data()) != 1) return "";
  return inet_ntop(family, bytes.data(), out.data(), out.size());
}

// "1.2.3" and "300.1.1.1" are no names that anybody has, and the resolver may take them for addresses.
bool LooksNumeric(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

}  // namespace

bool IsOutsideHost(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  const std::string text(host);
  if (host.find(':') != std::string_view::npos)
    return CanonicalLiteral(AF_INET6, text) == text && text != "::";
  if (LooksNumeric(host)) return CanonicalLiteral(AF_INET, text) == text && text != "0.0.0.0";
  return IsHostName(host);
}

Result<OutsideAddress> OutsideAddress::Parse(std::string_view text) {
  const Error bad(Code::kInvalid,
                  "expected the address of a server such as \"10.0.0.7:8080\", \"old.example:80\" or "
                  "\"[fd00::7]:80\"");
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.size() > 300) return bad;
  const Result<uint16_t> port = ParsePort(text.substr(colon + 1));
  if (!port) return bad;
  std::string host(text.substr(0, colon));
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets)
    host = CanonicalLiteral(AF_INET6, host.substr(1, host.size() - 2));
  else if (host.find(':') != std::string::npos)
    return bad;
  std::transform(host.begin(), host.end(), host.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  if (!IsOutsideHost(host)) return bad;
  return OutsideAddress{host, *port};
}

std::string OutsideAddress::Render() const {
  const bool brackets = host.find(':') != std::string::npos;
  return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

bool OutsideAddress::IsLoopback() const {
  return host == "::1" || host == "localhost" || (LooksNumeric(host) && host.starts_with("127."));
}

}  // namespace ingot::definition
