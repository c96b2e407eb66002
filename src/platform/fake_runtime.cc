#include "platform/fake_runtime.h"

#include "platform/signals.h"

namespace ingot::platform {

namespace {

Error NotRunning(const InstanceId& id) {
  return Error(Code::kNotFound, "instance " + id.Render() + " does not run");
}

}  // namespace

Result<void> FakeRuntime::Prepare(const InstanceSpec& spec) {
  if (spec.process.args.empty())
    return Error(Code::kInvalid, "instance " + spec.id.Render() + " has no command");
  const std::lock_guard lock(mutex_);
  Entry entry{spec, {}};
  entry.status.id = spec.id;
  entries_.try_emplace(spec.id, std::move(entry));
  return {};
}

Result<void> FakeRuntime::Start(const InstanceId& id) {
  InstanceSpec spec;
  {
    const std::lock_guard lock(mutex_);
    const auto it = entries_.find(id);
    if (it == entries_.end()) return Error(Code::kNotFound, "instance " + id.Render() + " is not prepared");
    if (it->second.status.state != ProcessState::kCreated) return {};
    spec = it->second.spec;
  }
  if (on_start) TRY(on_start(spec));
  const std::lock_guard lock(mutex_);
  const auto it = entries_.find(id);
  if (it == entries_.end()) return Error(Code::kNotFound, "instance " + id.Render() + " was removed");
  if (it->second.status.state != ProcessState::kCreated) return {};
  it->second.status.state = ProcessState::kRunning;
  it->second.status.pid = next_pid_++;
  it->second.status.started = std::chrono::floor<Milliseconds>(std::chrono::system_clock::now());
  return {};
}

Result<void> FakeRuntime::Signal(const InstanceId& id, const std::string& signal) {
  const int number = TRY(ParseSignal(signal));
  std::optional<int> code = 128 + number;
  {
    const std::lock_guard lock(mutex_);
    const auto it = entries_.find(id);
    if (it == entries_.end() || it->second.status.state != ProcessState::kRunning) return NotRunning(id);
    constexpr int kKill = 9;
    if (on_signal && number != kKill) code = on_signal(it->second.spec, number);
  }
  if (code) Exit(id, code);
  return {};
}

Result<void> FakeRuntime::Remove(const InstanceId& id) {
  const std::lock_guard lock(mutex_);
  entries_.erase(id);
  return {};
}

Result<CopiedOut> FakeRuntime::CopyOut(const InstanceId& id, const std::vector<Scratch>&, const fs::path&) {
  Exit(id, 137);
  return CopiedOut{};
}

Result<std::vector<RuntimeStatus>> FakeRuntime::Observe() {
  if (observe_error) return *observe_error;
  const std::lock_guard lock(mutex_);
  std::vector<RuntimeStatus> out;
  for (const auto& [id, entry] : entries_) out.push_back(entry.status);
  return out;
}

Result<InstanceUsage> FakeRuntime::Usage(const InstanceId& id) {
  const std::lock_guard lock(mutex_);
  if (!entries_.contains(id)) return Error(Code::kNotFound, "no instance " + id.Render());
  return usage[id];
}

Result<int> FakeRuntime::Exec(const InstanceId& id, const std::vector<std::string>& args,
                              Milliseconds /*timeout*/) {
  if (args.empty()) return Error(Code::kInvalid, "a command without a program");
  InstanceSpec spec;
  {
    const std::lock_guard lock(mutex_);
    const auto it = entries_.find(id);
    if (it == entries_.end() || it->second.status.state != ProcessState::kRunning) return NotRunning(id);
    spec = it->second.spec;
  }
  return on_exec ? on_exec(spec, args) : Result<int>(0);
}

void FakeRuntime::Exit(const InstanceId& id, std::optional<int> exit_code) {
  {
    const std::lock_guard lock(mutex_);
    const auto it = entries_.find(id);
    if (it == entries_.end() || it->second.status.state != ProcessState::kRunning) return;
    it->second.status.state = ProcessState::kExited;
    it->second.status.exit_code = exit_code;
    it->second.status.pid = 0;
  }
  if (on_exit) on_exit(id);
}

std::optional<InstanceSpec> FakeRuntime::SpecOf(const InstanceId& id) {
  const std::lock_guard lock(mutex_);
  const auto it = entries_.find(id);
  return it == entries_.end() ? std::nullopt : std::optional(it->second.spec);
}

}  // namespace ingot::platform
