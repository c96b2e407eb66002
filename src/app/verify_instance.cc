#include "app/verify_instance.h"

#include <fcntl.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "adapters/crun_config.h"
#include "app/daemon_client.h"
#include "app/terminal.h"

namespace ingot::app {

namespace {

const JsonArray& MembersOf(const JsonObject& object, std::string_view key) {
  static const JsonArray none;
  const Json* value = object.if_contains(key);
  return value != nullptr && value->is_array() ? value->get_array() : none;
}

std::string EnvironmentOf(const ListedInstance& instance) {
  return instance.id.fleet().environment().Render();
}

Error NotThere(const ListedInstance& instance) {
  return Error(Code::kUnavailable,
               "it is " + instance.state + ": it has no process whose files could be looked at");
}

// Owners as the process's user namespace shifts them.
Result<void> ReadOwners(pid_t pid, observe::ExpectedRoot& expected) {
  std::istringstream map(TRY(ReadFile("/proc/" + std::to_string(pid) + "/uid_map")));
  uint32_t inside = 0;
  if (!(map >> inside >> expected.first_id >> expected.ids) || inside != 0)
    return Error(Code::kInternal, "its user namespace is not one that Ingot makes");
  return {};
}

// What was mounted for it.
Result<std::vector<std::string>> MountsOf(const Layout& layout, const platform::InstanceId& id) {
  const fs::path file = layout.run() / "i" / id.FileName() / "config.json";
  const Json config = TRY(ParseJson(TRY(ReadFile(file))));
  std::vector<std::string> mounts;
  if (config.is_object())
    for (const Json& mount : MembersOf(config.get_object(), "mounts"))
      if (mount.is_object()) mounts.push_back(StringOr(mount.get_object(), "destination", ""));
  if (mounts.empty()) return Error(Code::kCorrupt, file.string() + " has no mounts");
  return mounts;
}

Result<observe::RootReport> CompareInstance(
    const Layout& layout, store::Store& store, const ListedInstance& instance,
    const std::function<void(uint64_t done_bytes, uint64_t total_bytes)>& progress) {
  if (instance.pid == 0) return NotThere(instance);
  const store::Image image = TRY(store.GetImage(instance.image));
  const store::Tree tree = TRY(store.MergeLayers(image.layers));
  observe::ExpectedRoot expected;
  expected.image = &tree;
  expected.own = adapters::InstanceFiles();
  expected.mounts = TRY(MountsOf(layout, instance.id));
  const Fd root = TRY(OpenFile("/proc/" + std::to_string(instance.pid) + "/root", O_RDONLY | O_DIRECTORY));
  TRY(ReadOwners(instance.pid, expected));
  // The number of a process that has ended may be another's by now.
  const auto same = [&]() -> Result<void> {
    for (const ListedInstance& now : TRY(ListInstances(layout)))
      if (now.id == instance.id && now.pid == instance.pid) return {};
    return Error(Code::kUnavailable, "it ended while it was looked at");
  };
  TRY(same());
  observe::CompareOptions options;
  options.progress = progress;
  observe::RootReport report = observe::CompareRoot(root.get(), expected, options);
  // When its process ends its mounts go, and what was found then says nothing.
  TRY(same());
  return report;
}

}  // namespace

Result<std::vector<ListedInstance>> ListInstances(const Layout& layout) {
  std::vector<ListedInstance> found;
  const Json answer = TRY(DaemonClient(layout).Call("GET", "/v1/environments"));
  if (!answer.is_object()) return Error(Code::kInternal, "the daemon's status is not an object");
  for (const Json& environment : MembersOf(answer.get_object(), "environments")) {
    if (!environment.is_object()) continue;
    for (const char* part : {"services", "fleets"}) {
      for (const Json& fleet : MembersOf(environment.get_object(), part)) {
        if (!fleet.is_object()) continue;
        for (const Json& instance : MembersOf(fleet.get_object(), "instances")) {
          if (!instance.is_object()) continue;
          ListedInstance listed;
          listed.id = TRY(platform::InstanceId::Parse(StringOr(instance.get_object(), "id", "")));
          listed.image = TRY(oci::Digest::Parse(StringOr(fleet.get_object(), "image", "")));
          listed.pid = static_cast<pid_t>(IntOr(instance.get_object(), "pid", 0));
          listed.state = StringOr(instance.get_object(), "state", "unknown");
          found.push_back(std::move(listed));
        }
      }
    }
  }
  return found;
}

Result<std::vector<ListedInstance>> FindInstances(const std::vector<ListedInstance>& all,
                                                  const std::string& name) {
  std::vector<ListedInstance> found;
  std::set<std::string> environments;
  for (const bool whole_service : {false, true}) {
    for (const ListedInstance& instance : all) {
      const std::string own = whole_service ? instance.id.fleet().service() : instance.id.Short();
      const std::string environment = EnvironmentOf(instance);
      if (name != own && name != environment + "/" + own) continue;
      environments.insert(environment);
      found.push_back(instance);
    }
    if (!found.empty()) break;
  }
  if (found.empty())
    return Error(Code::kNotFound, "there is no image, instance or service \"" + name +
                                      "\"; `ingot images ls` and `ingot status --host` list them");
  if (environments.size() > 1) {
    std::string text = "\"" + name + "\" is in several environments; write ";
    for (const std::string& environment : environments)
      text += (environment == *environments.begin() ? "" : " or ") + environment + "/" + name;
    return Error(Code::kInvalid, text);
  }
  return found;
}

VerifiedInstance VerifyInstance(
    const Layout& layout, store::Store& store, const ListedInstance& instance,
    const std::function<void(uint64_t done_bytes, uint64_t total_bytes)>& progress) {
  VerifiedInstance verified{instance, {}};
  auto report = CompareInstance(layout, store, instance, progress);
  if (report)
    verified.root = std::move(*report);
  else
    verified.root.unknown.push_back(report.error().Render());
  return verified;
}

Json ToJson(const VerifiedInstance& verified) {
  JsonArray unknown;
  for (const std::string& what : verified.root.unknown) unknown.emplace_back(what);
  const char* state = !verified.root.drifts.empty()    ? "drift"
                      : !verified.root.unknown.empty() ? "unknown"
                                                       : "none";
  return JsonObject{{"instance", verified.instance.id.Short()},
                    {"environment", EnvironmentOf(verified.instance)},
                    {"image", verified.instance.image.Render()},
                    {"state", state},
                    {"drifts", observe::ToJson(verified.root.drifts)},
                    {"unknown", std::move(unknown)},
                    {"files", verified.root.files},
                    {"bytes", verified.root.bytes}};
}

std::string RenderVerified(const VerifiedInstance& verified) {
  const std::string name = EnvironmentOf(verified.instance) + "/" + verified.instance.id.Short();
  std::string text;
  for (const observe::RootDrift& drift : verified.root.drifts)
    text += Paint(Colour::kRed, observe::RootDriftKindName(drift.kind)) + " " + name + " " + drift.path +
            ": " + drift.detail + "\n";
  for (const std::string& what : verified.root.unknown)
    text += Paint(Colour::kRed, "unknown") + " " + name + ": " + what + "\n";
  if (verified.root.ok())
    text += name + ": " + std::to_string(verified.root.files) + " files, " +
            Paint(Colour::kGreen, "as in its image") + "\n";
  return text;
}

}  // namespace ingot::app
