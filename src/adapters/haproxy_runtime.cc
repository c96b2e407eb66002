#include <algorithm>
#include <charconv>
#include <thread>

#include "adapters/haproxy_cli.h"
#include "adapters/haproxy_impl.h"

namespace ingot::adapters {

namespace {

using platform::EnvironmentId;
using platform::FleetId;
using platform::InstanceId;
using Meter = RouterMeter;

constexpr Milliseconds kAskTimeout{5000};
constexpr int kAttempts = 5;
// HAProxy takes at most tune.bufsize (16384) of a command with its payload.
constexpr size_t kCommandBytes = 12000;

std::string ServerName(const std::string& backend, size_t slot) {
  return backend + "/s" + std::to_string(slot + 1);
}

// Runs `attempt` again when the process dies under it: its successor is up in some 40 ms.
template <typename F>
auto Persistently(F attempt) -> decltype(attempt()) {
  for (int i = 1;; ++i) {
    auto result = attempt();
    if (result || result.error().code() != Code::kUnavailable || i == kAttempts) return result;
    std::this_thread::sleep_for(Milliseconds(10 * i));
  }
}

}  // namespace

Result<void> HaproxyRouter::Impl::PushServers(const RouterState& state, const RouterService* only) {
  struct Wanted {
    const RouterSlot* slot;
    uint16_t port;
  };
  std::map<std::string, Wanted> wanted;
  std::string question;
  for (const auto& [id, environment] : state.environments)
    for (const auto& service : environment.topology.services) {
      const RouterService& slots = environment.services.at(service.name);
      if (only != nullptr && only != &slots) continue;
      for (const auto& port : service.ports)
        for (size_t set = 0; set < kSetsPerService; ++set) {
          const std::string backend = BackendName(id, service.name, port.number, set);
          if (only != nullptr) question += "show servers state " + backend + ";";
          for (size_t i = 0; i < slots.sets[set].slots.size(); ++i)
            wanted[ServerName(backend, i)] = {&slots.sets[set].slots[i], port.number};
        }
    }
  if (wanted.empty()) return {};
  if (only == nullptr) question = "show servers state";
  const auto servers = TRY(ParseServersState(TRY(router_->Ask(question, kAskTimeout))));
  std::vector<std::string> commands;
  for (const auto& [name, want] : wanted) {
    const auto have = servers.find(name);
    if (have == servers.end()) return Error(Code::kInternal, "HAProxy has no server " + name);
    const ServerState& now = have->second;
    const std::string set = "set server " + name + " ";
    if (!want.slot->instance) {
      if (!now.maintenance) commands.push_back(set + "state maint");
      continue;
    }
    const bool moved = now.address != want.slot->address || now.port != want.port;
    if (moved) {
      if (!now.maintenance) commands.push_back(set + "state maint");
      commands.push_back(set + "addr " + want.slot->address + " port " + std::to_string(want.port));
    }
    if (want.slot->draining) {
      if (moved || now.maintenance || !now.drain) commands.push_back(set + "state drain");
    } else if (moved || now.maintenance || now.drain) {
      commands.push_back(set + "state ready");
      // It passed the health gate: three failed checks in a row are needed to doubt it, not one.
      commands.push_back(set + "health up");
    }
  }
  std::string line;
  for (size_t i = 0; i <= commands.size(); ++i) {
    if (!line.empty() && (i == commands.size() || line.size() + commands[i].size() > kCommandBytes)) {
      TRY(CheckChanged(TRY(router_->Ask(line, kAskTimeout))));
      line.clear();
    }
    if (i < commands.size()) line += (line.empty() ? "" : ";") + commands[i];
  }
  return {};
}

Result<void> HaproxyRouter::Impl::PushMap(const RouterState& state) {
  const std::string path = kMapPath;
  const std::string prepared = TRY(router_->Ask("prepare map " + path, kAskTimeout));
  constexpr std::string_view kCreated = "New version created: ";
  uint64_t version = 0;
  if (!prepared.starts_with(kCreated) ||
      std::from_chars(prepared.data() + kCreated.size(), prepared.data() + prepared.size(), version).ec !=
          std::errc())
    return Error(Code::kFailed, "HAProxy refuses a new route map: " + prepared.substr(0, 300));
  const std::string at = "@" + std::to_string(version) + " " + path;
  const std::string map = RenderMap(state);
  size_t begin = 0;
  while (begin < map.size()) {
    size_t end = std::min(begin + kCommandBytes, map.size());
    if (end < map.size()) end = map.rfind('\n', end - 1) + 1;
    TRY(CheckChanged(
        TRY(router_->Ask("add map " + at + " <<\n" + map.substr(begin, end - begin), kAskTimeout))));
    begin = end;
  }
  return CheckChanged(TRY(router_->Ask("commit map " + at, kAskTimeout)));
}

Result<void> HaproxyRouter::Impl::Follow(Inner& inner, const RouterService* only, bool map) {
  const bool all = inner.dirty;
  inner.dirty = true;
  TellMirror(inner);
  router_->Update(RenderRouterConfig(inner.state, limits_, Servers::kNow), RenderMap(inner.state));
  TRY(Persistently([&]() -> Result<void> {
    if (all || only != nullptr) TRY(PushServers(inner.state, all ? nullptr : only));
    return map || all ? PushMap(inner.state) : Result<void>();
  }));
  inner.dirty = false;
  return {};
}

std::vector<std::string> HaproxyRouter::Impl::Backends(const SlotPlace& place, const FleetId& fleet) const {
  std::vector<std::string> names;
  if (place.service != nullptr)
    for (const auto& port : place.service->ports)
      names.push_back(BackendName(fleet.environment(), fleet.service(), port.number, place.set));
  return names;
}

Result<void> HaproxyRouter::Impl::StartMeters(Inner& inner, RouterState& state,
                                              const std::vector<InstanceId>& added) {
  if (added.empty()) return {};
  const uint64_t generation = router_->generation();
  const auto stats = TRY(Persistently([&]() -> Result<std::map<std::string, ServerStat>> {
    return ParseServerStats(TRY(router_->Ask("show stat -1 4 -1", kAskTimeout)));
  }));
  for (const InstanceId& instance : added) {
    const SlotPlace place = FindSlot(state, instance);
    Meter meter;
    Meter::Last& last = meter.last[generation];
    for (const std::string& backend : Backends(place, instance.fleet()))
      if (const auto stat = stats.find(ServerName(backend, place.index)); stat != stats.end()) {
        last.total += stat->second.total;
        last.errors += stat->second.responses_5xx;
      }
    inner.meters[instance] = std::move(meter);
  }
  return {};
}

Result<void> HaproxyRouter::Impl::SetServers(const FleetId& fleet,
                                             const std::vector<platform::Server>& servers) {
  auto inner = inner_.lock();
  RouterState next = inner->state;
  std::vector<InstanceId> added;
  TRY(AssignServers(next, fleet, servers, &added));
  if (next == inner->state && !inner->dirty) return {};
  if (router_->Running()) TRY(StartMeters(*inner, next, added));
  TRY(WriteState(next, Durability::kNone));
  inner->state = std::move(next);
  const auto environment = inner->state.environments.find(fleet.environment());
  if (environment == inner->state.environments.end()) return {};
  std::erase_if(inner->meters, [&](const auto& meter) {
    return meter.first.fleet() == fleet && FindSlot(inner->state, meter.first).slot == nullptr;
  });
  const auto service = environment->second.services.find(fleet.service());
  if (service == environment->second.services.end()) return {};
  return Follow(*inner, &service->second, false);
}

Result<void> HaproxyRouter::Impl::ApplyRoutes(
    const EnvironmentId& environment, const platform::RouteTable& routes,
    const std::map<FleetId, std::vector<platform::Server>>& askers) {
  auto inner = inner_.lock();
  RouterState next = inner->state;
  TRY(ReserveSets(next, environment, routes));
  auto entries = TRY(RouteEntries(next, environment, routes, askers));
  const auto found = inner->state.environments.find(environment);
  if (found == inner->state.environments.end()) {
    if (entries.empty()) return {};
    return Error(Code::kNotFound, "the router has no topology of " + environment.Render());
  }
  if (found->second.entries == entries && !inner->dirty) return {};
  next.environments[environment].entries = std::move(entries);
  TRY(WriteState(next, Durability::kNone));
  inner->state = std::move(next);
  return Follow(*inner, nullptr, true);
}

Result<std::map<InstanceId, platform::ServerCounters>> HaproxyRouter::Impl::Counters() {
  auto inner = inner_.lock();
  std::map<InstanceId, platform::ServerCounters> out;
  for (const auto& [id, environment] : inner->state.environments)
    for (const auto& [name, service] : environment.services)
      for (const RouterSet& set : service.sets)
        for (const RouterSlot& slot : set.slots)
          if (slot.instance) out[*slot.instance] = {};
  if (out.empty()) return out;
  std::vector<std::pair<uint64_t, std::map<std::string, ServerStat>>> processes;
  const uint64_t generation = router_->generation();
  processes.emplace_back(generation, TRY(Persistently([&]() -> Result<std::map<std::string, ServerStat>> {
                           return ParseServerStats(TRY(router_->Ask("show stat -1 4 -1", kAskTimeout)));
                         })));
  for (auto& [old, answer] : router_->AskOld("show stat -1 4 -1", kAskTimeout))
    if (auto stats = ParseServerStats(answer); stats) processes.emplace_back(old, std::move(*stats));
  for (auto& [instance, counters] : out) {
    const SlotPlace place = FindSlot(inner->state, instance);
    Meter& meter = inner->meters[instance];
    for (const auto& [process, stats] : processes) {
      Meter::Last sum;
      for (const std::string& backend : Backends(place, instance.fleet()))
        if (const auto stat = stats.find(ServerName(backend, place.index)); stat != stats.end()) {
          sum.total += stat->second.total;
          sum.errors += stat->second.responses_5xx;
          counters.in_flight += stat->second.current + stat->second.queued;
        }
      // An old process that the meter has not met had counted before the instance was set, or was read until
      // now.
      const auto last = meter.last.find(process);
      if (last != meter.last.end() || process == generation) {
        const Meter::Last before = last != meter.last.end() ? last->second : Meter::Last{};
        meter.requests += sum.total - std::min(sum.total, before.total);
        meter.errors += sum.errors - std::min(sum.errors, before.errors);
      }
      meter.last[process] = sum;
    }
    counters.requests = meter.requests;
    counters.errors_5xx = meter.errors;
  }
  return out;
}

Result<std::map<FleetId, platform::FleetCounters>> HaproxyRouter::Impl::CountersOf(
    const std::vector<FleetId>& fleets, uint64_t rollout, uint32_t step) {
  auto inner = inner_.lock();
  std::map<FleetId, platform::FleetCounters> out;
  std::map<std::string, FleetId> owners;  // by backend
  std::string question;
  for (const FleetId& fleet : fleets) {
    out[fleet] = {};
    for (const std::string& backend : BackendsOf(inner->state, fleet)) {
      if (owners.emplace(backend, fleet).second) question += "show stat " + backend + " 2 -1;";
    }
  }
  if (owners.empty()) return out;
  const auto stats = TRY(Persistently([&]() -> Result<std::map<std::string, BackendStat>> {
    return ParseBackendStats(TRY(router_->Ask(question, kAskTimeout)));
  }));
  for (const auto& [backend, stat] : stats) {
    const auto owner = owners.find(backend);
    if (owner == owners.end()) continue;
    out[owner->second].answered += stat.answered;
    out[owner->second].errors_5xx += stat.responses_5xx;
  }
  const auto rows = TRY(Persistently([&]() -> Result<std::map<std::string, uint64_t>> {
    return ParseTable(TRY(router_->Ask(std::string("show table ") + kLatencyTable, kAskTimeout)));
  }));
  const std::string window = "|" + SplitTag(rollout, step) + "|";
  const EnvironmentId& environment = fleets.front().environment();
  const std::string ours = environment.project() + "." + environment.environment() + ".";
  std::string forget;
  for (const auto& [key, count] : rows) {
    const size_t at = key.find(window);
    if (at == std::string::npos) {
      // Of a step that is over, which nobody asks for again. What does not fit now is forgotten next time.
      if (key.starts_with(ours) && forget.size() + key.size() + 40 < kCommandBytes)
        forget += std::string("clear table ") + kLatencyTable + " key " + key + ";";
      continue;
    }
    const auto owner = owners.find(key.substr(0, at));
    uint32_t ms = 0;
    const char* text = key.data() + at + window.size();
    if (owner == owners.end() || std::from_chars(text, key.data() + key.size(), ms).ec != std::errc())
      continue;
    out[owner->second].latency_ms[ms] += count;
  }
  // A row that stays costs a little with each look, no more.
  if (!forget.empty()) static_cast<void>(router_->Ask(forget, kAskTimeout).has_value());
  TRY(CountCopies(*inner, rollout, step, out));
  return out;
}

Result<bool> HaproxyRouter::Impl::Drain(const InstanceId& instance) {
  auto inner = inner_.lock();
  const SlotPlace place = FindSlot(inner->state, instance);
  if (place.slot == nullptr) return true;
  if (!place.slot->draining || inner->dirty) {
    if (!place.slot->draining) {
      RouterState next = inner->state;
      FindSlot(next, instance).slot->draining = true;
      TRY(WriteState(next, Durability::kNone));
      place.slot->draining = true;
    }
    const auto& environment = inner->state.environments.at(instance.fleet().environment());
    TRY(Follow(*inner, &environment.services.at(instance.fleet().service()), false));
  }
  const auto backends = Backends(place, instance.fleet());
  if (backends.empty()) return true;
  if (router_->HasOld()) return false;
  std::string question;
  for (const std::string& backend : backends) question += "show stat " + backend + " 4 -1;";
  const auto stats = TRY(Persistently([&]() -> Result<std::map<std::string, ServerStat>> {
    return ParseServerStats(TRY(router_->Ask(question, kAskTimeout)));
  }));
  for (const std::string& backend : backends) {
    const auto stat = stats.find(ServerName(backend, place.index));
    if (stat == stats.end()) return Error(Code::kInternal, "HAProxy has no server of " + backend);
    if (stat->second.current + stat->second.queued != 0) return false;
  }
  return true;
}

}  // namespace ingot::adapters
