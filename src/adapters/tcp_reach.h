// Whether a server takes TCP connections, asked from this host's own network.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace ingot::adapters {

// `host`: a name or an address, without brackets. Asks all addresses of a name at once, and one that answers
// is enough; returns after `within` at the latest, also when the resolver hangs. kUnavailable: it takes none,
// and why; kNotFound: the name is nobody's. Any other: whether it does could not be looked at.
Result<void> TakesConnections(const std::string& host, uint16_t port, Milliseconds within);

}  // namespace ingot::adapters
