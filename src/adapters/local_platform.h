// The Platform of one host: a runtime, network slots and a router put together.
//
// Each instance passes through: slot and id range → root mounted, secrets and scratch made → started → probed
// → ready → (stop asked) → no new connection → in flight done → stop signal → released. Starts run on a few
// worker threads; all stops are moved on by one thread, so that a slow drain holds up nothing else.
//
// What it must know after a restart of ours is in run_dir/fleets/<instance>.json (the fleet's spec, and
// whether it was ready): instances go on without us, and are found again by Open.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "adapters/id_ranges.h"
#include "adapters/local_instance.h"
#include "adapters/volumes.h"
#include "base/file.h"
#include "platform/network.h"
#include "platform/platform.h"
#include "platform/router.h"
#include "platform/runtime.h"

namespace ingot::adapters {

class LocalPlatform final : public platform::Platform {
 public:
  struct Options {
    fs::path run_dir;  // fleets/ is made below it
    size_t start_threads = 3;
    // kNotFound when the store does not have the image. Called on worker threads.
    std::function<Result<RunnableImage>(const oci::Digest&)> image;
    // What is copied out of instances (Scratch::kept): <dir>/<file name>/PATH, and <file name>.json about it.
    fs::path artifacts_dir;
    // The bytes of a secret's version. Called on worker threads.
    std::function<Result<std::string>(const platform::EnvironmentId&, const platform::SecretRef&)> secret;
    // Where members' data are; not owned, outlives the platform. Null: fleets with volumes cannot be started.
    Volumes* volumes = nullptr;
    // Something Observe reports has changed. Called on any thread of the platform, without a lock held.
    std::function<void()> on_change;
  };

  // Finds the instances of a former process. All references outlive the platform.
  static Result<std::unique_ptr<LocalPlatform>> Open(Options options, platform::Runtime& runtime,
                                                     platform::Network& network, platform::Router& router,
                                                     const IdRanges& ids);
  // Ends its threads; instances and routes go on.
  ~LocalPlatform() override;

  platform::Capabilities capabilities() const override { return {.atomic_switch = true}; }
  Result<void> SetTopology(const platform::EnvironmentId& environment,
                           const platform::Topology& topology) override;
  Result<bool> TopologySettled(const platform::EnvironmentId& environment) override;
  Result<void> Start(const platform::FleetSpec& fleet, const platform::InstanceId& instance) override;
  Result<void> Serve(const platform::InstanceId& instance) override;
  Result<void> Stop(const platform::InstanceId& instance) override;
  Result<platform::Observation> Observe() override;
  Result<void> ApplyRoutes(const platform::EnvironmentId& environment,
                           const platform::RouteTable& routes) override;
  Result<std::map<platform::FleetId, platform::FleetCounters>> Counters(
      const platform::EnvironmentId& environment) override;

  Result<std::map<platform::InstanceId, platform::InstanceUsage>> Usage(
      const std::set<platform::InstanceId>& instances) override;

  // To be called by the runtime when an instance's process has ended.
  void OnExit(const platform::InstanceId& instance);

 private:
  class Impl;
  explicit LocalPlatform(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ingot::adapters
