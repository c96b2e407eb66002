#include "definition/scale_bounds.h"

#include <algorithm>

#include "definition/cron.h"

namespace ingot::definition {

bool Follows(const std::optional<ResolvedScale>& scale) {
  return scale && (scale->HasTarget() || !scale->schedules.empty());
}

ScaleBounds BoundsAt(const ResolvedScale& scale, WallTime time_of_day) {
  ScaleBounds bounds{scale.min, scale.max, ""};
  std::optional<WallTime> since;
  for (const ResolvedSchedule& schedule : scale.schedules) {
    const auto times = CronTimes::Parse(schedule.at);
    if (!times) continue;  // refused when the definition was read
    const auto last = times->Last(WallTime{}, time_of_day);
    if (!last || (since && *last < *since)) continue;
    since = last;
    bounds = {schedule.min, schedule.max, schedule.at};
  }
  if (!scale.HasTarget()) bounds.max = bounds.min;
  return bounds;
}

std::optional<WallTime> NextSchedule(const ResolvedScale& scale, WallTime time_of_day) {
  std::optional<WallTime> next;
  for (const ResolvedSchedule& schedule : scale.schedules) {
    const auto times = CronTimes::Parse(schedule.at);
    const auto at = times ? times->Next(time_of_day) : std::nullopt;
    if (at && (!next || *at < *next)) next = at;
  }
  return next;
}

ScaleBounds WidestBounds(const ResolvedScale& scale) {
  ScaleBounds bounds{scale.min, scale.max, ""};
  for (const ResolvedSchedule& schedule : scale.schedules) {
    bounds.min = std::min(bounds.min, schedule.min);
    bounds.max = std::max(bounds.max, schedule.max);
  }
  return bounds;
}

std::string Render(const std::string& service, const ScaleBounds& bounds,
                   const std::optional<WallTime>& until) {
  std::string out = service + ": " + std::to_string(bounds.min);
  if (bounds.max != bounds.min) out += " to " + std::to_string(bounds.max);
  out += bounds.max == 1 ? " instance" : " instances";
  if (!bounds.schedule.empty()) out += " by \"" + bounds.schedule + "\"";
  if (until) out += ", until " + RenderTime(*until);
  return out;
}

}  // namespace ingot::definition
