// How a verb that stays in the foreground waits, and what it says meanwhile.
#pragma once

#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace ingot::app {

// SIGTERM, SIGINT and SIGUSR1 as a descriptor; SIGPIPE is ignored. To be called before any thread exists, so
// that every thread inherits the mask.
Result<Fd> WatchSignals();
// Blocks; the number.
int WaitForSignal(const Fd& signals);
// One line on stderr, with the time.
void LogToStderr(std::string_view text);

}  // namespace ingot::app
