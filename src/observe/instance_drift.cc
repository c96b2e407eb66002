#include "observe/instance_drift.h"

namespace ingot::observe {

using platform::InstanceState;

Report InstanceDrift(const std::set<platform::InstanceId>& desired,
                     const platform::EnvironmentId& environment,
                     const Result<platform::Observation>& observed) {
  Report report;
  if (!observed) {
    report.unknown.push_back("the platform could not be observed: " + observed.error().Render());
    return report;
  }
  std::set<platform::InstanceId> missing = desired;
  for (const platform::InstanceStatus& status : observed->instances) {
    if (status.id.fleet().environment() != environment) continue;
    if (missing.erase(status.id) == 0) {
      if (status.state != InstanceState::kStopping)
        report.drifts.push_back(
            {Drift::Kind::kUnexpected, status.id, "is " + std::string(platform::StateName(status.state))});
      continue;
    }
    if (status.state == InstanceState::kUnknown) {
      report.unknown.push_back(status.id.Render() + ": " + status.reason);
    } else if (status.state != InstanceState::kReady) {
      std::string detail = "is " + std::string(platform::StateName(status.state));
      if (!status.reason.empty()) detail += ": " + status.reason;
      report.drifts.push_back({Drift::Kind::kNotServing, status.id, std::move(detail)});
    }
  }
  for (const platform::InstanceId& id : missing)
    report.drifts.push_back({Drift::Kind::kMissing, id, "is not there"});
  if (!report.drifts.empty())
    report.state = Report::State::kDrift;
  else
    report.state = report.unknown.empty() ? Report::State::kNone : Report::State::kUnknown;
  return report;
}

Json ToJson(const Report& report) {
  static constexpr const char* kStates[] = {"none", "drift", "unknown"};
  static constexpr const char* kKinds[] = {"missing", "unexpected", "not_serving"};
  JsonArray drifts;
  for (const Drift& drift : report.drifts)
    drifts.push_back(JsonObject{{"kind", kKinds[static_cast<int>(drift.kind)]},
                                {"instance", drift.instance.Render()},
                                {"detail", drift.detail}});
  JsonArray unknown;
  for (const std::string& what : report.unknown) unknown.emplace_back(what);
  return JsonObject{{"state", kStates[static_cast<int>(report.state)]},
                    {"drifts", std::move(drifts)},
                    {"unknown", std::move(unknown)}};
}

}  // namespace ingot::observe
