// The part of the API about volumes.
#include "app/api.h"

namespace ingot::app {

namespace {

Json VolumeToJson(const adapters::Volumes::Volume& volume) {
  JsonArray snapshots;
  for (const auto& snapshot : volume.snapshots)
    snapshots.push_back(JsonObject{{"name", snapshot.name}, {"created", RenderTime(snapshot.created)}});
  const auto instance = platform::InstanceId::ParseFileName(volume.attached);
  return JsonObject{{"name", volume.name},
                    {"created", RenderTime(volume.created)},
                    {"size_bytes", volume.size_bytes > 0 ? Json(volume.size_bytes) : Json(nullptr)},
                    {"size_enforced", volume.size_kept},
                    {"used_bytes", volume.used_bytes ? Json(*volume.used_bytes) : Json(nullptr)},
                    {"instance", volume.attached.empty() ? Json(nullptr)
                                 : instance              ? Json(instance->Short())
                                                         : Json(volume.attached)},
                    {"snapshots", std::move(snapshots)}};
}

// "cache" of "cache-0".
std::string Declared(const std::string& name) {
  return name.substr(0, name.rfind('-'));
}

// One verb about one volume; what it did goes on the record.
struct VolumeVerb {
  Daemon& daemon;
  const adapters::HttpRequest& request;
  const platform::EnvironmentId& environment;
  const std::string& name;
  std::string snapshot;

  adapters::Volumes& volumes() const { return daemon.volumes(); }

  Result<void> Record(const char* kind, JsonObject detail) const {
    detail["volume"] = name;
    return daemon.events().Append({{"", environment.Render(), kind, request.peer.name, std::move(detail)}});
  }

  Result<Json> Create() const {
    const uint64_t size = TRY(QueryNumber(request, "size_bytes", 0));
    TRY(volumes().Create(environment, name, size));
    TRY(Record("volume.created", {{"size_bytes", size}}));
    return VolumeToJson(TRY(volumes().Find(environment, name)));
  }

  Result<Json> MakeSnapshot() const {
    const auto copied = TRY(volumes().MakeSnapshot(environment, name, snapshot));
    TRY(Record("volume.snapshot", {{"snapshot", snapshot}}));
    return Json(JsonObject{{"name", name}, {"snapshot", snapshot}, {"shared_blocks", copied.shared}});
  }

  Result<Json> Restore() const {
    adapters::Volumes::Copied copied;
    const std::string before = TRY(volumes().Restore(environment, name, snapshot, copied));
    TRY(Record("volume.restored", {{"snapshot", snapshot}, {"before", before}}));
    return Json(JsonObject{
        {"name", name}, {"snapshot", snapshot}, {"before", before}, {"shared_blocks", copied.shared}});
  }

  Result<Json> RemoveSnapshot() const {
    TRY(volumes().RemoveSnapshot(environment, name, snapshot));
    TRY(Record("volume.removed", {{"snapshot", snapshot}}));
    return Json(JsonObject{{"volume", name}, {"snapshot", snapshot}});
  }

  Result<Json> Remove() const {
    // Of one in use, that is said first: --force would not help.
    const bool in_use = !TRY(volumes().Find(environment, name)).attached.empty();
    const auto revision = TRY(daemon.RevisionWithVolume(environment, Declared(name)));
    if (revision && !in_use && !QueryFlag(request, "force"))
      return Error(Code::kRefused, "r" + std::to_string(*revision) + " of " + environment.Render() +
                                       " has the volume " + Declared(name) +
                                       ", and going back to it would find no data; --force removes " + name +
                                       " all the same");
    TRY(volumes().Remove(environment, name));
    TRY(Record("volume.removed", {}));
    return Json(JsonObject{{"volume", name}});
  }
};

}  // namespace

Result<Json> Api::VolumeVerbs(const Request& request, const Environment& environment,
                              const std::string& name) {
  adapters::Volumes& volumes = daemon_.volumes();
  const std::string& method = request.method;
  if (method == "GET" && name.empty()) {
    JsonArray out;
    for (const auto& volume : TRY(volumes.List(environment))) out.push_back(VolumeToJson(volume));
    return Json(JsonObject{{"version", 1}, {"volumes", std::move(out)}});
  }
  TRY(adapters::Volumes::CheckName(name));
  if (method == "GET") return VolumeToJson(TRY(volumes.Find(environment, name)));
  const VolumeVerb verb{daemon_, request, environment, name, TRY(QueryText(request, "snapshot"))};
  const std::string action = TRY(QueryText(request, "action"));
  if (method == "PUT") return verb.Create();
  if (method == "POST" && action == "snapshot") return verb.MakeSnapshot();
  if (method == "POST" && action == "restore") return verb.Restore();
  if (method == "DELETE") return verb.snapshot.empty() ? verb.Remove() : verb.RemoveSnapshot();
  return Error(Code::kNotFound, "the API has no " + method + " of volumes with action \"" + action + "\"");
}

}  // namespace ingot::app
