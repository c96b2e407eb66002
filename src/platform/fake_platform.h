// A Platform in memory, for testing what drives one: instances that take time, fail, die; calls that fail
// before or after their effect. Time is the test's: everything moves on in Observe, by the clock.
//
// ApplyRoutes is refused when the topology lacks what it names, as a real router refuses it.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "platform/platform.h"

namespace ingot::platform {

// The life of one instance.
struct Script {
  Milliseconds running_after{1};
  std::optional<Milliseconds> ready_after{2};     // from Start; unset: never
  std::optional<Milliseconds> fails_after{};      // from Start: kFailed
  std::optional<Milliseconds> exits_after{};      // from Start: kExited with exit_code
  std::optional<Milliseconds> unhealthy_after{};  // from Start
  std::optional<Milliseconds> copies_for{};       // from Start, before everything else: a snapshot is made
  int exit_code = 1;
  Milliseconds stop_takes{1};
  bool operator==(const Script&) const = default;
};

class FakePlatform final : public Platform {
 public:
  // `clock` outlives the platform.
  explicit FakePlatform(const Clock& clock) : clock_(clock) {}

  // The script of a new instance. Unset: the default one.
  std::function<Script(const FleetSpec&, const InstanceId&)> script;
  // Asked before a call has its effect ("SetTopology", "Start", "Serve", "Stop", "ApplyRoutes",
  // "Observe", "TopologySettled"); an Error is returned instead of the effect. May throw, to end the caller
  // as a crash.
  std::function<Result<void>(const std::string& function)> before;
  // Asked after the effect; an Error is returned in spite of it.
  std::function<Result<void>(const std::string& function)> after;
  // How long a changed topology takes to settle.
  Milliseconds settle_takes{0};

  Capabilities capabilities() const override { return {.atomic_switch = true}; }
  Result<void> SetTopology(const EnvironmentId& environment, const Topology& topology) override;
  Result<bool> TopologySettled(const EnvironmentId& environment) override;
  Result<void> Start(const FleetSpec& fleet, const InstanceId& instance) override;
  Result<void> Serve(const InstanceId& instance) override;
  Result<void> Stop(const InstanceId& instance) override;
  Result<Observation> Observe() override;
  Result<void> ApplyRoutes(const EnvironmentId& environment, const RouteTable& routes) override;
  // Those that the test has set.
  Result<std::map<FleetId, FleetCounters>> Counters(const EnvironmentId& environment) override;

  // Those that the test has set.
  Result<std::map<InstanceId, InstanceUsage>> Usage(const std::set<InstanceId>& instances) override;

  // --- for tests ---
  std::map<InstanceId, InstanceUsage> usage;
  void Exit(const InstanceId& instance, int exit_code);
  void SetState(const InstanceId& instance, InstanceState state, std::string reason);
  // It is gone without a trace, as after a reboot.
  void Vanish(const InstanceId& instance);
  RouteTable Routes(const EnvironmentId& environment) const;
  Topology TopologyOf(const EnvironmentId& environment) const;
  const std::map<InstanceId, InstanceStatus>& instances();
  // Every id that Start was ever given.
  const std::set<InstanceId>& ever_started() const { return ever_started_; }
  void ForgetHistory() {
    ever_started_.clear();
    given_up_.clear();
  }
  std::map<FleetId, FleetCounters>& counters() { return counters_; }
  // How often a function was called.
  int calls(const std::string& function) const;
  // Something forbidden that happened, in words: an id that was given up and is started again; routes to a
  // service, endpoint or listener that the topology does not have.
  const std::vector<std::string>& complaints() const { return complaints_; }

 private:
  struct Entry {
    FleetSpec spec;
    Script script;
    InstanceStatus status;
    SteadyTime asked{};
    std::optional<SteadyTime> stop_asked;
    bool pinned = false;    // its state was set by the test
    bool accepted = false;  // a Start of it returned success
  };

  Result<void> Before(const std::string& function);
  Result<void> After(const std::string& function);
  void Advance();
  static void Advance(Entry& entry, SteadyTime now, WallTime wall);

  const Clock& clock_;
  std::map<InstanceId, Entry> entries_;
  std::map<InstanceId, InstanceStatus> statuses_;
  std::map<EnvironmentId, Topology> topologies_;
  std::map<EnvironmentId, RouteTable> routes_;
  std::map<EnvironmentId, SteadyTime> settles_;
  std::set<InstanceId> ever_started_;
  std::set<InstanceId> given_up_;
  std::map<FleetId, FleetCounters> counters_;
  std::map<std::string, int> calls_;
  std::vector<std::string> complaints_;
};

}  // namespace ingot::platform
