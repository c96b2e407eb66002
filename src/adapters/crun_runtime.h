// The Runtime of a host: crun runs an instance, conmon keeps its log and exit code across a restart of ours.
//
// What is where, and what isolates what: docs/formats/runtime.md. Nothing is kept in memory that is not also
// on disk or in the kernel, so a new process of ours finds every instance again.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "adapters/linux_namespace.h"
#include "base/clock.h"
#include "base/file.h"
#include "platform/runtime.h"

namespace ingot::adapters {

class CrunRuntime final : public platform::Runtime {
 public:
  struct Options {
    fs::path run_dir;  // bundles, pinned namespaces, exit files; every parent directory must be 0711 or wider
    fs::path log_dir;  // <instance>.log in the Kubernetes log format; survives Remove
    std::string root_key;  // names cgroups: /ingot-<root_key>/<instance>
    // Called on the runtime's own thread when an instance's process has ended and Observe says kExited, once
    // for each, also for those started by a former process of ours. May call back into the runtime.
    std::function<void(const platform::InstanceId&)> on_exit;
  };
  // kUnavailable names a program that is not installed.
  static Result<std::unique_ptr<CrunRuntime>> Open(Options options);
  // Ends the watch; instances go on.
  ~CrunRuntime() override;

  // Every call is safe from several threads; calls for one instance are made one after the other.
  Result<void> Prepare(const platform::InstanceSpec& spec) override;
  Result<void> Start(const platform::InstanceId& id) override;
  Result<void> Signal(const platform::InstanceId& id, const std::string& signal) override;
  Result<void> Remove(const platform::InstanceId& id) override;
  Result<platform::CopiedOut> CopyOut(const platform::InstanceId& id,
                                      const std::vector<platform::Scratch>& scratch,
                                      const fs::path& target) override;
  Result<std::vector<platform::RuntimeStatus>> Observe() override;
  Result<platform::InstanceUsage> Usage(const platform::InstanceId& id) override;
  Result<int> Exec(const platform::InstanceId& id, const std::vector<std::string>& args,
                   Milliseconds timeout) override;

  // Removes everything of this root that belongs to no instance with a bundle: cgroups, crun states, exit
  // files, and half-made or half-removed bundles.
  Result<void> Sweep();
  // Logs larger than `limit_bytes` become <instance>.log.1, older ones .2 … `keep`; no line is lost.
  Result<void> RotateLogs(uint64_t limit_bytes, int keep);
  fs::path LogFile(const platform::InstanceId& id) const;

  // Removes every instance, the cgroups and the pinned namespaces of this root.
  static Result<void> Teardown(const Options& options);

 private:
  class Impl;
  explicit CrunRuntime(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ingot::adapters
