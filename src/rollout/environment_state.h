// EnvironmentState: everything that is remembered about one environment between two steps, and the state of
// the machine in machine.h. It is journalled whole before any effect that follows from it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "audit/event.h"
#include "base/clock.h"
#include "base/json.h"
#include "plan/revision.h"
#include "platform/fleet.h"
#include "rollout/migrator.h"

namespace ingot::rollout {

enum class Phase {
  kPlanned,
  kPreparing,
  kMigrating,
  kStarting,
  kVerifying,
  kStepping,
  kRolling,
  kStopping,
  kReplacing,
  kShifting,
  kBaking,
  kCompleted,
  kReverting,
  kReverted,
};
std::string_view PhaseName(Phase phase);
Result<Phase> ParsePhase(std::string_view name);

enum class RolloutKind { kApply, kRollback };

// What is known of a canary in the present step.
struct Judgement {
  // What the router had counted when the step began.
  uint64_t canary_answered = 0;
  uint64_t canary_errors = 0;
  uint64_t baseline_answered = 0;
  uint64_t baseline_errors = 0;
  bool operator==(const Judgement&) const = default;
};

// The journalled passage from one revision to another.
struct Rollout {
  uint64_t id = 0;  // 1, 2, … per environment
  RolloutKind kind = RolloutKind::kApply;
  std::optional<uint64_t> from;  // unset: nothing served before
  uint64_t to = 0;
  Phase phase = Phase::kPlanned;
  std::string actor;
  std::string reason;  // why it reverted, or what ended it early
  WallTime created{};
  WallTime since{};                         // when it entered its phase
  WallTime deadline{};                      // of its phase
  std::map<std::string, WallTime> entered;  // by phase name
  // A rollback to a warm revision that fails leaves it warm until then.
  std::optional<WallTime> warm_until;
  // Where it is on its way (plan::ShiftSteps): the step it is in, from 1 on; 0 before the first.
  uint32_t step = 0;
  WallTime step_since{};
  std::optional<WallTime> step_in_effect;       // when the router had the step's weights
  bool advanced = false;                        // somebody said to go on from this step
  std::map<std::string, uint32_t> weights;      // by service: per mille of requests for the new fleet
  std::string paused;                           // by whom; empty: it is not
  std::map<std::string, std::string> approved;  // by role: who has approved it where it is now
  std::optional<WallTime> awaited;              // since when nothing but approval keeps it where it is now
  std::map<std::string, Judgement> judged;      // by canary that is analysed: in this step
  std::string held;                             // why a step whose time is over is not left; empty: it is not
  WallTime held_at{};                           // when that was found
  bool operator==(const Rollout&) const = default;
};

enum class Role {
  kActive,     // serves what comes from outside
  kCandidate,  // is being started and proven
  kWarm,       // served before, and can at once again
  kRetiring,   // its last instances are being drained
};
std::string_view RoleName(Role role);
Result<Role> ParseRole(std::string_view name);

// A revision of which instances may exist.
struct LiveRevision {
  Role role = Role::kCandidate;
  WallTime until{};  // kWarm: the end of its window; kRetiring: the end of patience with its order
  Milliseconds keep_old{0};
  std::map<std::string, uint32_t> declared;  // by service: the count in the last definition applied
  std::map<std::string, uint32_t> replicas;  // by service: the count in effect
  // By service: within which bounds and by what its count follows the load, as in the last definition
  // applied.
  std::map<std::string, definition::ResolvedScale> scales;
  // By service: the age at which an instance is replaced, as in the last definition applied.
  std::map<std::string, Milliseconds> max_ages;
  // By service: how many spares it has, as in the last definition applied.
  std::map<std::string, uint32_t> spares;
  // By service: no more instances than this, whatever the count says. How a strategy takes instances away.
  std::map<std::string, uint32_t> limits;
  bool operator==(const LiveRevision&) const = default;
};

// One instance that shall exist.
struct DesiredInstance {
  uint64_t ordinal = 0;
  bool seen = false;                 // a platform has listed it; if it no longer does, the instance is lost
  bool ready = false;                // has passed its health gate
  WallTime asked{};                  // when it was decided that it shall exist
  WallTime since{};                  // of the newest of these facts, and of when it was a spare last
  std::optional<uint32_t> member{};  // of a stateful service: which of them it is
  bool spare = false;                // beyond the count, held out of the router until it takes a place
  bool operator==(const DesiredInstance&) const = default;
};

struct FleetState {
  bool proven = false;  // has carried traffic: a dead instance is replaced. Otherwise it fails the rollout
  std::vector<DesiredInstance> instances;
  // Backoff of replacements.
  uint32_t failures = 0;
  WallTime last_failure{};
  WallTime not_before{};
  std::string reason;  // why the last one died
  // Replacement by age. `aging`: the instance of this ordinal goes when another one has taken its place, for
  // which there is one more than the count. `leaving`: it is wanted no more, and until it is gone no other
  // one is started.
  std::optional<uint64_t> aging;
  std::optional<uint64_t> leaving;
  // Backoff of spares, apart: that they die delays nothing that serves, and says nothing about it.
  uint32_t spare_failures = 0;
  WallTime spare_not_before{};
  std::string spare_reason;  // why the last one died
  // Those that are counted, and those beyond.
  size_t Serving() const;
  size_t Spares() const { return instances.size() - Serving(); }
  bool operator==(const FleetState&) const = default;
};

// Contract scripts that are under way, or failed and will be tried again.
struct Contracting {
  uint64_t number = 0;    // the journal's step in which they became due
  uint64_t revision = 0;  // that was active when they became due
  ContractScripts scripts;
  uint64_t attempt = 1;
  std::optional<WallTime> again;  // when the next attempt begins; unset: this one is under way
  std::string reason;             // why the last attempt failed
  bool operator==(const Contracting&) const = default;
};

// An apply that has moved all traffic.
struct Released {
  uint64_t rollout = 0;
  uint64_t revision = 0;
  bool operator==(const Released&) const = default;
};

using RevisionPtr = std::shared_ptr<const plan::Revision>;  // shared: immutable, in many states

struct EnvironmentState {
  platform::EnvironmentId id;
  uint64_t step = 0;  // of the journal; grows with each
  WallTime journalled{};
  uint64_t next_revision = 1;
  uint64_t next_rollout = 1;
  uint64_t next_ordinal = 1;
  std::optional<uint64_t> active;
  std::optional<Rollout> rollout;  // in progress; kBaking counts, but gives way to the next
  std::map<uint64_t, LiveRevision> live;
  std::map<platform::FleetId, FleetState> fleets;  // of active, warm and started candidate revisions
  std::map<std::string, uint32_t> overrides;       // by service: counts set by `scale`
  // Contract scripts that were ever begun (a revision without them may not come back), and of these those
  // that have ended.
  ContractScripts contracted;
  ContractScripts contracts_ended;
  std::optional<Contracting> contracting;
  std::set<uint64_t> unmigrated;     // revisions whose expand scripts were not all run
  std::optional<Released> released;  // the last one
  // Revisions that are to be verified when they serve, and of which nobody has said that they are.
  std::set<uint64_t> unverified;
  std::set<uint64_t> unserved;  // revisions that no rollout has brought to serve: nobody has approved them
  // Of the last definition applied that has come to serve, and what a release that falls over goes back to. A
  // rollback brings no former rules back.
  definition::ResolvedRules rules;
  definition::ResolvedRules rules_before;
  bool destroying = false;
  std::vector<audit::Draft> outbox;  // events of this step, not yet known to be in the audit record

  std::map<uint64_t, RevisionPtr> revisions;  // of all in `live`, and rollout->to; not part of the document

  const plan::Revision& RevisionOf(uint64_t number) const { return *revisions.at(number); }
  // A rollout that a second one has to wait for.
  bool Busy() const { return rollout && rollout->phase != Phase::kBaking; }
  // Instances come and go by it: counts hold still meanwhile. One that waits for approval has done nothing.
  bool Moving() const { return Busy() && rollout->phase != Phase::kPlanned; }
  bool operator==(const EnvironmentState&) const = default;
};

// docs/formats/rollout.md, "state". Inverses but for `revisions`, which the journal keeps apart.
Json ToJson(const EnvironmentState& state);
Result<EnvironmentState> StateFromJson(const Json& json);
Json ToJson(const Rollout& rollout);
Result<Rollout> RolloutFromJson(const Json& json);

}  // namespace ingot::rollout
