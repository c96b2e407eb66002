// HAProxy's runtime interface: one short connection per exchange, and its tables.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace ingot::adapters {

// Asks the process that listens on the Unix socket `name` of the directory; several commands with ";"
// between. The whole answer, at most 64 MiB. kUnavailable: it is not there or died meanwhile. kTimeout.
Result<std::string> AskHaproxy(int directory, const std::string& name, std::string_view command,
                               Milliseconds timeout);

// kFailed with HAProxy's words unless every line of the answer is empty or one that reports a change.
Result<void> CheckChanged(std::string_view answer);

// A server's line of "show servers state".
struct ServerState {
  std::string address;
  uint16_t port = 0;
  bool maintenance = false;  // forced, as by "disabled" or "set server … state maint"
  bool drain = false;
};
// Key: "backend/server". kInvalid: not such a table.
Result<std::map<std::string, ServerState>> ParseServersState(std::string_view answer);

// A server's line of "show stat".
struct ServerStat {
  uint64_t queued = 0;
  uint64_t current = 0;
  uint64_t total = 0;
  uint64_t responses_5xx = 0;
};
Result<std::map<std::string, ServerStat>> ParseServerStats(std::string_view answer);

// A backend's own line of "show stat": with what HAProxy answered in its name.
struct BackendStat {
  uint64_t answered = 0;
  uint64_t responses_5xx = 0;
};
// Key: the backend.
Result<std::map<std::string, BackendStat>> ParseBackendStats(std::string_view answer);

// How checks see a server: from "show stat".
struct ServerHealth {
  bool up = false;
  std::string why;  // HAProxy's words for the last check; may be empty
};
Result<std::map<std::string, ServerHealth>> ParseServerHealth(std::string_view answer);

// The rows of "show table" of a table that stores gpc0 under a string.
Result<std::map<std::string, uint64_t>> ParseTable(std::string_view answer);

}  // namespace ingot::adapters
