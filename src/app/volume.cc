// ingot volume: the data of stateful services, by member.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/daemon_client.h"
#include "app/project.h"
#include "app/terminal.h"
#include "app/verbs.h"
#include "base/units.h"

namespace ingot::app {

namespace {

struct VolumeOptions {
  std::string name;
  std::string snapshot;
  std::string size;
  bool force = false;
};

Result<Json> CallVolumes(const Invocation& invocation, const char* method, const std::string& rest) {
  DaemonClient client(invocation);
  return client.Call(
      method, EnvironmentPath(TRY(ProjectName(invocation)), invocation.environment, "/volumes" + rest));
}

std::string TargetOf(const VolumeOptions& options, const std::string& query = "") {
  std::string out = "/" + adapters::PercentEncode(options.name) + "?" + query;
  if (!options.snapshot.empty()) out += "&snapshot=" + adapters::PercentEncode(options.snapshot);
  return out;
}

std::string SizeOf(const JsonObject& volume) {
  const int64_t used = IntOr(volume, "used_bytes", -1);
  const int64_t size = IntOr(volume, "size_bytes", 0);
  std::string out = used >= 0 ? RenderSize(static_cast<uint64_t>(used)) : "";
  if (size <= 0) return out;
  out += (out.empty() ? "at most " : " of ") + RenderSize(static_cast<uint64_t>(size));
  return volume.at("size_enforced").as_bool() ? out : out + " (not enforced)";
}

int ListVolumes(Invocation& invocation) {
  return ShowAnswer(invocation, CallVolumes(invocation, "GET", ""), [](const JsonObject& answer) {
    const JsonArray& volumes = answer.at("volumes").as_array();
    if (volumes.empty()) return static_cast<void>(std::puts("no volumes"));
    std::vector<std::vector<std::string>> rows{{"VOLUME", "INSTANCE", "SIZE", "CREATED", "SNAPSHOTS"}};
    for (const Json& item : volumes) {
      const JsonObject& volume = item.as_object();
      std::string snapshots;
      for (const Json& snapshot : volume.at("snapshots").as_array())
        snapshots += (snapshots.empty() ? "" : " ") + StringOr(snapshot.as_object(), "name", "");
      rows.push_back({StringOr(volume, "name", ""), StringOr(volume, "instance", "-"), SizeOf(volume),
                      StringOr(volume, "created", ""), snapshots});
    }
    std::fputs(RenderTable(rows).c_str(), stdout);
  });
}

// A copy of every block takes time and room; one that shares them takes neither.
void SayHowCopied(const JsonObject& answer) {
  if (answer.at("shared_blocks").as_bool()) return;
  std::fprintf(stderr, "%s every file was copied: this file system cannot share blocks (xfs and btrfs can)\n",
               Paint(Colour::kYellow, "warning:").c_str());
}

int CreateVolume(Invocation& invocation, const VolumeOptions& options) {
  std::string query;
  if (!options.size.empty()) {
    auto size = ParseSize(options.size);
    if (!size) return Report(invocation, size.error());
    query = "size_bytes=" + std::to_string(*size);
  }
  return ShowAnswer(invocation, CallVolumes(invocation, "PUT", TargetOf(options, query)),
                    [](const JsonObject& volume) {
                      std::printf("volume %s is made\n", StringOr(volume, "name", "").c_str());
                      if (IntOr(volume, "size_bytes", 0) > 0 && !volume.at("size_enforced").as_bool())
                        std::fprintf(stderr, "%s its size is not enforced: `ingot plan` says why\n",
                                     Paint(Colour::kYellow, "warning:").c_str());
                    });
}

int SnapshotVolume(Invocation& invocation, VolumeOptions options) {
  return ShowAnswer(invocation, CallVolumes(invocation, "POST", TargetOf(options, "action=snapshot")),
                    [](const JsonObject& answer) {
                      SayHowCopied(answer);
                      std::printf("snapshot %s of %s is made\n", StringOr(answer, "snapshot", "").c_str(),
                                  StringOr(answer, "name", "").c_str());
                    });
}

int RestoreVolume(Invocation& invocation, const VolumeOptions& options) {
  return ShowAnswer(invocation, CallVolumes(invocation, "POST", TargetOf(options, "action=restore")),
                    [](const JsonObject& answer) {
                      SayHowCopied(answer);
                      std::printf(
                          "%s is as in %s; what it was is kept as %s\n", StringOr(answer, "name", "").c_str(),
                          StringOr(answer, "snapshot", "").c_str(), StringOr(answer, "before", "").c_str());
                    });
}

int RemoveVolume(Invocation& invocation, const VolumeOptions& options) {
  return ShowAnswer(
      invocation, CallVolumes(invocation, "DELETE", TargetOf(options, options.force ? "force=1" : "")),
      [](const JsonObject& answer) {
        const std::string snapshot = StringOr(answer, "snapshot", "");
        std::printf("%s%s is removed\n", snapshot.empty() ? "" : ("snapshot " + snapshot + " of ").c_str(),
                    StringOr(answer, "volume", "").c_str());
      });
}

}  // namespace

void AddVolume(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<VolumeOptions>();
  CLI::App* volume = app.add_subcommand("volume", "the data of stateful services, which outlive instances");
  volume->require_subcommand(1);
  const auto add = [&](const char* name, const char* about, std::function<int()> run) {
    CLI::App* verb = AddVerb(*volume, invocation, name, about, std::move(run));
    AddProjectOptions(*verb, invocation);
    return verb;
  };
  const auto needs_name = [&](CLI::App* verb) {
    verb->add_option("volume", options->name, "a volume with the number of its member, such as cache-0")
        ->required();
  };

  add("ls", "volumes, who has them, and their snapshots", [&invocation] { return ListVolumes(invocation); });

  CLI::App* create = add("create", "make an empty volume, before its member first starts",
                         [&invocation, options] { return CreateVolume(invocation, *options); });
  needs_name(create);
  create->add_option("--size", options->size, "the most it holds, such as 1GiB");

  CLI::App* snapshot = add("snapshot", "copy the data of a volume that no instance has",
                           [&invocation, options] { return SnapshotVolume(invocation, *options); });
  needs_name(snapshot);
  snapshot->add_option("name", options->snapshot, "of the snapshot")->required();
  snapshot->footer("Blocks are shared where the file system can (xfs, btrfs); else every file is copied.");

  CLI::App* restore = add("restore", "make the data those of a snapshot",
                          [&invocation, options] { return RestoreVolume(invocation, *options); });
  needs_name(restore);
  restore->add_option("snapshot", options->snapshot, "as `ingot volume ls` names it")->required();
  restore->footer("Refused while an instance has the volume. What it held is kept as a snapshot.");

  CLI::App* remove = add("rm", "remove a volume with its snapshots, or one of these",
                         [&invocation, options] { return RemoveVolume(invocation, *options); });
  needs_name(remove);
  remove->add_option("--snapshot", options->snapshot, "only this snapshot");
  remove->add_flag("--force", options->force, "also one that a kept revision has");
  remove->footer("Refused while an instance has the volume. Nothing brings it back.");
}

}  // namespace ingot::app
