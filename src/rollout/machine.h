// The state machine of rollouts: one pure function from what is remembered and what is seen to what is to be
// remembered and done next.
//
//   planned → preparing → (migrating →) starting → verifying → shifting → baking → completed
//                 └──────────┴───────────┴───── any failure, abort ─────┴→ reverting → reverted
//
// The state says what shall be (desired.h derives topology, instances and routes from it); actions are the
// difference to what is. So nothing has to be undone or redone specially after a crash: the state that was
// journalled says it all, and every action may be repeated. The phases are in phases.cc, the care for
// instances in heal.cc and aging.cc, what is left of former revisions in retire.cc.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "platform/platform.h"
#include "rollout/check.h"
#include "rollout/desired.h"
#include "rollout/environment_state.h"

namespace ingot::rollout {

// An action that fails.
struct Trouble {
  Code code = Code::kFailed;
  std::string message;
  int attempts = 0;  // in a row
};
// Whether a rollout should wait for better times no longer.
bool Hopeless(const Trouble& trouble);

// What is seen of one environment.
struct View {
  bool looked = false;       // false: Observe failed, `observed` means nothing
  bool ever_looked = false;  // by this process
  bool first_look = false;   // what is not there now was never started, or is gone: nobody knows
  std::string look_error;    // why
  bool stale = false;        // a start was tried since: there may be more than was seen
  std::map<platform::InstanceId, platform::InstanceStatus> observed;
  std::optional<platform::Topology> topology;  // in effect, as far as this process knows
  std::optional<bool> settled;                 // TopologySettled; unset: not asked or could not look
  std::optional<platform::RouteTable> routes;  // in effect, as far as this process knows
  std::set<platform::InstanceId> started;      // Start was accepted since the last look
  std::set<platform::InstanceId> expected;     // Start was accepted before the last look: it has to be there
  std::optional<platform::Topology> topology_tried;  // what `topology_trouble` is about
  std::optional<Trouble> topology_trouble;
  std::optional<platform::RouteTable> routes_tried;  // what `routes_trouble` is about
  std::optional<Trouble> routes_trouble;
  std::map<platform::InstanceId, Trouble> start_trouble;
  // The router's counters, just read; unset: not asked, or (with `counters_error`) could not look.
  std::optional<std::map<platform::FleetId, platform::FleetCounters>> counters;
  std::string counters_error;
  std::map<platform::FleetId, platform::ShadowCounters> shadows;  // as last read; those that count
  bool counters_anew = false;             // they began at zero again since they were read before
  bool can_migrate = false;               // there is somebody who runs migrations
  std::optional<MigrationRun> migration;  // the last one that this process has begun
  bool can_check = false;                 // there is somebody who makes checks
  std::optional<CheckRun> checks;         // of the order that was begun last and not ended
};

struct SetTopology {
  platform::Topology topology;
};
struct ApplyRoutes {
  platform::RouteTable routes;
};
struct StartInstance {
  platform::FleetSpec spec;
  platform::InstanceId instance;
};
// It was started as a spare, and is none any more.
struct ServeInstance {
  platform::InstanceId instance;
};
struct StopInstance {
  platform::InstanceId instance;
};
struct RunMigrations {
  MigrationKey key;
  uint64_t revision = 0;
  ContractScripts contracts;
};
struct CancelMigrations {};
struct RunChecks {
  CheckOrder order;
};
struct EndChecks {};
using Action = std::variant<SetTopology, ApplyRoutes, StartInstance, ServeInstance, StopInstance,
                            RunMigrations, CancelMigrations, RunChecks, EndChecks>;

struct Decision {
  std::optional<EnvironmentState> state;  // journal it before the actions; unset: nothing changed
  std::optional<Desired> desired;         // of `state`
  std::vector<Rollout> finished;
  std::vector<Action> actions;   // in this order; those after one that failed may still be tried
  bool ask_settled = false;      // the next decision needs View::settled
  bool ask_counters = false;     // the next decision wants View::counters anew
  std::optional<WallTime> wake;  // when time alone changes something
};

// Contract scripts of a release that every live revision knows; all of them where nothing was deployed
// (null).
ContractScripts MayContract(const EnvironmentState* state,
                            const std::vector<definition::ResolvedMigration>& migrations);

// `desired` is DesiredOf(state), passed in so that it is made once per state and not per call.
Decision Decide(const EnvironmentState& state, const Desired& desired, const View& view, WallTime now);

}  // namespace ingot::rollout
