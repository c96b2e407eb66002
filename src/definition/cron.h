// The five fields of crontab(5): minute, hour, day of month, month, day of week. Times are UTC.
#pragma once

#include <bitset>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace ingot::definition {

// Numbers, names of months and days, "*", ranges, steps, lists. kInvalid names the field that is wrong.
Result<void> CheckCron(std::string_view text);

// A schedule as a set of minutes. As in cron, a day fits when either of its two day fields does, once both
// are restricted.
class CronTimes {
 public:
  // The codes of CheckCron.
  static Result<CronTimes> Parse(std::string_view text);
  bool Fits(WallTime minute) const;
  // The first and the last minute that fits within (after, until], to the millisecond at its begin; unset
  // when none does. Looks at no more than eight years.
  std::optional<WallTime> Next(WallTime after) const;
  std::optional<WallTime> Last(WallTime after, WallTime until) const;

 private:
  std::bitset<60> minutes_;
  std::bitset<24> hours_;
  std::bitset<32> days_;
  std::bitset<13> months_;
  std::bitset<7> weekdays_;
  bool any_day_ = false;
  bool any_weekday_ = false;
  bool DayFits(std::chrono::sys_days day) const;
};

}  // namespace ingot::definition
