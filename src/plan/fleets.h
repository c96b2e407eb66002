// From a resolved definition to what a platform understands: fleets, routes, topology. Pure.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "definition/resolved.h"
#include "definition/scale_bounds.h"
#include "platform/fleet.h"

namespace ingot::plan {

struct Fleet {
  platform::FleetSpec spec;
  uint32_t replicas = 1;  // as declared
  definition::Kind kind = definition::Kind::kService;
  definition::ResolvedRollout rollout{};
  std::optional<definition::ResolvedScale> scale{};  // the count follows the load
  Milliseconds max_age{0};                           // 0: instances are of any age
  uint32_t spares = 0;                               // as declared
  // Whether a replacement waits until what it replaces is gone.
  bool Alone() const { return rollout.strategy == definition::Strategy::kRecreate; }
  // Whether its instances are members with volumes of their own.
  bool Stateful() const { return kind == definition::Kind::kStateful; }
  // The most instances that there are at a time beyond the count, while none of its rollouts is under way.
  uint32_t Beyond() const { return spares + (max_age > Milliseconds(0) && !Alone() ? 1 : 0); }
  // Where the count follows the load or the time: the nearest to `count` that may be.
  uint32_t Within(uint32_t count) const {
    if (!scale) return count;
    const definition::ScaleBounds widest = definition::WidestBounds(*scale);
    return std::clamp(count, widest.min, widest.max);
  }
  bool operator==(const Fleet&) const = default;
};

// What the runs of a job are started from.
struct Job {
  platform::FleetSpec spec;  // without the arguments of a run
  std::string schedule;      // empty: only when asked for
  definition::Concurrency concurrency = definition::Concurrency::kForbid;
  Milliseconds timeout{0};
  uint32_t retries = 0;
  bool on_release = false;
  bool migrates = false;  // runs before the first instance of its revision
  bool operator==(const Job&) const = default;
};

// Whether the old fleet of a service has to be gone before the new one starts: when either says `recreate`,
// since what cannot bear a second one beside it cannot bear a newer one either.
inline bool StopsFirst(const Fleet& before, const Fleet& after) {
  return before.rollout.strategy == definition::Strategy::kRecreate ||
         after.rollout.strategy == definition::Strategy::kRecreate;
}

// Whether the new fleet takes the place of the old one in batches, as the newer of the two definitions says.
inline bool Rolls(const Fleet& before, const Fleet& after, const Fleet& newer) {
  return newer.rollout.strategy == definition::Strategy::kRolling && before.spec.id != after.spec.id &&
         !StopsFirst(before, after);
}

platform::EnvironmentId EnvironmentOf(const definition::Resolved& resolved);

// One fleet per service, in the order of the services. Its id has the first 12 digits of
// definition::FleetDigest.
std::vector<Fleet> Fleets(const definition::Resolved& resolved);

// In the order of the jobs.
std::vector<Job> Jobs(const definition::Resolved& resolved);

// A route from outside that leads to `fleet`.
platform::RouteTable::Outside OutsideOf(const definition::ResolvedRoute& route,
                                        const platform::FleetId& fleet);

// "90 % to 10.0.0.7:8080 (outside)".
std::string Render(const platform::ServerShare& server);
// {"address": "10.0.0.7:8080", "percent": 90}
Json ToJson(const platform::ServerShare& server);

// Where a preview by port is: ":9000".
std::string PreviewListen(const definition::Preview& preview);
// The port of the service that it leads to: the only one, or the one named http; 0: none.
uint16_t PreviewTarget(const std::vector<platform::Port>& ports);

// The route table of a revision that is alone: its outside routes, and for every fleet what it may reach.
platform::RouteTable Routes(const definition::Resolved& resolved);

// What the router needs for all of these revisions together; the first wins where two declare a listener or
// an endpoint differently. `replicas` raises the declared count of a service (a scale); at least 1.
platform::Topology TopologyOf(const std::vector<const definition::Resolved*>& live,
                              const std::map<std::string, uint32_t>& replicas = {});

}  // namespace ingot::plan
