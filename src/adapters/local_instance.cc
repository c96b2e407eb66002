#include "adapters/local_instance.h"

#include "platform/fleet_json.h"

namespace ingot::adapters {

Result<void> LocalInstance::Save(const fs::path& file) const {
  const Json json = JsonObject{{"version", 1},
                               {"instance", id.Render()},
                               {"was_ready", was_ready},
                               {"fleet", platform::ToJson(fleet)}};
  return WriteFileAtomic(file, RenderJson(json), 0600, Durability::kNone);
}

Result<LocalInstance> LocalInstance::Load(const fs::path& file) {
  const Json json = TRY(ParseJson(TRY(ReadFile(file, 1 << 20))));
  if (!json.is_object()) return Error(Code::kCorrupt, file.string() + " does not describe an instance");
  const JsonObject& object = json.get_object();
  if (TRY(GetInt(object, "version")) != 1)
    return Error(Code::kUnsupported, file.string() + " was written by another version of Ingot");
  LocalInstance instance;
  instance.id = TRY(platform::InstanceId::Parse(TRY(GetString(object, "instance"))));
  instance.was_ready = TRY(GetBool(object, "was_ready"));
  instance.fleet = TRY(platform::FleetFromJson(*TRY(GetObject(object, "fleet"))));
  return instance;
}

std::string DescribeExit(std::optional<int> exit_code, bool out_of_memory) {
  if (out_of_memory) return "ended: killed because it used more memory than its limit";
  if (!exit_code) return "ended; nobody saw how";
  if (*exit_code > 128) return "ended: killed by signal " + std::to_string(*exit_code - 128);
  return "ended with exit code " + std::to_string(*exit_code);
}

platform::Process MergeProcess(const oci::ImageConfig& config, const platform::FleetSpec& fleet) {
  platform::Process process;
  process.args = fleet.args;
  if (process.args.empty()) {
    if (config.config.entrypoint) process.args = *config.config.entrypoint;
    if (config.config.cmd && fleet.arguments.empty())
      process.args.insert(process.args.end(), config.config.cmd->begin(), config.config.cmd->end());
  }
  process.args.insert(process.args.end(), fleet.arguments.begin(), fleet.arguments.end());
  process.environment["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const std::string& pair : config.config.env) {
    const size_t equals = pair.find('=');
    if (equals != std::string::npos) process.environment[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  for (const auto& [name, value] : fleet.environment) process.environment[name] = value;
  process.workdir = !fleet.workdir.empty() ? fleet.workdir : config.config.working_dir;
  if (process.workdir.empty()) process.workdir = "/";
  process.user = !fleet.user.empty() ? fleet.user : config.config.user;
  process.capabilities = fleet.capabilities;
  return process;
}

std::string InstanceStarter::StopSignal(const platform::FleetSpec& fleet) const {
  if (!fleet.stop_signal.empty()) return fleet.stop_signal;
  if (auto found = image(fleet.image); found && !found->config.config.stop_signal.empty())
    return found->config.config.stop_signal;
  return "SIGTERM";
}

Result<void> InstanceStarter::TakeVolumes(const LocalInstance& instance) const {
  if (instance.fleet.volumes.empty()) return {};
  if (volumes == nullptr) return Error(Code::kUnsupported, "this platform has no volumes");
  return volumes->Attach(instance.fleet, instance.id);
}

Result<platform::Slot> InstanceStarter::Acquire(const LocalInstance& instance) const {
  return network.Acquire(instance.id);
}

Result<void> InstanceStarter::Start(const LocalInstance& instance, const platform::Slot& slot) const {
  const platform::FleetSpec& fleet = instance.fleet;
  RunnableImage runnable = TRY(image(fleet.image));
  platform::InstanceSpec spec;
  spec.id = instance.id;
  spec.root = std::move(runnable.root);
  spec.process = MergeProcess(runnable.config, fleet);
  if (spec.process.args.empty())
    return Error(Code::kInvalid, "the image of " + fleet.id.service() +
                                     " has neither ENTRYPOINT nor CMD; set `command` in the definition");
  spec.ids = TRY(ids.Acquire(instance.id.FileName()));
  spec.limits = fleet.limits;
  spec.scratch = fleet.scratch;
  for (const platform::VolumeMount& mount : fleet.volumes)
    spec.volumes.push_back(
        {volumes->DataOf(fleet.id.environment(), platform::VolumeName(mount.name, fleet.member.value_or(0))),
         mount.path, mount.read_only});
  if (fleet.member) spec.hostname = fleet.id.service() + "-" + std::to_string(*fleet.member);
  for (const platform::SecretRef& ref : fleet.secrets)
    spec.secrets[ref.name] = TRY(secret(fleet.id.environment(), ref));
  for (const platform::Use& use : fleet.uses) {
    const std::string address = TRY(router.VirtualAddress(fleet.id.environment(), use.name));
    spec.hosts[use.name] = address;
    // An endpoint is also reached by the name that its certificate carries.
    if (use.endpoint && !use.host.empty()) spec.hosts[use.host] = address;
  }
  spec.network_namespace = slot.namespace_path;
  spec.stop_signal = StopSignal(fleet);
  TRY(runtime.Prepare(spec));
  return runtime.Start(instance.id);
}

Result<void> InstanceStarter::Release(const platform::InstanceId& id) const {
  TRY(runtime.Remove(id));
  // Nothing of it is left that could write: the volumes are free.
  if (volumes != nullptr) TRY(volumes->Detach(id));
  TRY(network.Release(id));
  return ids.Release(id.FileName());
}

}  // namespace ingot::adapters
