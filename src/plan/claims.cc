#include "plan/claims.h"

#include <algorithm>

#include "base/glob.h"
#include "definition/listener.h"

namespace ingot::plan {

namespace {

std::string HostKey(const platform::Topology::Host& host) {
  return host.host + host.path + (host.path.ends_with('/') ? "" : "/");
}

bool Overlap(const std::string& a, const std::string& b) {
  if (a == b) return true;
  const auto first = definition::Listener::Parse(a);
  const auto second = definition::Listener::Parse(b);
  return first && second && first->ConflictsWith(*second);
}

const std::string* HolderOf(const std::map<std::string, std::string>& listeners, const std::string& listen) {
  for (const auto& [theirs, owner] : listeners)
    if (Overlap(theirs, listen)) return &owner;
  return nullptr;
}

bool Among(const std::vector<std::string>& listeners, const std::string& listen) {
  return std::any_of(listeners.begin(), listeners.end(),
                     [&](const std::string& theirs) { return Overlap(theirs, listen); });
}

}  // namespace

void Claims::Add(const platform::Topology& topology, const std::string& owner) {
  for (const auto& listener : topology.listeners) listeners.emplace(listener.listen, owner);
  for (const auto& host : topology.hosts) {
    hosts.emplace(HostKey(host), owner);
    by_host = owner;
    if (host.tls) by_host_tls = owner;
  }
}

std::vector<Conflict> ConflictsOf(const platform::Topology& next, const HostEdge& edge,
                                  const Claims& others) {
  std::vector<Conflict> out;
  Claims own;
  own.Add(next, "the routes by host name of this definition (router in host.yaml)");
  for (const auto& listener : next.listeners) {
    if (const std::string* owner = HolderOf(others.listeners, listener.listen); owner != nullptr) {
      out.push_back({listener.listen, *owner, false});
      continue;
    }
    const auto routes = [&](const std::string& theirs, const std::string& ours) {
      return theirs.empty() ? ours : "the routes by host name of " + theirs + " (router in host.yaml)";
    };
    const std::string plain = routes(others.by_host, own.by_host);
    const std::string tls = routes(others.by_host_tls, own.by_host_tls);
    if (!plain.empty() && Among(edge.http, listener.listen))
      out.push_back({listener.listen, plain, false});
    else if (!tls.empty() && Among(edge.https, listener.listen))
      out.push_back({listener.listen, tls, false});
  }
  for (const auto& host : next.hosts) {
    const auto owner = others.hosts.find(HostKey(host));
    if (owner != others.hosts.end()) out.push_back({host.host + host.path, owner->second, true});
  }
  const auto shared = [&](const std::vector<std::string>& listeners) {
    for (const std::string& listen : listeners)
      if (const std::string* owner = HolderOf(others.listeners, listen); owner != nullptr)
        out.push_back({listen, *owner, false});
  };
  if (!own.by_host.empty()) shared(edge.http);
  if (!own.by_host_tls.empty()) shared(edge.https);
  return out;
}

Error RefusalOf(const Conflict& conflict) {
  if (conflict.by_host)
    return Error(Code::kConflict, "the host name and path " + conflict.what + " belong to " + conflict.owner +
                                      "; choose another in `routes`, or destroy that environment");
  return Error(Code::kConflict, "listener " + conflict.what + " belongs to " + conflict.owner +
                                    "; choose another port in `routes`, or destroy that environment");
}

bool IsIssued(const HostEdge& edge, const std::string& host) {
  if (!edge.acme || host.starts_with("*.")) return false;
  return edge.acme->empty() || std::any_of(edge.acme->begin(), edge.acme->end(),
                                           [&](const std::string& glob) { return GlobMatches(glob, host); });
}

bool Covers(const std::vector<std::string>& names, const std::string& host) {
  const size_t dot = host.find('.');
  const std::string any = dot == std::string::npos ? "" : "*" + host.substr(dot);
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return name == host || name == any; });
}

std::vector<std::string> Unreachable(const platform::Topology& next, const HostEdge& edge) {
  std::vector<std::string> out;
  const auto add = [&](std::string why) {
    if (std::find(out.begin(), out.end(), why) == out.end()) out.push_back(std::move(why));
  };
  for (const auto& listener : next.listeners) {
    const auto parsed = definition::Listener::Parse(listener.listen);
    if (parsed && parsed->IsIpv6() && !edge.no_ipv6.empty())
      add("route " + listener.listen + " is of IPv6, and this host has none (" + edge.no_ipv6 +
          "); give the route an IPv4 listener, or this host IPv6");
    if (listener.tls && edge.certificates && edge.certificates->empty())
      add("route " + listener.listen +
          " speaks TLS, and this host has no certificate; name one in router.certificates of host.yaml");
  }
  for (const auto& host : next.hosts) {
    for (const auto* listeners : {&edge.http, &edge.https})
      for (const std::string& listen : *listeners)
        if (const auto parsed = definition::Listener::Parse(listen);
            parsed && parsed->IsIpv6() && !edge.no_ipv6.empty() && (host.tls || listeners == &edge.http))
          add("the listener " + listen + " of router in host.yaml is of IPv6, and this host has none (" +
              edge.no_ipv6 + ")");
    if ((host.tls ? edge.https : edge.http).empty()) {
      add("route " + host.host + host.path + " needs a listener for " + (host.tls ? "TLS" : "HTTP") +
          ", and router." + (host.tls ? "https" : "http") + " of host.yaml has none");
    } else if (host.tls && edge.certificates && !Covers(*edge.certificates, host.host) &&
               !IsIssued(edge, host.host)) {
      const std::string whose = edge.acme && host.host.starts_with("*.")
                                    ? ", and by http-01 an authority issues none for a wildcard"
                                : edge.acme ? ", and router.acme.domains does not let an authority issue it"
                                            : "";
      add("no certificate of this host is for " + host.host + whose +
          "; name one in router.certificates of host.yaml, and start the daemon again");
    }
  }
  return out;
}

}  // namespace ingot::plan
