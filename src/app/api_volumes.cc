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
  const std::string snapshot = TRY(QueryText(request, "snapshot"));
  const std::string action = TRY(QueryText(request, "action"));
  JsonObject detail{{"volume", name}};
  const auto record = [&](const char* kind) -> Result<void> {
    return daemon_.events().Append({{"", environment.Render(), kind, request.peer.name, detail}});
  };
  if (method == "PUT") {
    const uint64_t size = TRY(QueryNumber(request, "size_bytes", 0));
    TRY(volumes.Create(environment, name, size));
    detail["size_bytes"] = size;
    TRY(record("volume.created"));
    return VolumeToJson(TRY(volumes.Find(environment, name)));
  }
  if (method == "POST" && action == "snapshot") {
    const auto copied = TRY(volumes.MakeSnapshot(environment, name, snapshot));
    detail["snapshot"] = snapshot;
    TRY(record("volume.snapshot"));
    return Json(JsonObject{{"name", name}, {"snapshot", snapshot}, {"shared_blocks", copied.shared}});
  }
  if (method == "POST" && action == "restore") {
    adapters::Volumes::Copied copied;
    const std::string before = TRY(volumes.Restore(environment, name, snapshot, copied));
    detail["snapshot"] = snapshot;
    detail["before"] = before;
    TRY(record("volume.restored"));
    return Json(JsonObject{
        {"name", name}, {"snapshot", snapshot}, {"before", before}, {"shared_blocks", copied.shared}});
  }
  if (method == "DELETE") {
    if (!snapshot.empty()) {
      TRY(volumes.RemoveSnapshot(environment, name, snapshot));
      detail["snapshot"] = snapshot;
    } else {
      TRY(volumes.Find(environment, name));
      const auto revision = TRY(daemon_.RevisionWithVolume(environment, Declared(name)));
      if (revision && !QueryFlag(request, "force"))
        return Error(Code::kRefused, "r" + std::to_string(*revision) + " of " + environment.Render() +
                                         " has the volume " + Declared(name) +
                                         ", and going back to it would find no data; --force removes " +
                                         name + " all the same");
      TRY(volumes.Remove(environment, name));
    }
    TRY(record("volume.removed"));
    return Json(std::move(detail));
  }
  return Error(Code::kNotFound, "the API has no " + method + " of volumes with action \"" + action + "\"");
}

}  // namespace ingot::app
