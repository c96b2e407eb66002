// What routes take of the host: listeners of their own, and host names on the listeners that are the host's.
// Nothing of it can be two environments'.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "platform/fleet.h"

namespace ingot::plan {

// How the outside reaches this host, as far as host.yaml decides it (docs/formats/host.md, "router").
struct HostEdge {
  std::vector<std::string> http;   // listeners of routes by host name: ":80"
  std::vector<std::string> https;  // the same with TLS
  // Names that the certificates are for: "shop.example", "*.shop.example" (one label). Unset: not known.
  std::optional<std::vector<std::string>> certificates;
  // Globs of names for which an authority issues certificates when they are needed; unset: none does.
  std::optional<std::vector<std::string>> acme{};
  std::string no_ipv6{};  // why this host has no IPv6; empty: it has, or it is not known
  bool operator==(const HostEdge&) const = default;
};

// Who holds what, all environments but one.
struct Claims {
  std::map<std::string, std::string> listeners;  // ":8000" → "shop/staging"
  std::map<std::string, std::string> hosts;      // "shop.example/api/" → "shop/staging"
  std::string by_host;                           // somebody with routes by host name; empty: nobody
  std::string by_host_tls;                       // the same, with TLS

  void Add(const platform::Topology& topology, const std::string& owner);
};

struct Conflict {
  std::string what;   // ":8000", or "shop.example/api"
  std::string owner;  // the other environment, or the definition's own routes by host name
  bool by_host = false;
  bool operator==(const Conflict&) const = default;
};

// What `next` cannot have, in its order. The host's own listeners are taken while anybody has a route by host
// name.
std::vector<Conflict> ConflictsOf(const platform::Topology& next, const HostEdge& edge, const Claims& others);
// kConflict, with what to do about it.
Error RefusalOf(const Conflict& conflict);

// Routes that this host cannot carry, a sentence each: TLS without a certificate for the name, a route by
// host name where host.yaml has no listener for it, a listener of IPv6 where there is none.
std::vector<std::string> Unreachable(const platform::Topology& next, const HostEdge& edge);

// True when an authority is asked for a certificate of the host name.
bool IsIssued(const HostEdge& edge, const std::string& host);

// True when one of the names is the host's: itself, or "*." and all but its first label.
bool Covers(const std::vector<std::string>& names, const std::string& host);

}  // namespace ingot::plan
