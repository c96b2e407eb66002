// The part of the router's configuration by which requests are copied (haproxy_mirror.h): HAProxy writes one
// line per request to a datagram socket when the answer is over, so nobody waits for it. Pure.
#pragma once

#include <string>

#include "platform/fleet.h"

namespace ingot::adapters {

// The socket's name in the router's directory.
constexpr const char* kMirrorSocket = "mirror";
// Bodies up to this size are compared, and copied; by their Content-Length.
constexpr size_t kMirrorBodyBytes = 8192;

// Of one service: which of its requests may be copied. `when`: a condition that holds for them, "of1 ", or
// "". "" for a service of which nothing is copied.
std::string MirrorChoice(const platform::Topology::Shadow& shadow, const std::string& when);
// Of a frontend with such services, after MirrorChoice and the choice of the backend: the copies.
std::string MirrorRules(bool outside);

}  // namespace ingot::adapters
