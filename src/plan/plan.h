// Plan: what an apply would do, before it does it. Pure data, printable, comparable.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "migrate/ledger.h"
#include "plan/checks.h"
#include "plan/claims.h"
#include "plan/revision.h"
#include "plan/shift.h"

namespace ingot::plan {

// What the host has and what others on it hold.
struct HostCapacity {
  uint64_t memory_bytes = 0;  // for instances, all environments; 0: not known
  uint32_t millicpus = 0;     // 0: not known
  // What may be taken by all instances and runs but those of the active revision.
  uint64_t memory_used_bytes = 0;
  uint32_t millicpus_used = 0;
  std::string sizes_not_kept;  // why the size of a volume is no limit here; empty: it is one, or not known
  HostEdge edge;
  Claims claims;  // of the other environments
};

// What serves now.
struct Active {
  Revision revision;
  std::map<std::string, uint32_t> declared;  // by the last definition applied; missing: by the revision
  std::map<std::string, uint32_t> replicas;  // in effect, by service; missing: as declared
  Milliseconds keep_old{0};                  // in effect
  std::map<std::string, definition::ResolvedScale> scales;  // in effect, by service
  std::map<std::string, Milliseconds> max_ages;             // the same
  std::map<std::string, uint32_t> spares;                   // the same
  definition::ResolvedRules rules;                          // in effect
};

struct FleetChange {
  enum class Action { kStart, kKeep, kRetire };
  Action action = Action::kStart;
  platform::FleetId fleet;
  uint32_t replicas = 0;
  // What differs from the service's present fleet, for people: "image: 3f2a… → 9c0d…",
  // "environment.LOG_LEVEL: info → debug". Values of secrets are never known here, only their versions.
  std::vector<std::string> differences;
  // How a fleet of the service that is there already is replaced; kStart only.
  definition::Strategy strategy = definition::Strategy::kBlueGreen;
  uint32_t batch = 0;      // rolling: how many at a time
  uint32_t surge = 0;      // rolling: how many beyond the count
  bool by_member = false;  // stateful: each gives its volumes to its successor
  uint32_t spares = 0;     // beyond `replicas`: what it shall have; kRetire: what it has now
  bool operator==(const FleetChange&) const = default;
};

struct ScaleChange {
  std::string service;
  uint32_t from = 0;
  uint32_t to = 0;
  bool operator==(const ScaleChange&) const = default;
};

// Between which counts a service is when the plan is carried out, where that depends on the time.
struct BoundsNow {
  std::string service;
  definition::ScaleBounds bounds;
  std::optional<WallTime> until;
  bool operator==(const BoundsNow&) const = default;
};

// What is to be done on one database.
struct MigrationPlan {
  std::string name;
  std::vector<migrate::Step> steps;   // every script, by version
  std::vector<std::string> problems;  // why it is refused; any one is enough
  std::vector<std::string> command;   // in place of scripts; it runs with each apply
  Code code = Code::kRefused;         // of the problems; kUnavailable and the like: it could not be looked at
  bool operator==(const MigrationPlan&) const = default;
};
Json ToJson(const MigrationPlan& migration);

struct Plan {
  platform::EnvironmentId environment;
  std::optional<uint64_t> active;         // the revision that serves now
  bool new_revision = false;              // fleets or routes differ
  std::vector<FleetChange> fleets;        // starts, keeps, then retires; by service
  std::vector<ScaleChange> scales;        // of fleets that stay
  std::vector<ScaleChange> spares;        // the same of how many spares there are
  std::vector<BoundsNow> bounds;          // of services with schedules
  std::vector<MigrationPlan> migrations;  // filled in by who can reach the databases
  std::vector<ShiftStep> steps;           // of canaries, before everything switches
  std::vector<PlannedCheck> checks;       // that judge each step
  bool options_changed = false;  // how long old fleets are kept, …: takes effect at once, no revision
  // Roles that are waited for before anything is done, and how long; a new revision only.
  std::map<std::string, Milliseconds> approval;
  std::optional<definition::Frozen> frozen;  // nothing new is released now
  platform::RouteTable routes_before;
  platform::RouteTable routes_after;
  uint64_t peak_memory_bytes = 0;  // old and new fleets together, by their limits
  uint32_t peak_millicpus = 0;
  bool peak_unbounded = false;                // a service without a memory limit: the peak is a lower bound
  std::optional<uint64_t> memory_free_bytes;  // of the host, when it is known
  std::optional<uint32_t> millicpus_free;     // the same; CPU time is shared, so a larger peak is no refusal
  std::vector<Conflict> conflicts;
  std::vector<std::string> unreachable;  // routes that this host cannot carry, and why
  std::string moved_volume;              // why the volumes forbid it; empty: they do not
  std::vector<std::string> warnings;     // what is not as it is written, a sentence each

  bool NothingToDo() const { return !new_revision && scales.empty() && !options_changed; }
  bool operator==(const Plan&) const = default;
};

// `time_of_day`: for schedules of scaling and freezes; unset: there are none of them.
Plan MakePlan(const std::optional<Active>& active, const definition::Resolved& next,
              const HostCapacity& capacity, std::optional<WallTime> time_of_day = {});

// Why the plan cannot be carried out: kConflict for a listener or host name that another environment holds
// and for a volume that another service has,
// kRefused for a migration whose ledger does not fit, or what kept it from being looked at; kRefused for a
// route that needs what host.yaml does not give (a certificate, a listener), and when the peak exceeds the
// host's memory.
Result<void> Check(const Plan& plan);

// What a count of `service` would take of the host: the peak beside every other service as it is now, and
// what is free, as MakePlan tells them of an apply. Nothing else of the plan is filled in.
Plan MakeScalePlan(const Active& active, const std::string& service, uint32_t replicas,
                   const HostCapacity& capacity);
// The part of Check that looks at the host's memory alone: kRefused when the peak exceeds it.
Result<void> CheckMemory(const Plan& plan);
// The most instances of `service`, up to `wanted`, that the host's memory has room for; never fewer than it
// has.
uint32_t MostWithin(const Active& active, const std::string& service, uint32_t wanted,
                    const HostCapacity& capacity);

// Why nothing is released to the environment now.
Error RefusalOf(const platform::EnvironmentId& environment, const definition::Frozen& frozen);

// Roles that a release waits for before it begins: by the rules in force (null: nothing is deployed) and by
// its own, so that none takes its own gate away.
std::map<std::string, Milliseconds> ApprovalOf(const definition::ResolvedRules* in_force,
                                               const definition::ResolvedRules& next);
// The same of times in which nothing is released.
std::optional<definition::Frozen> FrozenNow(const definition::ResolvedRules* in_force,
                                            const definition::ResolvedRules& next, WallTime now);

// Plain text of several lines, marks as they are known from terraform: + start, = keep, - retire, ~ change.
std::string RenderPlan(const Plan& plan);
// docs/formats/rollout.md, "plan".
Json ToJson(const Plan& plan);

}  // namespace ingot::plan
