// Drift of instances: what shall run against what is seen to run.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "platform/platform.h"

namespace ingot::observe {

struct Drift {
  enum class Kind {
    kMissing,     // shall run, and is not there
    kUnexpected,  // runs, and shall not (nor is it on its way out)
    kNotServing,  // is there and does not serve
  };
  Kind kind = Kind::kMissing;
  platform::InstanceId instance;
  std::string detail;
  bool operator==(const Drift&) const = default;
};

// "Could not look" is a state of its own, never "no drift": of the platform, or of single instances.
struct Report {
  enum class State { kNone, kDrift, kUnknown };
  State state = State::kUnknown;
  std::vector<Drift> drifts;
  std::vector<std::string> unknown;  // what could not be looked at, and why
  bool operator==(const Report&) const = default;
};

// `desired` and `observed` of one environment. kDrift when there is any, also beside what is unknown.
Report InstanceDrift(const std::set<platform::InstanceId>& desired,
                     const platform::EnvironmentId& environment,
                     const Result<platform::Observation>& observed);
// {"state": "none|drift|unknown", "drifts": [{kind, instance, detail}], "unknown": []}
Json ToJson(const Report& report);

}  // namespace ingot::observe
