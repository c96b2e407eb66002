// `ingot verify INSTANCE`: what a running instance sees, against its image.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "app/layout.h"
#include "base/json.h"
#include "observe/root_drift.h"
#include "oci/digest.h"
#include "platform/ids.h"
#include "store/store.h"

namespace ingot::app {

// An instance as the daemon lists it.
struct ListedInstance {
  platform::InstanceId id;
  oci::Digest image;
  pid_t pid = 0;      // 0: it has no process
  std::string state;  // "ready", "exited", …
};

// Of every environment. An Error is "could not look": the daemon does not answer.
Result<std::vector<ListedInstance>> ListInstances(const Layout& layout);
// Those that people mean by "web-17" or "shop/local/web-17" (one), and by the name of a service, "web" or
// "shop/local/web" (all of it). kNotFound; kInvalid when several environments have one of that name.
Result<std::vector<ListedInstance>> FindInstances(const std::vector<ListedInstance>& all,
                                                  const std::string& name);

struct VerifiedInstance {
  ListedInstance instance;
  observe::RootReport root;
};
// Compares what its process sees as "/" with the image's layers, while it runs. What could not be looked at
// (it does not run, it ended meanwhile) is in the report.
VerifiedInstance VerifyInstance(
    const Layout& layout, store::Store& store, const ListedInstance& instance,
    const std::function<void(uint64_t done_bytes, uint64_t total_bytes)>& progress);
// {"instance", "environment", "image", "state": "none|drift|unknown", "drifts", "unknown", "files", "bytes"}
Json ToJson(const VerifiedInstance& verified);
// A line for each drift and each thing that is unknown.
std::string RenderVerified(const VerifiedInstance& verified);

}  // namespace ingot::app
