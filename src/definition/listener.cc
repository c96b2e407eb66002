#include "definition/listener.h"

#include <arpa/inet.h>

#include <array>
#include <charconv>

namespace ingot::definition {

namespace {

// The canonical text of an address literal; "" when it is none.
std::string CanonicalAddress(int family, const std::string& text) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  std::array<char, INET6_ADDRSTRLEN> out{};
  if (inet_pton(family, text.c_str(), bytes.data()) != 1) return "";
  return inet_ntop(family, bytes.data(), out.data(), out.size());
}

}  // namespace

Result<uint16_t> ParsePort(std::string_view text) {
  uint32_t port = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (ec != std::errc() || end != text.data() + text.size() || port < 1 || port > 65535 || text[0] == '0')
    return Error(Code::kInvalid, "expected a port from 1 to 65535");
  return static_cast<uint16_t>(port);
}

Result<Listener> Listener::Parse(std::string_view text) {
  const Error bad(Code::kInvalid,
                  "expected a listener such as \":8000\", \"127.0.0.1:8000\" or \"[::1]:8000\"");
  const size_t colon = text.rfind(':');
  // Longer than any address: not one, and not worth a copy.
  if (colon == std::string_view::npos || text.size() > 64) return bad;
  const Result<uint16_t> port = ParsePort(text.substr(colon + 1));
  if (!port) return bad;
  std::string_view host = text.substr(0, colon);
  if (host.empty()) return Listener{"", *port};
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  const std::string address = CanonicalAddress(brackets ? AF_INET6 : AF_INET, std::string(host));
  if (address.empty() || address.starts_with("::ffff:")) return bad;
  return Listener{address == "0.0.0.0" ? "" : address, *port};
}

std::string Listener::Render() const {
  const bool brackets = address.find(':') != std::string::npos;
  return (brackets ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

}  // namespace ingot::definition
