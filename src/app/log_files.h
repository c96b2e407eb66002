// The logs of instances, also of those that are gone: what conmon wrote, one file per instance.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "platform/ids.h"

namespace ingot::app {

struct LogLine {
  std::string time;  // as written: RFC 3339 with nanoseconds
  platform::InstanceId instance;
  std::string stream;  // "stdout" or "stderr"
  std::string text;    // without newline
};

Json ToJson(const LogLine& line);

struct LogQuery {
  platform::EnvironmentId environment;
  std::string service;   // empty: all
  std::string instance;  // "web-17" or whole; empty: all
  std::optional<std::set<platform::InstanceId>> only{};
};

// Reads forward through all files that match, also new ones: each Next gives what has come since the last
// one, in the order of time. Partial lines wait for their end. Not thread-safe.
class LogReader {
 public:
  LogReader(fs::path directory, LogQuery query)
      : directory_(std::move(directory)), query_(std::move(query)) {}
  Result<std::vector<LogLine>> Next();
  // Reads of these as well from now on.
  void Add(const platform::InstanceId& instance) { query_.only->insert(instance); }

 private:
  struct Source {
    platform::InstanceId instance;
    uint64_t inode = 0;
    uint64_t offset = 0;
    std::string partial;  // text of a line that conmon split ("P" lines)
  };
  Result<void> ReadSource(const fs::path& file, Source& source, std::vector<LogLine>& out);
  fs::path directory_;
  LogQuery query_;
  std::map<std::string, Source> sources_;  // by file name without rotation suffix
};

// Whether an instance of this service ever wrote a log that is still there.
Result<bool> HasLogs(const fs::path& directory, const platform::EnvironmentId& environment,
                     const std::string& service);

}  // namespace ingot::app
