// Inside of LocalPlatform: what it knows of its instances, and the threads that move them on. The commands
// are in local_platform.cc; local_platform_starts.cc begins instances (and copies out what one leaves),
// local_platform_routes.cc gives the router those that may carry traffic, local_platform_stops.cc ends them.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "adapters/local_platform.h"
#include "adapters/prober.h"
#include "base/sync.h"

namespace ingot::adapters {

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

  Result<void> Open();
  Result<void> SetTopology(const platform::EnvironmentId& environment, const platform::Topology& topology);
  Result<void> Start(const platform::FleetSpec& fleet, const platform::InstanceId& id);
  // The file says that it is held until the router has it: killed before that, we are asked again.
  Result<void> Serve(const platform::InstanceId& id);
  Result<void> Stop(const platform::InstanceId& id);
  Result<platform::Observation> Observe();
  Result<void> ApplyRoutes(const platform::EnvironmentId& environment, const platform::RouteTable& routes);
  Result<std::map<platform::FleetId, platform::FleetCounters>> Counters(
      const platform::EnvironmentId& environment);
  Result<std::map<platform::InstanceId, platform::InstanceUsage>> Usage(
      const std::set<platform::InstanceId>& instances);
  void OnExit(const platform::InstanceId& id);

 private:
  using Steady = std::chrono::steady_clock;
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
    std::map<platform::InstanceId, Record> records;
    std::map<platform::EnvironmentId, platform::RouteTable> routes;
    std::deque<platform::InstanceId> to_start;
    std::deque<platform::InstanceId> to_copy;
    std::set<platform::FleetId> to_route;
    bool closing = false;
  };

  void Changed() {
    if (options_.on_change) options_.on_change();
  }
  fs::path FileOf(const platform::InstanceId& id) const { return fleets_dir_ / (id.FileName() + ".json"); }
  // Whether something is copied out of an instance that is gone.
  static bool Keeps(const platform::FleetSpec& fleet);
  // Whether the fleet has neighbours.
  static bool Asks(const platform::RouteTable& table, const platform::FleetId& fleet);

  // local_platform_starts.cc
  // What a former process of ours left running, and what it left half done.
  Result<void> Adopt();
  void StartLoop();
  Result<void> StartOne(LocalInstance instance);
  // What it leaves, and a word about it: that is all there is of an instance that is gone.
  void CopyOut(const LocalInstance& instance);

  // local_platform_routes.cc
  Result<void> Watch(const Record& record);
  void OnHealth(const platform::InstanceId& id, Health health, const std::string& reason);
  // Writes the environment's whole table with the addresses that its fleets have now.
  Result<void> PushRoutes(const platform::EnvironmentId& environment);
  // Gives the router the instances of a fleet that may carry traffic; those that passed the gate become ready
  // by it.
  Result<void> PushServers(const platform::FleetId& fleet);
  // With the lock held: written after the instance was removed, the file would stay.
  Result<void> SetReady(Record& record) const;
  void RouteLoop();

  // local_platform_stops.cc
  void StopLoop();
  // Takes one instance a step further towards its end; true when something changed.
  bool MoveStop(const platform::InstanceId& id);
  void SetPhase(const platform::InstanceId& id, StopPhase phase, Steady::time_point deadline);

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

}  // namespace ingot::adapters
