// A world for tests of runs: a platform, a journal and a clock in memory, and jobs to run.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "jobs/controller.h"
#include "platform/fake_platform.h"

namespace ingot::jobs::testing {

// Thrown in place of a kill -9: nothing of the controller survives it.
struct Killed {};

class WatchedJournal final : public Journal {
 public:
  std::function<Result<void>(const std::string&)> before;
  std::function<void(const std::string&)> after;
  MemoryJournal memory;

  Result<std::vector<State>> Load() override { return memory.Load(); }
  Result<void> Commit(const JournalStep& step) override {
    if (before) TRY(before("Commit"));
    TRY(memory.Commit(step));
    if (after) after("Commit");
    return {};
  }
  Result<Run> Read(const platform::EnvironmentId& id, uint64_t run) override { return memory.Read(id, run); }
  Result<std::vector<Run>> List(const platform::EnvironmentId& id, const std::string& job,
                                size_t limit) override {
    return memory.List(id, job, limit);
  }
  Result<std::vector<Run>> Old(const platform::EnvironmentId& id, const std::string& job,
                               size_t keep) override {
    return memory.Old(id, job, keep);
  }
  Result<void> Forget(const platform::EnvironmentId& id, const std::vector<uint64_t>& runs) override {
    return memory.Forget(id, runs);
  }
};

class World {
 public:
  World() : fake(clock), sink(clock) {
    definition::Resolved resolved;
    resolved.project = "shop";
    resolved.environment = "local";
    revision = plan::MakeRevision(1, {}, std::move(resolved), "root", clock.Now());
  }
  static platform::EnvironmentId Local() { return {"shop", "local"}; }

  plan::Job& Add(const std::string& name) {
    plan::Job job;
    job.spec.id = {Local(), name, "0123456789ab"};
    job.spec.job = true;
    job.spec.image = oci::Digest::Of(name);
    job.timeout = Milliseconds(60'000);
    revision.jobs.push_back(std::move(job));
    return revision.jobs.back();
  }

  void Open() {
    controller =
        *Controller::Open(fake, journal, sink, clock,
                          [this](const std::vector<platform::InstanceId>& instances) -> Result<void> {
                            forgotten.insert(forgotten.end(), instances.begin(), instances.end());
                            return {};
                          });
  }

  void Tick() {
    controller->Tick({{Local(), {serves ? &revision : nullptr, destroying, release, migrating}}});
  }
  void Pass(Milliseconds time, Milliseconds step = Milliseconds(10)) {
    for (Milliseconds done{0}; done < time; done += step) {
      clock.Advance(step);
      Tick();
    }
  }
  // A run of `job`, journalled.
  Result<Run> Start(const std::string& job, std::vector<std::string> arguments = {}) {
    return controller->Start(Local(), revision, {job, "root", std::move(arguments), {}});
  }
  Run Find(uint64_t run) { return *controller->Find(Local(), run); }
  std::vector<std::string> Kinds() {
    std::vector<std::string> out;
    const std::vector<audit::Event> events = sink.Read({.limit = 1'000'000}).value();
    for (const audit::Event& event : events) out.push_back(event.kind);
    return out;
  }

  FakeClock clock;
  platform::FakePlatform fake;
  WatchedJournal journal;
  audit::MemorySink sink;
  plan::Revision revision;
  bool serves = true;
  bool destroying = false;
  Release release{};
  uint64_t migrating = 0;
  std::vector<platform::InstanceId> forgotten;
  std::unique_ptr<Controller> controller;
};

}  // namespace ingot::jobs::testing
