// The address of a server that is not Ingot's, as a route's `to.address` writes it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ingot::definition {

struct OutsideAddress {
  std::string host;  // a host name, an IPv4 address, or an IPv6 address without brackets, canonical
  uint16_t port = 0;

  // "10.0.0.7:8080", "old.example:80", "[fd00::7]:80". kInvalid: anything else, a name that cannot be one, an
  // address that stands for every one (0.0.0.0, ::).
  static Result<OutsideAddress> Parse(std::string_view text);
  // The inverse of Parse, in canonical form.
  std::string Render() const;
  // Whether it can only mean this host: 127.0.0.0/8, ::1, localhost.
  bool IsLoopback() const;
  bool operator==(const OutsideAddress&) const = default;
};

// A host that OutsideAddress::Parse gives.
bool IsOutsideHost(std::string_view host);

}  // namespace ingot::definition
