// A Runtime in memory, for tests of what drives one. It keeps the contract that crun keeps
// (runtime_contract.h).
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "platform/runtime.h"

namespace ingot::platform {

class FakeRuntime final : public Runtime {
 public:
  // Decides what Start does with a spec: an Error fails it. Unset: it runs until signalled.
  std::function<Result<void>(const InstanceSpec&)> on_start;
  // The exit code of Exec. Unset: 0.
  std::function<Result<int>(const InstanceSpec&, const std::vector<std::string>&)> on_exec;
  std::map<InstanceId, InstanceUsage> usage;  // as Usage tells it
  // What a signal does: the exit code it ends with, or nothing to go on running. Unset: every signal ends it,
  // with 128 + its number.
  std::function<std::optional<int>(const InstanceSpec&, int signal)> on_signal;
  // As CrunRuntime::Options::on_exit; called on the thread that made it end.
  std::function<void(const InstanceId&)> on_exit;
  // When set, Observe returns it: "could not look".
  std::optional<Error> observe_error;

  Result<void> Prepare(const InstanceSpec& spec) override;
  Result<void> Start(const InstanceId& id) override;
  Result<void> Signal(const InstanceId& id, const std::string& signal) override;
  Result<void> Remove(const InstanceId& id) override;
  // Ends it; there is never anything in it.
  Result<CopiedOut> CopyOut(const InstanceId& id, const std::vector<Scratch>& scratch,
                            const fs::path& target) override;
  Result<std::vector<RuntimeStatus>> Observe() override;
  Result<InstanceUsage> Usage(const InstanceId& id) override;
  Result<int> Exec(const InstanceId& id, const std::vector<std::string>& args, Milliseconds timeout) override;

  // Its process ends by itself, with this code or with one that nobody saw.
  void Exit(const InstanceId& id, std::optional<int> exit_code);
  std::optional<InstanceSpec> SpecOf(const InstanceId& id);

 private:
  struct Entry {
    InstanceSpec spec;
    RuntimeStatus status;
  };
  std::mutex mutex_;
  std::map<InstanceId, Entry> entries_;
  int64_t next_pid_ = 1000;
};

}  // namespace ingot::platform
