// A host-owned address and port, as `listen:` writes it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ingot::definition {

struct Listener {
  std::string address;  // "" (every address), "127.0.0.1", "::1"
  uint16_t port = 0;

  // ":8000", "127.0.0.1:8000", "[::1]:8000"; "0.0.0.0" and "[::]" are every address. kInvalid otherwise.
  static Result<Listener> Parse(std::string_view text);
  // The inverse of Parse, in canonical form.
  std::string Render() const;
  // Both cannot be open at once.
  bool ConflictsWith(const Listener& other) const {
    return port == other.port && (address.empty() || other.address.empty() || address == other.address);
  }
  bool operator==(const Listener&) const = default;
};

// 1 to 65535 in plain digits.
Result<uint16_t> ParsePort(std::string_view text);

}  // namespace ingot::definition
