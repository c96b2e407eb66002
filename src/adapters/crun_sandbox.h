// The Sandbox of a host: crun in a mount and process namespace of its own, so that everything of a run ends
// with the process that asked for it, also after kill -9.
#pragma once

#include <memory>
#include <string>

#include "base/file.h"
#include "platform/runtime.h"

namespace ingot::adapters {

class CrunSandbox final : public platform::Sandbox {
 public:
  struct Options {
    fs::path run_dir;      // run_dir/sb/<name>: bundles
    std::string root_key;  // names cgroups: /ingot-<root_key>-sb/<name>
    int interrupt = -1;    // a descriptor: once it is readable, what runs is killed and nothing is begun
  };
  explicit CrunSandbox(Options options) : options_(std::move(options)) {}

  // Safe from several threads, each with a name of its own.
  //
  // Build steps (host_network or `upper`): user 0 is the host's, with Docker's default capabilities and
  // seccomp. With `upper`, its work directory is made beside it as <upper>.work and removed. Image tests
  // (neither): as a serving instance: a user-namespace range, no capability, read-only root.
  //
  // kCancelled: Options::interrupt ended it (never a run with `streams`, which gets signals of its own).
  Result<int> Run(const platform::SandboxSpec& spec) override;
  Result<void> With(const platform::SandboxSpec& spec, const WhileRunning& while_running) override;
  // Removes what runs of killed processes left: cgroups and bundles; never of one that runs. Run and With
  // call it, and whoever opens or gives up the root. Does nothing, and needs nothing, where nothing is left.
  Result<void> Sweep() const;

 private:
  Options options_;
};

}  // namespace ingot::adapters
