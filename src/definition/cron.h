// The five fields of crontab(5): minute, hour, day of month, month, day of week.
#pragma once

#include <string_view>

#include "base/result.h"

namespace ingot::definition {

// Numbers, names of months and days, "*", ranges, steps, lists. kInvalid names the field that is wrong.
Result<void> CheckCron(std::string_view text);

}  // namespace ingot::definition
