// One instance of the local platform: what is remembered of it on disk, and how it is put together from an
// image, a slot, an id range, secrets and its neighbours' addresses.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "adapters/id_ranges.h"
#include "adapters/volumes.h"
#include "base/file.h"
#include "oci/image_config.h"
#include "platform/network.h"
#include "platform/router.h"
#include "platform/runtime.h"

namespace ingot::adapters {

// What an instance needs of its image.
struct RunnableImage {
  platform::RootFs root;
  oci::ImageConfig config;
};

struct LocalInstance {
  platform::InstanceId id;
  platform::FleetSpec fleet;
  bool was_ready = false;

  // Inverses. Not made durable: after a reboot there is no instance to remember.
  Result<void> Save(const fs::path& file) const;
  static Result<LocalInstance> Load(const fs::path& file);
};

// "ended with exit code 3", "ended: killed because it used more memory than its limit", "ended; nobody saw
// how".
std::string DescribeExit(std::optional<int> exit_code, bool out_of_memory);

// What a container of the fleet runs: the image's config with the service's declarations on top.
platform::Process MergeProcess(const oci::ImageConfig& config, const platform::FleetSpec& fleet);

struct InstanceStarter {
  std::function<Result<RunnableImage>(const oci::Digest&)> image;
  std::function<Result<std::string>(const platform::EnvironmentId&, const platform::SecretRef&)> secret;
  platform::Runtime& runtime;
  platform::Network& network;
  platform::Router& router;
  const IdRanges& ids;
  Volumes* volumes = nullptr;

  // What its fleet's member has; copied first where the fleet says so, which takes as long as there are data.
  Result<void> TakeVolumes(const LocalInstance& instance) const;
  Result<platform::Slot> Acquire(const LocalInstance& instance) const;
  // Root, scratch, secrets, hosts, process: returns when it runs.
  Result<void> Start(const LocalInstance& instance, const platform::Slot& slot) const;
  // Ends and releases everything of it but its log. Idempotent.
  Result<void> Release(const platform::InstanceId& id) const;
  // The fleet's, else its image's, else SIGTERM.
  std::string StopSignal(const platform::FleetSpec& fleet) const;
};

}  // namespace ingot::adapters
