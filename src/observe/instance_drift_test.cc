#include "observe/instance_drift.h"

#include <gtest/gtest.h>

namespace ingot::observe {
namespace {

using platform::InstanceId;
using platform::InstanceState;

const platform::EnvironmentId kLocal("shop", "local");

InstanceId Web(uint64_t ordinal) {
  return {{kLocal, "web", "0123456789ab"}, ordinal};
}

platform::InstanceStatus Status(const InstanceId& id, InstanceState state, const std::string& reason = "") {
  platform::InstanceStatus status;
  status.id = id;
  status.state = state;
  status.reason = reason;
  return status;
}

TEST(InstanceDrift, WhatIsAsDeclaredIsNone) {
  platform::Observation seen;
  seen.instances = {Status(Web(1), InstanceState::kReady), Status(Web(2), InstanceState::kStopping),
                    Status({{{"shop", "staging"}, "web", "0123456789ab"}, 9}, InstanceState::kReady)};
  EXPECT_EQ(InstanceDrift({Web(1)}, kLocal, seen).state, Report::State::kNone);
}

TEST(InstanceDrift, EachDifferenceIsNamed) {
  platform::Observation seen;
  seen.instances = {Status(Web(1), InstanceState::kExited, "killed"), Status(Web(7), InstanceState::kReady)};
  const Report report = InstanceDrift({Web(1), Web(2)}, kLocal, seen);
  EXPECT_EQ(report.state, Report::State::kDrift);
  EXPECT_EQ(report.drifts, (std::vector<Drift>{{Drift::Kind::kNotServing, Web(1), "is exited: killed"},
                                               {Drift::Kind::kUnexpected, Web(7), "is ready"},
                                               {Drift::Kind::kMissing, Web(2), "is not there"}}));
}

TEST(InstanceDrift, CouldNotLookIsUnknownAndNeverNone) {
  Report report = InstanceDrift({Web(1)}, kLocal, Error(Code::kIo, "no cgroup"));
  EXPECT_EQ(report.state, Report::State::kUnknown);
  EXPECT_TRUE(report.drifts.empty());
  platform::Observation seen;
  seen.instances = {Status(Web(1), InstanceState::kUnknown, "no answer")};
  report = InstanceDrift({Web(1)}, kLocal, seen);
  EXPECT_EQ(report.state, Report::State::kUnknown);
  EXPECT_EQ(report.unknown.size(), 1u);
  EXPECT_EQ(ToJson(report).at("state").as_string(), "unknown");
}

}  // namespace
}  // namespace ingot::observe
