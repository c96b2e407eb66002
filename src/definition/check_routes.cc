#include "definition/check.h"
#include "definition/listener.h"
#include "definition/outside_address.h"
#include "definition/overlay.h"
#include "definition/place.h"

namespace ingot::definition {

namespace {

std::string Item(size_t index) {
  return "routes[" + std::to_string(index) + "]";
}

// "/api" and "/api/" are one path.
std::string PathKey(std::string path) {
  if (!path.ends_with('/')) path += '/';
  return path;
}

// Two routes cannot claim the same listener, or the same host name and path.
void CheckConflicts(const Definition& definition, const Place& place) {
  std::map<uint16_t, std::map<std::string, size_t>> listeners;  // port → address → route
  std::map<std::pair<std::string, std::string>, size_t> hosts;
  for (size_t i = 0; i < definition.routes.size(); ++i) {
    const Route& route = definition.routes[i];
    if (route.listen.empty()) {
      const std::string path = route.path.empty() ? "/" : route.path;
      const auto [first, is_new] = hosts.emplace(std::pair(route.host, PathKey(path)), i);
      if (!is_new)
        place.Fail(Item(i) + ".host",
                   route.host + path + " is routed by " + Item(first->second) + " already");
      continue;
    }
    const Result<Listener> listener = Listener::Parse(route.listen);
    if (!listener) continue;  // the shape has checked it
    std::map<std::string, size_t>& same_port = listeners[listener->port];
    for (const auto& [address, other] : same_port) {
      if (!listener->ConflictsWith({address, listener->port})) continue;
      place.Fail(Item(i) + ".listen", route.listen + " is in use by " + Item(other) + " (" +
                                          definition.routes[other].listen + ") already");
      break;
    }
    same_port.emplace(listener->address, i);
  }
}

// A share that would come back in by the same door.
void CheckOutside(const Definition& definition, const Place& place) {
  for (size_t i = 0; i < definition.routes.size(); ++i) {
    if (!definition.routes[i].outside) continue;
    const Result<OutsideAddress> server = OutsideAddress::Parse(definition.routes[i].outside->address);
    if (!server) continue;  // the shape has checked it
    for (size_t k = 0; k < definition.routes.size(); ++k) {
      const Result<Listener> listener = Listener::Parse(definition.routes[k].listen);
      if (!listener || listener->port != server->port) continue;
      const bool v6 = server->host.find(':') != std::string::npos;
      if (v6 != listener->IsIpv6() && server->host != "localhost") continue;
      const std::string& address = listener->address;
      const bool here = address.empty() || address == "::" || address == "::1" || address.starts_with("127.");
      if (server->host == address || (server->IsLoopback() && here))
        place.Fail(Item(i) + ".to.address", server->Render() + " is the listener of " + Item(k) + " (" +
                                                definition.routes[k].listen +
                                                "); expected where the other server listens");
    }
  }
}

// The ports of previews are listeners as well.
void CheckPreviews(const Definition& definition, const std::map<std::string, Service>& services,
                   const Place& place) {
  std::map<uint16_t, std::string> previews;  // port → service
  for (const auto& [name, service] : services) {
    if (!service.rollout || !service.rollout->preview || service.rollout->preview->port == 0) continue;
    const uint16_t port = service.rollout->preview->port;
    const std::string here = "services." + name + ".rollout.preview.port";
    const auto [first, is_new] = previews.emplace(port, name);
    if (!is_new)
      place.Fail(here, "port " + std::to_string(port) + " is the preview of " + first->second + " already");
    for (size_t i = 0; i < definition.routes.size(); ++i) {
      const Result<Listener> listener = Listener::Parse(definition.routes[i].listen);
      if (listener && listener->ConflictsWith({"", port}))
        place.Fail(here, "port " + std::to_string(port) + " is in use by " + Item(i) + " (" +
                             definition.routes[i].listen + ") already");
    }
  }
}

void CheckTargets(const Definition& definition, const std::map<std::string, Service>& services,
                  const Place& place) {
  std::map<std::pair<std::string, std::string>, std::pair<Protocol, size_t>> spoken;  // by service and port
  for (size_t i = 0; i < definition.routes.size(); ++i) {
    const Route& route = definition.routes[i];
    const Service& service = services.at(route.to);
    const auto* port = PortOf(service, route.port);
    if (!service.ports || service.ports->empty()) {
      place.Fail(Item(i) + ".to", route.to + " has no port; give services." + route.to + " a port");
    } else if (port == nullptr && route.port.empty()) {
      place.Fail(Item(i) + ".to", route.to + " has several ports; expected port: and the name of one");
    } else if (port == nullptr) {
      std::vector<std::string> names;
      for (const auto& candidate : *service.ports) names.push_back(candidate.first);
      place.Fail(Item(i) + ".port",
                 route.to + " has no port named " + Quoted(route.port) + DidYouMean(route.port, names));
    } else if (port->second.protocol == Protocol::kTcp &&
               (route.protocol == Protocol::kHttp || !route.host.empty())) {
      place.Fail(Item(i) + ".to", "port " + port->first + " of " + route.to +
                                      " speaks tcp; expected listen: and protocol: tcp");
    } else {
      // A port speaks to all its routes in one way.
      const Protocol protocol = route.protocol.value_or(port->second.protocol);
      if (route.outside && protocol == Protocol::kTcp)
        place.Fail(Item(i) + ".to", "port " + port->first + " of " + route.to +
                                        " speaks tcp; a share for a server elsewhere is of HTTP requests");
      const auto [first, is_new] = spoken.emplace(std::pair(route.to, port->first), std::pair(protocol, i));
      if (!is_new && first->second.first != protocol)
        place.Fail(Item(i) + ".to", "port " + port->first + " of " + route.to + " speaks " +
                                        std::string(NameOf(first->second.first)) + " to " +
                                        Item(first->second.second) + "; expected the same protocol here");
    }
  }
}

}  // namespace

void CheckRoutes(const Definition& definition, Problems& problems) {
  CheckConflicts(definition, Place(definition, problems));
  CheckOutside(definition, Place(definition, problems));
  CheckTargets(definition, definition.services, Place(definition, problems));
  CheckPreviews(definition, definition.services, Place(definition, problems));
  for (const auto& [name, environment] : definition.environments) {
    if (environment.services.empty()) continue;
    const std::map<std::string, Service> services = OverlaidServices(definition, name);
    CheckTargets(definition, services, Place(definition, problems, name));
    CheckPreviews(definition, services, Place(definition, problems, name));
  }
}

}  // namespace ingot::definition
