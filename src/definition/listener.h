// A host-owned address and port, as `listen:` writes it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ingot::definition {

struct Listener {
  std::string address;  // "" (every IPv4 address), "::" (every IPv6 address), "127.0.0.1", "::1"
  uint16_t port = 0;

  // ":8000", "127.0.0.1:8000", "[::1]:8000"; "0.0.0.0" is every IPv4 address, as ":8000" is, and "[::]" every
  // IPv6 address. kInvalid otherwise, also for an IPv4 address in the form of IPv6.
  static Result<Listener> Parse(std::string_view text);
  // The inverse of Parse, in canonical form.
  std::string Render() const;
  bool IsIpv6() const { return address.find(':') != std::string::npos; }
  // Both cannot be open at once. IPv4 and IPv6 never conflict: each listener is of one of them.
  bool ConflictsWith(const Listener& other) const {
    if (port != other.port || IsIpv6() != other.IsIpv6()) return false;
    const std::string_view every = IsIpv6() ? "::" : "";
    return address == every || other.address == every || address == other.address;
  }
  bool operator==(const Listener&) const = default;
};

// 1 to 65535 in plain digits.
Result<uint16_t> ParsePort(std::string_view text);

}  // namespace ingot::definition
