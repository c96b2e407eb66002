// Between which counts a service is now: by its schedules, which are looked at as of a time of day. Whoever
// was not there at the minute of a schedule finds it in force all the same.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "definition/resolved.h"

namespace ingot::definition {

// Whether the count follows the load or the time; a scale may have spares alone.
bool Follows(const std::optional<ResolvedScale>& scale);

struct ScaleBounds {
  uint32_t min = 1;
  uint32_t max = 1;
  std::string schedule;  // the `at` by which they are; empty: by none
  bool operator==(const ScaleBounds&) const = default;
};

// Without a target both are the same.
ScaleBounds BoundsAt(const ResolvedScale& scale, WallTime time_of_day);
// The next minute of a schedule; unset: there is none.
std::optional<WallTime> NextSchedule(const ResolvedScale& scale, WallTime time_of_day);
// The widest that may ever be in force.
ScaleBounds WidestBounds(const ResolvedScale& scale);

// "web: 6 to 12 instances by "0 8 * * 1-5", until 2026-03-02T20:00:00.000Z", for people.
std::string Render(const std::string& service, const ScaleBounds& bounds,
                   const std::optional<WallTime>& until);

}  // namespace ingot::definition
