// Whether a server takes TCP connections, asked from this host's own network.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace ingot::adapters {

// `host`: a name or an address, without brackets. Tries the addresses of a name one after the other; returns
// after `within` at the latest, also when the resolver hangs. kUnavailable: it takes none, and why;
// kNotFound: the name is nobody's, or nobody could be asked.
Result<void> TakesConnections(const std::string& host, uint16_t port, Milliseconds within);

}  // namespace ingot::adapters
