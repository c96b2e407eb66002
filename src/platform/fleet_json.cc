#include "platform/fleet_json.h"

namespace ingot::platform {

namespace {

JsonArray Strings(const std::vector<std::string>& values) {
  JsonArray out;
  for (const std::string& value : values) out.emplace_back(value);
  return out;
}

Json ToJson(const std::vector<Port>& ports) {
  JsonArray out;
  for (const Port& port : ports)
    out.push_back(JsonObject{{"name", port.name},
                             {"number", port.number},
                             {"protocol", port.protocol == Protocol::kHttp ? "http" : "tcp"}});
  return out;
}

Json ToJson(const Probe& probe) {
  static constexpr const char* kKinds[] = {"none", "http", "tcp", "run"};
  return JsonObject{{"kind", kKinds[static_cast<int>(probe.kind)]},
                    {"port", probe.port},
                    {"path", probe.path},
                    {"command", Strings(probe.command)},
                    {"interval_ms", probe.interval.count()},
                    {"timeout_ms", probe.timeout.count()},
                    {"passes", probe.passes},
                    {"fails", probe.fails},
                    {"deadline_ms", probe.deadline.count()}};
}

Result<std::vector<std::string>> StringsFrom(const JsonObject& object, std::string_view key) {
  std::vector<std::string> out;
  for (const Json& value : *TRY(GetArray(object, key))) {
    if (!value.is_string()) return Error(Code::kInvalid, std::string(key) + ": expected strings");
    out.emplace_back(value.get_string());
  }
  return out;
}

Result<const JsonObject*> Object(const Json& json, std::string_view key) {
  if (!json.is_object()) return Error(Code::kInvalid, std::string(key) + ": expected an object");
  return &json.get_object();
}

// An integer within the type's range.
template <typename T>
Result<T> Number(const JsonObject& object, std::string_view key) {
  const int64_t value = TRY(GetInt(object, key));
  if (value < 0 || (sizeof(T) < 8 && value > static_cast<int64_t>(std::numeric_limits<T>::max())))
    return Error(Code::kInvalid, std::string(key) + ": out of range");
  return static_cast<T>(value);
}

Result<std::vector<Port>> PortsFrom(const JsonObject& object) {
  std::vector<Port> out;
  for (const Json& item : *TRY(GetArray(object, "ports"))) {
    const JsonObject& port = *TRY(Object(item, "ports"));
    const std::string protocol = TRY(GetString(port, "protocol"));
    if (protocol != "http" && protocol != "tcp")
      return Error(Code::kInvalid, "protocol: expected http or tcp");
    Port& made = out.emplace_back();
    made.name = TRY(GetString(port, "name"));
    made.number = TRY(Number<uint16_t>(port, "number"));
    made.protocol = protocol == "http" ? Protocol::kHttp : Protocol::kTcp;
  }
  return out;
}

Result<Probe> ProbeFrom(const JsonObject& parent, std::string_view key) {
  const JsonObject& object = *TRY(GetObject(parent, key));
  Probe probe;
  const std::string kind = TRY(GetString(object, "kind"));
  if (kind == "http")
    probe.kind = Probe::Kind::kHttp;
  else if (kind == "tcp")
    probe.kind = Probe::Kind::kTcp;
  else if (kind == "run")
    probe.kind = Probe::Kind::kRun;
  else if (kind != "none")
    return Error(Code::kInvalid, "kind: expected none, http, tcp or run");
  probe.port = TRY(Number<uint16_t>(object, "port"));
  probe.path = TRY(GetString(object, "path"));
  probe.command = TRY(StringsFrom(object, "command"));
  probe.interval = Milliseconds(TRY(Number<int64_t>(object, "interval_ms")));
  probe.timeout = Milliseconds(TRY(Number<int64_t>(object, "timeout_ms")));
  probe.passes = TRY(Number<int>(object, "passes"));
  probe.fails = TRY(Number<int>(object, "fails"));
  probe.deadline = Milliseconds(TRY(Number<int64_t>(object, "deadline_ms")));
  return probe;
}

Result<void> ReadVolumes(const JsonObject& object, FleetSpec& fleet) {
  for (const Json& item : *TRY(GetArray(object, "volumes"))) {
    const JsonObject& entry = *TRY(Object(item, "volumes"));
    VolumeMount& made = fleet.volumes.emplace_back();
    made.name = TRY(GetString(entry, "name"));
    made.path = TRY(GetString(entry, "path"));
    made.read_only = TRY(GetBool(entry, "read_only"));
    made.size_bytes = TRY(Number<uint64_t>(entry, "size_bytes"));
  }
  if (const Json* member = object.if_contains("member"); member != nullptr && !member->is_null())
    fleet.member = TRY(Number<uint32_t>(object, "member"));
  const JsonObject& snapshot = *TRY(GetObject(object, "snapshot"));
  fleet.snapshot.name = TRY(GetString(snapshot, "name"));
  fleet.snapshot.volumes = TRY(StringsFrom(snapshot, "volumes"));
  return {};
}

}  // namespace

Json ToJson(const FleetSpec& fleet) {
  JsonObject environment;
  for (const auto& [key, value] : fleet.environment) environment[key] = value;
  JsonArray uses;
  for (const Use& use : fleet.uses)
    uses.push_back(JsonObject{
        {"name", use.name}, {"endpoint", use.endpoint}, {"host", use.host}, {"ports", ToJson(use.ports)}});
  JsonArray scratch;
  for (const Scratch& entry : fleet.scratch)
    scratch.push_back(JsonObject{
        {"path", entry.path}, {"size_bytes", entry.size_bytes}, {"exec", entry.exec}, {"kept", entry.kept}});
  JsonArray volumes;
  for (const VolumeMount& volume : fleet.volumes)
    volumes.push_back(JsonObject{{"name", volume.name},
                                 {"path", volume.path},
                                 {"read_only", volume.read_only},
                                 {"size_bytes", volume.size_bytes}});
  JsonArray secrets;
  for (const SecretRef& secret : fleet.secrets)
    secrets.push_back(JsonObject{{"name", secret.name}, {"version", secret.version}});
  return JsonObject{
      {"id", fleet.id.Render()},
      {"image", fleet.image.Render()},
      {"job", fleet.job},
      {"args", Strings(fleet.args)},
      {"arguments", Strings(fleet.arguments)},
      {"environment", std::move(environment)},
      {"user", fleet.user},
      {"workdir", fleet.workdir},
      {"ports", ToJson(fleet.ports)},
      {"uses", std::move(uses)},
      {"ready", ToJson(fleet.ready)},
      {"live", ToJson(fleet.live)},
      {"millicpus", fleet.limits.millicpus},
      {"memory_bytes", fleet.limits.memory_bytes},
      {"pids", fleet.limits.pids},
      {"scratch", std::move(scratch)},
      {"volumes", std::move(volumes)},
      {"member", fleet.member ? Json(*fleet.member) : Json(nullptr)},
      {"held", fleet.held},
      {"snapshot", JsonObject{{"name", fleet.snapshot.name}, {"volumes", Strings(fleet.snapshot.volumes)}}},
      {"secrets", std::move(secrets)},
      {"capabilities", Strings(fleet.capabilities)},
      {"stop_signal", fleet.stop_signal},
      {"grace_ms", fleet.grace.count()},
      {"drain_ms", fleet.drain.count()}};
}

Result<FleetSpec> FleetFromJson(const Json& json) {
  const JsonObject& object = *TRY(Object(json, "fleet"));
  FleetSpec fleet;
  fleet.id = TRY(FleetId::Parse(TRY(GetString(object, "id"))));
  fleet.image = TRY(oci::Digest::Parse(TRY(GetString(object, "image"))));
  fleet.args = TRY(StringsFrom(object, "args"));
  // Not known to what was written by an earlier version.
  fleet.job = BoolOr(object, "job", false);
  if (object.contains("arguments")) fleet.arguments = TRY(StringsFrom(object, "arguments"));
  for (const auto& member : *TRY(GetObject(object, "environment"))) {
    if (!member.value().is_string()) return Error(Code::kInvalid, "environment: expected strings");
    fleet.environment[std::string(member.key())] = std::string(member.value().get_string());
  }
  fleet.user = TRY(GetString(object, "user"));
  fleet.workdir = TRY(GetString(object, "workdir"));
  fleet.ports = TRY(PortsFrom(object));
  for (const Json& item : *TRY(GetArray(object, "uses"))) {
    const JsonObject& use = *TRY(Object(item, "uses"));
    Use& made = fleet.uses.emplace_back();
    made.name = TRY(GetString(use, "name"));
    made.endpoint = TRY(GetBool(use, "endpoint"));
    made.host = TRY(GetString(use, "host"));
    made.ports = TRY(PortsFrom(use));
  }
  fleet.ready = TRY(ProbeFrom(object, "ready"));
  fleet.live = TRY(ProbeFrom(object, "live"));
  fleet.limits.millicpus = TRY(Number<uint32_t>(object, "millicpus"));
  fleet.limits.memory_bytes = TRY(Number<uint64_t>(object, "memory_bytes"));
  fleet.limits.pids = TRY(Number<uint32_t>(object, "pids"));
  for (const Json& item : *TRY(GetArray(object, "scratch"))) {
    const JsonObject& entry = *TRY(Object(item, "scratch"));
    Scratch& made = fleet.scratch.emplace_back();
    made.path = TRY(GetString(entry, "path"));
    made.size_bytes = TRY(Number<uint64_t>(entry, "size_bytes"));
    made.exec = TRY(GetBool(entry, "exec"));
    made.kept = BoolOr(entry, "kept", false);
  }
  // Not known to what was written by an earlier version.
  if (object.contains("volumes")) TRY(ReadVolumes(object, fleet));
  fleet.held = BoolOr(object, "held", false);
  for (const Json& item : *TRY(GetArray(object, "secrets"))) {
    const JsonObject& secret = *TRY(Object(item, "secrets"));
    SecretRef& made = fleet.secrets.emplace_back();
    made.name = TRY(GetString(secret, "name"));
    made.version = TRY(GetString(secret, "version"));
  }
  fleet.capabilities = TRY(StringsFrom(object, "capabilities"));
  fleet.stop_signal = TRY(GetString(object, "stop_signal"));
  fleet.grace = Milliseconds(TRY(Number<int64_t>(object, "grace_ms")));
  fleet.drain = Milliseconds(TRY(Number<int64_t>(object, "drain_ms")));
  return fleet;
}

Json ToJson(const InstanceStatus& status) {
  JsonObject out{{"id", status.id.Render()}, {"state", StateName(status.state)}};
  if (!status.reason.empty()) out["reason"] = status.reason;
  if (status.exit_code) out["exit_code"] = *status.exit_code;
  if (!status.address.empty()) out["address"] = status.address;
  if (status.pid != 0) out["pid"] = status.pid;
  if (status.started != WallTime{}) out["started"] = RenderTime(status.started);
  if (status.ready_after) out["ready_after_ms"] = status.ready_after->count();
  if (!status.volumes.empty()) out["volumes"] = Strings(status.volumes);
  if (status.held) out["held"] = true;
  return out;
}

}  // namespace ingot::platform
