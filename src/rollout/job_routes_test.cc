#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "rollout/desired.h"
#include "rollout/testing.h"

namespace ingot::rollout {
namespace {

using testing::ResolvedOf;
using testing::Shop;

// A shop with a job that asks api and db.
RevisionPtr WithJob(uint64_t number, const std::string& version) {
  Shop shop;
  shop.api = version;
  definition::Resolved resolved = ResolvedOf(shop);
  definition::ResolvedJob job;
  job.instance.name = "report";
  job.instance.kind = definition::Kind::kWorker;
  job.instance.image = oci::Digest::Of(version);
  for (const definition::ResolvedService& service : resolved.services)
    job.instance.uses.insert(job.instance.uses.end(), service.uses.begin(), service.uses.end());
  resolved.jobs.push_back(job);
  return std::make_shared<const plan::Revision>(
      plan::MakeRevision(number, {}, std::move(resolved), "root", {}));
}

EnvironmentState Two(Role second) {
  EnvironmentState state;
  state.id = {"shop", "local"};
  for (uint64_t number : {1, 2}) state.revisions[number] = WithJob(number, std::to_string(number));
  state.active = 1;
  state.live[1].role = Role::kActive;
  state.live[2].role = second;
  return state;
}

std::map<uint64_t, std::string> ApiOfJob(const EnvironmentState& state) {
  std::map<uint64_t, std::string> out;
  for (const auto& route : DesiredOf(state).routes.inside)
    for (const auto& [number, revision] : state.revisions)
      if (route.asker == revision->jobs[0].spec.id && route.service == "api")
        out[number] =
            route.fleet.digest() == state.revisions.at(1)->FleetOf("api")->spec.id.digest() ? "1" : "2";
  return out;
}

TEST(JobRoutes, ARunAsksTheServicesOfItsOwnRevision) {
  using Asked = std::map<uint64_t, std::string>;
  EXPECT_EQ(ApiOfJob(Two(Role::kWarm)), (Asked{{1, "1"}, {2, "2"}}));
  EXPECT_EQ(ApiOfJob(Two(Role::kRetiring)), (Asked{{1, "1"}, {2, "2"}}));
  // Nothing of a candidate is asked, or routed, before its fleets are there.
  EXPECT_EQ(ApiOfJob(Two(Role::kCandidate)), (Asked{{1, "1"}}));
  size_t endpoints = 0;
  const Desired desired = DesiredOf(Two(Role::kWarm));
  for (const auto& endpoint : desired.routes.endpoints)
    endpoints += endpoint.asker.service() == "report" && endpoint.name == "db" ? 1 : 0;
  EXPECT_EQ(endpoints, 2u);
}

TEST(JobRoutes, AMigrationOfACandidateAsksItsEndpointBeforeAnythingStarts) {
  EnvironmentState state = Two(Role::kCandidate);
  plan::Revision comes = *state.revisions.at(2);
  comes.jobs[0].migrates = true;
  state.revisions[2] = std::make_shared<const plan::Revision>(comes);
  const auto asks = [&] {
    const Desired desired = DesiredOf(state);
    return std::count_if(
        desired.routes.endpoints.begin(), desired.routes.endpoints.end(),
        [&](const auto& one) { return one.asker == comes.jobs[0].spec.id && one.name == "db"; });
  };
  EXPECT_EQ(asks(), 0);
  state.rollout.emplace();
  state.rollout->to = 2;
  state.rollout->phase = Phase::kMigrating;
  EXPECT_EQ(asks(), 1);
  state.rollout->phase = Phase::kReverting;
  EXPECT_EQ(asks(), 0);
}

}  // namespace
}  // namespace ingot::rollout
