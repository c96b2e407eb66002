#include "adapters/local_platform.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <set>
#include <thread>

#include "adapters/prober.h"
#include "base/sync.h"

namespace ingot::adapters {

using platform::EnvironmentId;
using platform::FleetId;
using platform::FleetSpec;
using platform::InstanceId;
using platform::InstanceState;
using platform::RouteTable;
using platform::Server;

namespace {

using Steady = std::chrono::steady_clock;
constexpr auto kStopPoll = std::chrono::milliseconds(5);
constexpr int kRemovalNice = 10;

enum class StopPhase { kNone, kAsked, kDraining, kSignalled };

struct Record {
  LocalInstance instance;
  platform::InstanceStatus status;
  bool starting = false;     // a worker is at it
  bool passed_gate = false;  // the prober said ready; kReady follows once the router has it
  bool routed = false;       // the router has it among the fleet's servers
  bool serve_asked = false;  // it is held no longer than until the router has it
  bool ended = false;        // its process has been seen to end
  bool copying = false;      // a worker is at what it leaves
  bool copied = false;
  StopPhase stop = StopPhase::kNone;
  Steady::time_point stop_deadline;
  Steady::time_point started_at;
};

struct State {
  std::map<InstanceId, Record> records;
  std::map<EnvironmentId, RouteTable> routes;
  std::deque<InstanceId> to_start;
  std::deque<InstanceId> to_copy;
  std::set<FleetId> to_route;
  bool closing = false;
};

bool Keeps(const FleetSpec& fleet) {
  return std::any_of(fleet.scratch.begin(), fleet.scratch.end(),
                     [](const platform::Scratch& scratch) { return scratch.kept; });
}

bool Asks(const RouteTable& table, const FleetId& fleet) {
  return std::any_of(table.inside.begin(), table.inside.end(),
                     [&](const auto& route) { return route.asker == fleet; }) ||
         std::any_of(table.endpoints.begin(), table.endpoints.end(),
                     [&](const auto& route) { return route.asker == fleet; });
}

}  // namespace

class LocalPlatform::Impl {
 public:
  Impl(Options options, platform::Runtime& runtime, platform::Network& network, platform::Router& router,
       const IdRanges& ids)
      : options_(std::move(options)),
        runtime_(runtime),
        network_(network),
        router_(router),
        starter_{options_.image, options_.secret, runtime, network, router, ids, options_.volumes},
        fleets_dir_(options_.run_dir / "fleets") {}

  ~Impl() {
    state_.lock()->closing = true;
    start_wanted_.notify_all();
    route_wanted_.notify_all();
    stop_wanted_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    prober_.reset();
  }

  Result<void> Open() {
    TRY(MakeDirectories(fleets_dir_, 0711));
    if (!options_.artifacts_dir.empty()) TRY(MakeDirectories(options_.artifacts_dir, 0700));
    prober_ = TRY(Prober::Start(
        network_.router_namespace(),
        [this](const InstanceId& id, const std::vector<std::string>& command, Milliseconds timeout) {
          return runtime_.Exec(id, command, timeout);
        },
        [this](const InstanceId& id, Health health, const std::string& reason) {
          OnHealth(id, health, reason);
        }));
    TRY(Adopt());
    for (size_t i = 0; i < options_.start_threads; ++i) threads_.emplace_back([this] { StartLoop(); });
    threads_.emplace_back([this] { RouteLoop(); });
    threads_.emplace_back([this] { StopLoop(); });
    return {};
  }

  Result<void> SetTopology(const EnvironmentId& environment, const platform::Topology& topology) {
    return router_.SetTopology(environment, topology);
  }

  Result<void> Start(const FleetSpec& fleet, const InstanceId& id) {
    {
      auto state = state_.lock();
      if (state->records.contains(id)) return {};
      Record& record = state->records[id];
      record.instance.fleet = fleet;
      record.instance.id = id;
      record.status.id = id;
      record.status.state = InstanceState::kStarting;
      record.status.volumes = platform::VolumesOf(fleet);
      record.status.copying = !fleet.snapshot.volumes.empty();
      record.status.held = fleet.held;
      state->to_start.push_back(id);
    }
    start_wanted_.notify_one();
    return {};
  }

  // The file says that it is held until the router has it: killed before that, we are asked again.
  Result<void> Serve(const InstanceId& id) {
    {
      auto state = state_.lock();
      const auto found = state->records.find(id);
      if (found == state->records.end() || !found->second.instance.fleet.held || found->second.serve_asked ||
          found->second.stop != StopPhase::kNone)
        return {};
      found->second.serve_asked = true;
      state->to_route.insert(id.fleet());
    }
    route_wanted_.notify_one();
    return {};
  }

  Result<void> Stop(const InstanceId& id) {
    {
      auto state = state_.lock();
      const auto found = state->records.find(id);
      if (found == state->records.end() || found->second.stop != StopPhase::kNone) return {};
      found->second.stop = StopPhase::kAsked;
      found->second.status.state = InstanceState::kStopping;
    }
    stop_wanted_.notify_one();
    return {};
  }

  Result<platform::Observation> Observe() {
    platform::Observation out;
    auto state = state_.lock();
    for (const auto& [id, record] : state->records)
      (record.instance.fleet.job ? out.runs : out.instances).push_back(record.status);
    return out;
  }

  Result<void> ApplyRoutes(const EnvironmentId& environment, const RouteTable& routes) {
    state_.lock()->routes[environment] = routes;
    return PushRoutes(environment);
  }

  Result<std::map<FleetId, platform::FleetCounters>> Counters(const EnvironmentId& environment) {
    RouteTable table;
    if (auto state = state_.lock(); state->routes.contains(environment))
      table = state->routes.at(environment);
    std::set<FleetId> fleets;
    const auto add = [&](const auto& route) {
      if (!route.split) return;
      fleets.insert(route.fleet);
      fleets.insert(route.split->fleet);
    };
    for (const auto& route : table.outside) add(route);
    for (const auto& route : table.inside) add(route);
    return router_.CountersOf({fleets.begin(), fleets.end()}, table.rollout, table.step);
  }

  Result<std::map<InstanceId, platform::InstanceUsage>> Usage(const std::set<InstanceId>& instances) {
    std::map<InstanceId, platform::InstanceUsage> out;
    for (const InstanceId& id : instances) {
      auto usage = runtime_.Usage(id);
      if (usage)
        out.emplace(id, *usage);
      else if (usage.error().code() != Code::kNotFound)
        return std::move(usage).error();
    }
    // What it counts is missing, not what the kernel counts.
    const auto counters = router_.Counters();
    if (!counters) return out;
    for (auto& [id, usage] : out)
      if (const auto found = counters->find(id); found != counters->end())
        usage.requests = found->second.requests;
    return out;
  }

  void OnExit(const InstanceId& id) {
    auto statuses = runtime_.Observe();
    {
      auto state = state_.lock();
      const auto found = state->records.find(id);
      if (found == state->records.end()) return;
      Record& record = found->second;
      std::optional<int> code;
      bool out_of_memory = false;
      if (statuses) {
        for (const auto& status : *statuses) {
          if (status.id != id) continue;
          code = status.exit_code;
          out_of_memory = status.out_of_memory;
        }
      }
      record.ended = true;
      record.status.exit_code = code;
      record.status.pid = 0;
      record.status.reason = DescribeExit(code, out_of_memory);
      if (record.stop == StopPhase::kNone) {
        record.status.state = InstanceState::kExited;
        record.passed_gate = false;
        if (!record.instance.fleet.job) state->to_route.insert(id.fleet());
      }
    }
    prober_->Unwatch(id);
    route_wanted_.notify_one();
    stop_wanted_.notify_one();
    Changed();
  }

 private:
  void Changed() {
    if (options_.on_change) options_.on_change();
  }

  fs::path FileOf(const InstanceId& id) const { return fleets_dir_ / (id.FileName() + ".json"); }

  // What a former process of ours left running, and what it left half done.
  Result<void> Adopt() {
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

  Result<void> Watch(const Record& record) {
    if (record.instance.fleet.job) return {};  // what has to be known of a run is its end
    return prober_->Watch({.instance = record.instance.id,
                           .address = record.status.address,
                           .ready = record.instance.fleet.ready,
                           .live = record.instance.fleet.live,
                           .already_ready = record.instance.was_ready,
                           .held = record.instance.fleet.held});
  }

  void OnHealth(const InstanceId& id, Health health, const std::string& reason) {
    {
      auto state = state_.lock();
      const auto found = state->records.find(id);
      if (found == state->records.end()) return;
      Record& record = found->second;
      if (record.stop != StopPhase::kNone || record.status.state == InstanceState::kExited) return;
      record.passed_gate = health == Health::kReady;
      if (health == Health::kReady) {
        if (!record.status.ready_after && record.started_at != Steady::time_point{})
          record.status.ready_after = std::chrono::ceil<Milliseconds>(Steady::now() - record.started_at);
      } else {
        record.status.state = health == Health::kFailed ? InstanceState::kFailed : InstanceState::kUnhealthy;
        record.status.reason = reason;
      }
      state->to_route.insert(id.fleet());
    }
    route_wanted_.notify_one();
    if (health != Health::kReady) Changed();
  }

  void StartLoop() {
    while (true) {
      LocalInstance instance;
      {
        auto state = state_.lock();
        while (state->to_start.empty() && state->to_copy.empty() && !state->closing)
          state.Wait(start_wanted_);
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

  // What it leaves, and a word about it: that is all there is of an instance that is gone.
  void CopyOut(const LocalInstance& instance) {
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

  Result<void> StartOne(LocalInstance instance) {
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

  // Writes the environment's whole table with the addresses that its fleets have now.
  Result<void> PushRoutes(const EnvironmentId& environment) {
    auto router = router_turn_.lock();
    RouteTable table;
    std::map<FleetId, std::vector<Server>> askers;
    {
      auto state = state_.lock();
      table = state->routes[environment];
      for (const auto& [id, record] : state->records) {
        if (id.fleet().environment() != environment || record.status.address.empty()) continue;
        if (Asks(table, id.fleet())) askers[id.fleet()].push_back({id, record.status.address});
      }
    }
    return router_.ApplyRoutes(environment, table, askers);
  }

  // Gives the router the instances of a fleet that may carry traffic; those that passed the gate become ready
  // by it.
  Result<void> PushServers(const FleetId& fleet) {
    auto router = router_turn_.lock();
    std::vector<Server> servers;
    std::vector<InstanceId> joined;
    {
      auto state = state_.lock();
      for (auto& [id, record] : state->records) {
        if (id.fleet() != fleet) continue;
        // One that is being drained stays among the servers until it has nothing in flight.
        const bool stays =
            record.routed && (record.stop == StopPhase::kAsked || record.stop == StopPhase::kDraining);
        const bool held = record.instance.fleet.held && !record.serve_asked;
        if (!stays && (held || !record.passed_gate || record.stop != StopPhase::kNone)) {
          record.routed = false;
          // What cannot be remembered is proven again by the next daemon; it is ready all the same.
          if (held && record.passed_gate && record.stop == StopPhase::kNone &&
              record.status.state != InstanceState::kReady)
            static_cast<void>(SetReady(record).has_value());
          continue;
        }
        servers.push_back({id, record.status.address});
        if (!record.routed) joined.push_back(id);
      }
    }
    TRY(router_.SetServers(fleet, servers));
    auto state = state_.lock();
    for (const InstanceId& id : joined) {
      const auto found = state->records.find(id);
      if (found == state->records.end()) continue;
      Record& record = found->second;
      record.routed = true;
      if (record.passed_gate && record.stop == StopPhase::kNone) {
        const bool was_held = std::exchange(record.instance.fleet.held, false);
        record.status.held = record.serve_asked = false;
        TRY(SetReady(record));
        if (was_held) TRY(Watch(record));
      }
    }
    return {};
  }

  // With the lock held: written after the instance was removed, the file would stay.
  Result<void> SetReady(Record& record) const {
    record.status.state = InstanceState::kReady;
    record.status.reason.clear();
    record.instance.was_ready = true;
    return record.instance.Save(FileOf(record.instance.id));
  }

  void RouteLoop() {
    while (true) {
      std::set<FleetId> fleets;
      {
        auto state = state_.lock();
        while (state->to_route.empty() && !state->closing) state.Wait(route_wanted_);
        if (state->closing) return;
        fleets.swap(state->to_route);
      }
      for (const FleetId& fleet : fleets) {
        auto pushed = PushServers(fleet);
        if (pushed) continue;
        auto state = state_.lock();
        for (auto& [id, record] : state->records)
          if (id.fleet() == fleet && record.passed_gate && !record.routed)
            record.status.reason = "cannot be routed to: " + pushed.error().Render();
        state->to_route.insert(fleet);
        state.WaitFor(route_wanted_, std::chrono::milliseconds(100));
        if (state->closing) return;
      }
      Changed();
    }
  }

  void StopLoop() {
    // Of this thread alone: what is taken away has time, and a switch that comes meanwhile has none.
    ::setpriority(PRIO_PROCESS, 0, kRemovalNice);
    while (true) {
      std::vector<InstanceId> stopping;
      {
        auto state = state_.lock();
        while (!state->closing) {
          for (const auto& [id, record] : state->records)
            if (record.stop != StopPhase::kNone && !record.starting) stopping.push_back(id);
          if (!stopping.empty()) break;
          state.Wait(stop_wanted_);
        }
        if (state->closing) return;
      }
      bool moved = false;
      for (const InstanceId& id : stopping) moved |= MoveStop(id);
      if (moved) {
        Changed();
        continue;
      }
      auto state = state_.lock();
      if (state->closing) return;
      state.WaitFor(stop_wanted_, kStopPoll);
    }
  }

  // Takes one instance a step further towards its end; true when something changed.
  bool MoveStop(const InstanceId& id) {
    StopPhase phase = StopPhase::kNone;
    bool routed = false;
    bool alive = false;
    Steady::time_point deadline;
    FleetSpec fleet;
    bool copied = false;
    {
      auto state = state_.lock();
      const Record& record = state->records.at(id);
      copied = record.copied;
      phase = record.stop;
      routed = record.routed;
      alive = record.status.started != WallTime{} && !record.ended;
      deadline = record.stop_deadline;
      fleet = record.instance.fleet;
    }
    const auto now = Steady::now();
    switch (phase) {
      case StopPhase::kNone:
        return false;
      case StopPhase::kAsked:
        prober_->Unwatch(id);
        SetPhase(id, StopPhase::kDraining, now + fleet.drain);
        return true;
      case StopPhase::kDraining: {
        if (routed && alive && now < deadline) {
          auto drained = router_.Drain(id);
          if (!drained || !*drained) return false;
        }
        SetPhase(id, StopPhase::kSignalled, now + fleet.grace);
        // Out of the router before its process goes; a router that does not answer must not keep it alive for
        // ever.
        if (routed) static_cast<void>(PushServers(id.fleet()).has_value());
        if (alive) static_cast<void>(runtime_.Signal(id, starter_.StopSignal(fleet)).has_value());
        return true;
      }
      case StopPhase::kSignalled: {
        if (alive && now < deadline) return false;
        if (Keeps(fleet) && !copied) {
          auto state = state_.lock();
          if (std::exchange(state->records.at(id).copying, true)) return false;
          state->to_copy.push_back(id);
          start_wanted_.notify_one();
          return false;
        }
        if (!starter_.Release(id)) return false;  // tried again at the next turn
        ::unlink(FileOf(id).c_str());
        state_.lock()->records.erase(id);
        return true;
      }
    }
    return false;
  }

  void SetPhase(const InstanceId& id, StopPhase phase, Steady::time_point deadline) {
    auto state = state_.lock();
    Record& record = state->records.at(id);
    record.stop = phase;
    record.stop_deadline = deadline;
  }

  Options options_;
  platform::Runtime& runtime_;
  platform::Network& network_;
  platform::Router& router_;
  std::unique_ptr<Prober> prober_;
  InstanceStarter starter_;
  fs::path fleets_dir_;
  Sync<State> state_;
  Sync<int> router_turn_;  // one writer at a time; always taken before state_
  std::condition_variable start_wanted_;
  std::condition_variable route_wanted_;
  std::condition_variable stop_wanted_;
  std::vector<std::thread> threads_;

  friend class LocalPlatform;
};

LocalPlatform::LocalPlatform(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LocalPlatform::~LocalPlatform() = default;

Result<std::unique_ptr<LocalPlatform>> LocalPlatform::Open(Options options, platform::Runtime& runtime,
                                                           platform::Network& network,
                                                           platform::Router& router, const IdRanges& ids) {
  auto impl = std::make_unique<Impl>(std::move(options), runtime, network, router, ids);
  TRY(impl->Open());
  return std::unique_ptr<LocalPlatform>(new LocalPlatform(std::move(impl)));
}

Result<void> LocalPlatform::SetTopology(const EnvironmentId& environment,
                                        const platform::Topology& topology) {
  return impl_->SetTopology(environment, topology);
}
Result<bool> LocalPlatform::TopologySettled(const EnvironmentId&) {
  return impl_->router_.TopologySettled();
}
Result<void> LocalPlatform::Start(const FleetSpec& fleet, const InstanceId& instance) {
  return impl_->Start(fleet, instance);
}
Result<void> LocalPlatform::Serve(const InstanceId& instance) {
  return impl_->Serve(instance);
}
Result<void> LocalPlatform::Stop(const InstanceId& instance) {
  return impl_->Stop(instance);
}
Result<platform::Observation> LocalPlatform::Observe() {
  return impl_->Observe();
}
Result<void> LocalPlatform::ApplyRoutes(const EnvironmentId& environment, const RouteTable& routes) {
  return impl_->ApplyRoutes(environment, routes);
}
Result<std::map<InstanceId, platform::InstanceUsage>> LocalPlatform::Usage(
    const std::set<InstanceId>& instances) {
  return impl_->Usage(instances);
}
Result<std::map<FleetId, platform::FleetCounters>> LocalPlatform::Counters(const EnvironmentId& environment) {
  return impl_->Counters(environment);
}
void LocalPlatform::OnExit(const InstanceId& instance) {
  impl_->OnExit(instance);
}

}  // namespace ingot::adapters
