// Runs tasks that need each other, several at a time.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "base/result.h"

namespace ingot::build {

// Task → those that must have succeeded before it starts. No cycles; every name is a key.
using TaskNeeds = std::map<std::string, std::set<std::string>>;

// Calls `run` once per task on at most `jobs` threads (the caller's among them). After the first error no
// task is started; those under way are waited for, and the first error is returned.
Result<void> RunTasks(const TaskNeeds& needs, int jobs,
                      const std::function<Result<void>(const std::string&)>& run);

}  // namespace ingot::build
