// One HTTP request to a port of this machine as another network namespace sees it: what an image test asks.
#pragma once

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace ingot::build {

// GET `path` at 127.0.0.1:`port` inside `network_namespace`; the status code. kUnavailable when nothing
// listens, kTimeout, kInvalid for an answer that is not HTTP. Reads at most 4 KiB.
Result<int> ProbeHttp(int network_namespace, uint16_t port, const std::string& path, Milliseconds timeout);

}  // namespace ingot::build
