#include <arpa/inet.h>

#include "adapters/haproxy_state.h"

namespace ingot::adapters {

namespace {

using platform::EnvironmentId;
using platform::FleetId;
using platform::InstanceId;
using platform::Protocol;

std::string ProtocolName(Protocol protocol) {
  return protocol == Protocol::kHttp ? "http" : "tcp";
}

Result<Protocol> ParseProtocol(const std::string& text) {
  if (text == "http") return Protocol::kHttp;
  if (text == "tcp") return Protocol::kTcp;
  return Error(Code::kInvalid, "protocol: expected http or tcp");
}

Json TopologyJson(const platform::Topology& topology) {
  JsonArray services;
  for (const auto& service : topology.services) {
    JsonArray ports;
    for (const auto& port : service.ports)
      ports.push_back(
          {{"name", port.name}, {"number", port.number}, {"protocol", ProtocolName(port.protocol)}});
    JsonObject object{{"name", service.name}, {"ports", ports}, {"replicas", service.replicas}};
    if (service.sticky != platform::Topology::Sticky{})
      object["sticky"] = {{"cookie", service.sticky.cookie}, {"header", service.sticky.header}};
    if (const auto& preview = service.preview; preview != platform::Topology::Preview{})
      object["preview"] = {{"cookie", preview.cookie}, {"header", preview.header}, {"value", preview.value}};
    if (!service.shadow.methods.empty()) {
      JsonArray methods;
      for (const std::string& method : service.shadow.methods) methods.emplace_back(method);
      object["shadow"] = {{"methods", std::move(methods)},
                          {"bodies", service.shadow.bodies},
                          {"timeout_ms", service.shadow.timeout.count()}};
    }
    services.push_back(std::move(object));
  }
  JsonArray endpoints;
  for (const auto& endpoint : topology.endpoints)
    endpoints.push_back({{"name", endpoint.name}, {"host", endpoint.host}, {"port", endpoint.port}});
  JsonArray listeners;
  for (const auto& listener : topology.listeners)
    listeners.push_back({{"listen", listener.listen},
                         {"service", listener.service},
                         {"protocol", ProtocolName(listener.protocol)},
                         {"tls", listener.tls}});
  JsonArray hosts;
  for (const auto& host : topology.hosts)
    hosts.push_back({{"host", host.host}, {"path", host.path}, {"service", host.service}, {"tls", host.tls}});
  JsonObject out{
      {"services", services}, {"endpoints", endpoints}, {"listeners", listeners}, {"hosts", hosts}};
  if (topology.servers.empty()) return out;
  JsonArray servers;
  for (const auto& server : topology.servers)
    servers.push_back({{"listen", server.listen},
                       {"route_host", server.route_host},
                       {"path", server.path},
                       {"tls", server.tls},
                       {"host", server.host},
                       {"port", server.port}});
  out["servers"] = std::move(servers);
  return out;
}

Result<const JsonObject*> AsObject(const Json& json, std::string_view what) {
  if (!json.is_object()) return Error(Code::kInvalid, std::string(what) + ": expected an object");
  return &json.get_object();
}

Result<std::string> AsString(const Json& json, std::string_view what) {
  if (!json.is_string()) return Error(Code::kInvalid, std::string(what) + ": expected a string");
  return std::string(json.get_string());
}

Result<uint16_t> PortNumber(const JsonObject& object, std::string_view key) {
  const int64_t number = TRY(GetInt(object, key));
  if (number < 1 || number > 65535) return Error(Code::kInvalid, std::string(key) + ": expected a port");
  return static_cast<uint16_t>(number);
}

Result<platform::Topology> TopologyFromJson(const JsonObject& json) {
  platform::Topology topology;
  for (const Json& item : *TRY(GetArray(json, "services"))) {
    const JsonObject& object = *TRY(AsObject(item, "services"));
    platform::Topology::Service service;
    service.name = TRY(GetString(object, "name"));
    service.replicas = static_cast<uint32_t>(TRY(GetInt(object, "replicas")));
    if (object.contains("sticky")) {
      const JsonObject& sticky = *TRY(GetObject(object, "sticky"));
      service.sticky = {StringOr(sticky, "cookie", ""), StringOr(sticky, "header", "")};
    }
    if (object.contains("preview")) {
      const JsonObject& preview = *TRY(GetObject(object, "preview"));
      service.preview = {StringOr(preview, "cookie", ""), StringOr(preview, "header", ""),
                         StringOr(preview, "value", "")};
    }
    if (object.contains("shadow")) {
      const JsonObject& shadow = *TRY(GetObject(object, "shadow"));
      for (const Json& method : *TRY(GetArray(shadow, "methods")))
        service.shadow.methods.push_back(TRY(AsString(method, "methods")));
      service.shadow.bodies = TRY(GetBool(shadow, "bodies"));
      service.shadow.timeout = Milliseconds(TRY(GetInt(shadow, "timeout_ms")));
    }
    for (const Json& port : *TRY(GetArray(object, "ports"))) {
      const JsonObject& fields = *TRY(AsObject(port, "ports"));
      service.ports.push_back({TRY(GetString(fields, "name")), TRY(PortNumber(fields, "number")),
                               TRY(ParseProtocol(TRY(GetString(fields, "protocol"))))});
    }
    topology.services.push_back(std::move(service));
  }
  for (const Json& item : *TRY(GetArray(json, "endpoints"))) {
    const JsonObject& object = *TRY(AsObject(item, "endpoints"));
    topology.endpoints.push_back(
        {TRY(GetString(object, "name")), TRY(GetString(object, "host")), TRY(PortNumber(object, "port"))});
  }
  for (const Json& item : *TRY(GetArray(json, "listeners"))) {
    const JsonObject& object = *TRY(AsObject(item, "listeners"));
    topology.listeners.push_back({TRY(GetString(object, "listen")), TRY(GetString(object, "service")),
                                  TRY(ParseProtocol(TRY(GetString(object, "protocol")))),
                                  BoolOr(object, "tls", false)});
  }
  // Not in the file of an Ingot without routes by host name.
  if (!json.contains("hosts")) return topology;
  for (const Json& item : *TRY(GetArray(json, "hosts"))) {
    const JsonObject& object = *TRY(AsObject(item, "hosts"));
    topology.hosts.push_back({TRY(GetString(object, "host")), TRY(GetString(object, "path")),
                              TRY(GetString(object, "service")), TRY(GetBool(object, "tls"))});
  }
  if (!json.contains("servers")) return topology;
  for (const Json& item : *TRY(GetArray(json, "servers"))) {
    const JsonObject& object = *TRY(AsObject(item, "servers"));
    topology.servers.push_back({TRY(GetString(object, "listen")), TRY(GetString(object, "route_host")),
                                TRY(GetString(object, "path")), TRY(GetBool(object, "tls")),
                                TRY(GetString(object, "host")), TRY(PortNumber(object, "port"))});
  }
  return topology;
}

Json SetJson(const RouterSet& set) {
  JsonObject used;
  JsonObject freed;
  for (size_t i = 0; i < set.slots.size(); ++i) {
    const RouterSlot& slot = set.slots[i];
    if (slot.instance)
      used[std::to_string(i)] = {
          {"instance", slot.instance->Render()}, {"address", slot.address}, {"draining", slot.draining}};
    if (slot.freed != 0) freed[std::to_string(i)] = slot.freed;
  }
  return JsonObject{{"fleet", set.fleet ? Json(set.fleet->Render()) : Json(nullptr)},
                    {"capacity", set.slots.size()},
                    {"slots", used},
                    {"freed", freed}};
}

Result<size_t> SlotIndex(std::string_view text, size_t capacity) {
  size_t index = 0;
  for (const char c : text) {
    if (c < '0' || c > '9' || index > capacity) return Error(Code::kInvalid, "slots: bad index");
    index = index * 10 + static_cast<size_t>(c - '0');
  }
  if (text.empty() || index >= capacity) return Error(Code::kInvalid, "slots: bad index");
  return index;
}

Result<RouterSet> SetFromJson(const JsonObject& json) {
  RouterSet set;
  const int64_t capacity = TRY(GetInt(json, "capacity"));
  if (capacity < 0 || capacity > 4096) return Error(Code::kInvalid, "capacity: out of range");
  set.slots.resize(static_cast<size_t>(capacity));
  if (const std::string fleet = StringOr(json, "fleet", ""); !fleet.empty())
    set.fleet = TRY(FleetId::Parse(fleet));
  for (const auto& [key, value] : *TRY(GetObject(json, "slots"))) {
    const JsonObject& object = *TRY(AsObject(value, "slots"));
    RouterSlot& slot = set.slots[TRY(SlotIndex(key, set.slots.size()))];
    slot.instance = TRY(InstanceId::Parse(TRY(GetString(object, "instance"))));
    slot.address = TRY(GetString(object, "address"));
    struct in_addr parsed {};
    if (::inet_pton(AF_INET, slot.address.c_str(), &parsed) != 1)
      return Error(Code::kInvalid, "slots.address: expected an IPv4 address");
    slot.draining = TRY(GetBool(object, "draining"));
  }
  const JsonObject& freed = *TRY(GetObject(json, "freed"));
  for (const auto& [key, value] : freed)
    set.slots[TRY(SlotIndex(key, set.slots.size()))].freed = static_cast<uint64_t>(TRY(GetInt(freed, key)));
  return set;
}

}  // namespace

Json ToJson(const RouterState& state) {
  JsonObject environments;
  for (const auto& [id, environment] : state.environments) {
    JsonObject addresses;
    for (const auto& [name, address] : environment.addresses) addresses[name] = address;
    JsonObject services;
    for (const auto& [name, service] : environment.services) {
      JsonArray sets;
      for (const RouterSet& set : service.sets) sets.push_back(SetJson(set));
      services[name] = std::move(sets);
    }
    JsonObject entries;
    for (const auto& [key, value] : environment.entries) entries[key] = value;
    environments[id.Render()] = JsonObject{{"topology", TopologyJson(environment.topology)},
                                           {"addresses", std::move(addresses)},
                                           {"services", std::move(services)},
                                           {"map", std::move(entries)}};
  }
  JsonObject numbers;
  for (const auto& [key, number] : state.numbers) numbers[key] = number;
  return JsonObject{{"version", 1},
                    {"environments", std::move(environments)},
                    {"descriptors", std::move(numbers)},
                    {"sequence", state.sequence},
                    {"last_address", state.last_address}};
}

Result<RouterState> RouterStateFromJson(const Json& json) {
  const JsonObject& object = *TRY(AsObject(json, "router state"));
  if (TRY(GetInt(object, "version")) != 1) return Error(Code::kInvalid, "version: expected 1");
  RouterState state;
  state.sequence = static_cast<uint64_t>(TRY(GetInt(object, "sequence")));
  state.last_address = static_cast<uint32_t>(TRY(GetInt(object, "last_address")));
  const JsonObject& numbers = *TRY(GetObject(object, "descriptors"));
  for (const auto& [key, value] : numbers)
    state.numbers[std::string(key)] = static_cast<uint32_t>(TRY(GetInt(numbers, key)));
  for (const auto& [id, value] : *TRY(GetObject(object, "environments"))) {
    const JsonObject& fields = *TRY(AsObject(value, "environments"));
    RouterEnvironment environment;
    const EnvironmentId environment_id = TRY(EnvironmentId::Parse(std::string(id)));
    environment.topology = TRY(TopologyFromJson(*TRY(GetObject(fields, "topology"))));
    for (const auto& [name, address] : *TRY(GetObject(fields, "addresses")))
      environment.addresses[std::string(name)] = TRY(AsString(address, "addresses"));
    for (const auto& [name, sets] : *TRY(GetObject(fields, "services"))) {
      if (!sets.is_array() || sets.get_array().size() != kSetsPerService)
        return Error(Code::kInvalid, "services: expected three sets");
      for (size_t i = 0; i < kSetsPerService; ++i)
        environment.services[std::string(name)].sets[i] =
            TRY(SetFromJson(*TRY(AsObject(sets.get_array()[i], "services"))));
    }
    for (const auto& [key, entry] : *TRY(GetObject(fields, "map")))
      environment.entries.emplace_back(std::string(key), TRY(AsString(entry, "map")));
    for (const auto& service : environment.topology.services)
      if (!environment.services.contains(service.name) || !environment.addresses.contains(service.name))
        return Error(Code::kInvalid, "services: " + service.name + " is missing");
    for (const auto& endpoint : environment.topology.endpoints)
      if (!environment.addresses.contains(endpoint.name))
        return Error(Code::kInvalid, "addresses: " + endpoint.name + " is missing");
    state.environments[environment_id] = std::move(environment);
  }
  return state;
}

}  // namespace ingot::adapters
