#include <algorithm>

#include "adapters/local_platform_impl.h"

namespace ingot::adapters {

using platform::FleetId;
using platform::InstanceId;
using platform::InstanceState;
using platform::RouteTable;

bool LocalPlatform::Impl::Asks(const RouteTable& table, const FleetId& fleet) {
  return std::any_of(table.inside.begin(), table.inside.end(),
                     [&](const auto& route) { return route.asker == fleet; }) ||
         std::any_of(table.endpoints.begin(), table.endpoints.end(),
                     [&](const auto& route) { return route.asker == fleet; });
}

Result<void> LocalPlatform::Impl::Adopt() {
  std::map<InstanceId, platform::RuntimeStatus> running;
  for (auto& status : TRY(runtime_.Observe())) running.emplace(status.id, status);
  std::map<InstanceId, platform::Slot> slots;
  for (auto& [id, slot] : TRY(network_.Held())) slots.emplace(id, slot);
  auto state = state_.lock();
  std::vector<std::string> names;
  for (const std::string& name : TRY(ListDirectory(fleets_dir_))) {
    // A process that was killed while it wrote: what it replaces is there under its own name, or was never
    // started.
    if (!name.ends_with(".json")) {
      ::unlink((fleets_dir_ / name).c_str());
      continue;
    }
    auto remembered = LocalInstance::Load(fleets_dir_ / name);
    if (!remembered) {
      // Torn by a crash of the host or of another version: its instance cannot be judged, so it is not
      // kept.
      ::unlink((fleets_dir_ / name).c_str());
      continue;
    }
    const InstanceId id = remembered->id;
    names.push_back(id.FileName());
    Record& record = state->records[id];
    record.instance = std::move(*remembered);
    record.status.id = id;
    record.status.volumes = platform::VolumesOf(record.instance.fleet);
    record.status.held = record.instance.fleet.held;
    const auto slot = slots.find(id);
    const auto process = running.find(id);
    if (slot != slots.end()) record.status.address = slot->second.address;
    if (process == running.end() || process->second.state == platform::ProcessState::kCreated ||
        slot == slots.end()) {
      record.status.state = InstanceState::kFailed;
      record.status.interrupted = true;
      record.status.reason = "its start was interrupted";
    } else if (process->second.state == platform::ProcessState::kExited) {
      record.status.state = InstanceState::kExited;
      record.ended = true;
      record.status.exit_code = process->second.exit_code;
      record.status.reason = DescribeExit(process->second.exit_code, process->second.out_of_memory);
    } else {
      record.status.state = record.instance.was_ready ? InstanceState::kReady : InstanceState::kRunning;
      record.passed_gate = record.instance.was_ready;
      record.routed = record.instance.was_ready && !record.instance.fleet.held;
      record.status.pid = process->second.pid;
      record.status.started = process->second.started;
      TRY(Watch(record));
    }
  }
  for (const auto& [id, status] : running)
    if (!state->records.contains(id)) TRY(runtime_.Remove(id));
  for (const auto& [id, slot] : slots)
    if (!state->records.contains(id)) TRY(network_.Release(id));
  if (starter_.volumes != nullptr) TRY(starter_.volumes->KeepOnly(names));
  return starter_.ids.KeepOnly(names);
}

void LocalPlatform::Impl::StartLoop() {
  while (true) {
    LocalInstance instance;
    {
      auto state = state_.lock();
      while (state->to_start.empty() && state->to_copy.empty() && !state->closing) state.Wait(start_wanted_);
      if (state->closing) return;
      if (state->to_start.empty()) {
        instance = state->records.at(state->to_copy.front()).instance;
        state->to_copy.pop_front();
      }
    }
    if (instance.id != InstanceId()) {
      CopyOut(instance);
      state_.lock()->records.at(instance.id).copied = true;
      stop_wanted_.notify_one();
      continue;
    }
    {
      auto state = state_.lock();
      if (state->to_start.empty()) continue;
      const InstanceId id = state->to_start.front();
      state->to_start.pop_front();
      const auto found = state->records.find(id);
      if (found == state->records.end() || found->second.stop != StopPhase::kNone) continue;
      found->second.starting = true;
      instance = found->second.instance;
    }
    auto started = StartOne(instance);
    {
      auto state = state_.lock();
      Record& record = state->records.at(instance.id);
      record.starting = false;
      if (!started) {
        if (record.stop == StopPhase::kNone) record.status.state = InstanceState::kFailed;
        record.ended = true;  // there is nothing in it that a grace period could be for
        record.status.reason = started.error().Render();
      } else if (record.status.state == InstanceState::kStarting) {
        record.status.state = InstanceState::kRunning;
        if (auto watched = Watch(record); !watched) {
          record.status.state = InstanceState::kFailed;
          record.status.reason = watched.error().Render();
        }
      }
    }
    stop_wanted_.notify_one();
    Changed();
  }
}

Result<void> LocalPlatform::Impl::StartOne(LocalInstance instance) {
  TRY(instance.Save(FileOf(instance.id)));
  auto taken = starter_.TakeVolumes(instance);
  state_.lock()->records.at(instance.id).status.copying = false;
  TRY(std::move(taken));
  const platform::Slot slot = TRY(starter_.Acquire(instance));
  bool asks = false;
  {
    auto state = state_.lock();
    Record& record = state->records.at(instance.id);
    record.status.address = slot.address;
    const auto table = state->routes.find(instance.fleet.id.environment());
    asks = table != state->routes.end() && Asks(table->second, instance.fleet.id);
  }
  // Its neighbours have to answer from its first instruction on.
  if (asks) TRY(PushRoutes(instance.fleet.id.environment()));
  {
    auto state = state_.lock();
    Record& record = state->records.at(instance.id);
    record.status.started = SystemClock().Now();
    record.started_at = Steady::now();
  }
  TRY(starter_.Start(instance, slot));
  for (const platform::RuntimeStatus& status : TRY(runtime_.Observe())) {
    if (status.id != instance.id) continue;
    auto state = state_.lock();
    Record& record = state->records.at(instance.id);
    if (!record.ended) record.status.pid = status.pid;
  }
  return {};
}

void LocalPlatform::Impl::CopyOut(const LocalInstance& instance) {
  const std::string name = instance.id.FileName();
  auto copied = runtime_.CopyOut(instance.id, instance.fleet.scratch, options_.artifacts_dir / name);
  JsonObject about{{"version", 1}};
  if (copied) {
    JsonArray left_out;
    for (const std::string& what : copied->left_out) left_out.emplace_back(what);
    about["files"] = copied->files;
    about["size_bytes"] = copied->bytes;
    about["left_out"] = std::move(left_out);
    about["left_out_count"] = copied->left_out_count;
  } else {
    about["error"] = copied.error().Render();
  }
  // Without it nothing is said to have been kept.
  static_cast<void>(
      WriteFileAtomic(options_.artifacts_dir / (name + ".json"), RenderJson(about), 0600).has_value());
}

}  // namespace ingot::adapters
