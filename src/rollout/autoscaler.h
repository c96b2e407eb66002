// Autoscaler: how many instances a service needs, by what those that it has take. Pure: the time and what was
// seen are given to it. docs/formats/rollout.md, "scaling".
//
// It only asks (rollout::Scale); while a rollout is under way it is not heard. More are asked for as soon as
// the load of some seconds needs them, fewer when fewer have been enough for the whole cooldown. What cannot
// be measured never takes an instance away.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "definition/resolved.h"
#include "platform/fleet.h"

namespace ingot::rollout {

// A service that serves and whose count follows its load.
struct ScaledService {
  platform::EnvironmentId environment;
  std::string service;
  definition::ResolvedScale scale;  // with the bounds that are in force
  platform::Limits limits;
  uint32_t count = 0;                    // in effect
  std::set<platform::InstanceId> ready;  // carry traffic
  std::string schedule;                  // by which the bounds are; empty: none
  std::optional<double> queue = {};      // what its queue's source says now; unset: not known
};

struct ScaleVerdict {
  uint32_t count = 0;
  std::string reason;  // "cpu 83 % of 60 %: 2 instances take what 3 should"
};

// Of one service. One thread.
class Autoscaler {
 public:
  // To be called every second or so. A verdict when another count than the present one is needed.
  std::optional<ScaleVerdict> Look(const ScaledService& service,
                                   const std::map<platform::InstanceId, platform::InstanceUsage>& usage,
                                   SteadyTime now);

 private:
  struct Seen {
    SteadyTime at;
    platform::InstanceUsage usage;
  };
  struct Need {
    SteadyTime at;
    uint32_t count;
  };
  struct Load {
    uint32_t needed = 0;  // instances
    std::string reason;   // of the target that needs most
    bool known = false;   // something could be measured
    bool blind = false;   // something could not
  };
  void Remember(const ScaledService& service,
                const std::map<platform::InstanceId, platform::InstanceUsage>& usage, SteadyTime now);
  Load LoadOf(const ScaledService& service) const;

  std::map<platform::InstanceId, std::deque<Seen>> seen_;  // the oldest first
  std::deque<Need> needs_;                                 // of the last cooldown, the oldest first
  std::optional<SteadyTime> since_;                        // of the first look; unset again when blind
  std::optional<SteadyTime> looked_;                       // last
};

}  // namespace ingot::rollout
