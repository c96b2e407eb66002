// What the daemon does for runs of jobs beside what its controllers decide.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "app/daemon.h"
#include "app/signals.h"

namespace ingot::app {

MigrationCommands Daemon::CommandsOfMigrations() {
  MigrationCommands commands;
  commands.begin = [this](const platform::EnvironmentId& environment, const plan::Revision& revision,
                          const std::string& job, uint64_t rollout) {
    jobs::StartRequest request;
    request.job = job;
    request.actor = "ingot";
    request.rollout = rollout;
    return ActOnJobs([&](jobs::Controller& controller, rollout::Controller&) {
      return controller.StartOnce(environment, revision, request);
    });
  };
  commands.find = [this](const platform::EnvironmentId& environment, uint64_t run) {
    return AskJobs([&](jobs::Controller& controller, rollout::Controller&) {
      return controller.Find(environment, run);
    });
  };
  return commands;
}

Milliseconds Daemon::TickJobs() {
  std::map<platform::EnvironmentId, jobs::Serving> serving;
  for (const platform::EnvironmentId& environment : controller_->Environments()) {
    const rollout::EnvironmentState* state = controller_->State(environment);
    if (state == nullptr) continue;
    const bool migrating = state->rollout && state->rollout->phase == rollout::Phase::kMigrating;
    const rollout::Released released = state->released.value_or(rollout::Released{});
    serving[environment] = {state->active ? &state->RevisionOf(*state->active) : nullptr,
                            state->destroying,
                            {released.rollout, released.revision},
                            migrating ? state->rollout->id : 0};
  }
  return jobs_->Tick(serving);
}

// Quick, since it is the control thread that asks: trees are removed by another one.
Result<void> Daemon::ForgetRuns(const std::vector<platform::InstanceId>& instances) {
  const fs::path forgotten = layout_.artifacts() / "forgotten";
  TRY(MakeDirectories(forgotten, 0700));
  for (const platform::InstanceId& instance : instances) {
    const std::string name = instance.FileName();
    const fs::path log = layout_.logs() / (name + ".log");
    ::unlink(log.c_str());
    for (int i = 1; ::unlink((log.string() + "." + std::to_string(i)).c_str()) == 0; ++i) {
    }
    ::unlink((layout_.artifacts() / (name + ".json")).c_str());
    if (::rename((layout_.artifacts() / name).c_str(), (forgotten / name).c_str()) < 0 && errno != ENOENT)
      return ErrnoError(errno, "forget the artifacts of " + instance.Render());
  }
  return {};
}

void Daemon::SweepForgotten() {
  // What is in it and never the folder, into which ForgetRuns may just be moving more.
  const fs::path forgotten = layout_.artifacts() / "forgotten";
  const auto names = ListDirectory(forgotten);
  if (!names && names.error().code() != Code::kNotFound)
    LogToStderr("cannot look for the artifacts of old runs: " + names.error().Render());
  if (!names) return;
  for (const std::string& name : *names)
    if (auto removed = RemoveTree(forgotten / name); !removed)
      LogToStderr("cannot remove the artifacts of old runs: " + removed.error().Render());
}

}  // namespace ingot::app
