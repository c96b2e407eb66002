#include "plan/volumes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/plan.h"

namespace ingot::plan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

definition::Resolved Cache(const std::string& service, const std::string& version, uint32_t replicas) {
  definition::Resolved out;
  out.project = "shop";
  out.environment = "local";
  definition::ResolvedService cache;
  cache.name = service;
  cache.kind = definition::Kind::kStateful;
  cache.image = oci::Digest::Of(version);
  cache.replicas = replicas;
  cache.volumes = {{"data", "/data", false, 64 << 20}};
  cache.rollout.strategy = definition::Strategy::kRolling;
  cache.rollout.batch = 1;
  out.services = {cache};
  return out;
}

Active ServesNow(definition::Resolved resolved) {
  return {MakeRevision(1, {}, std::move(resolved), "root", {}), {}, {}, {}, {}, {}, {}};
}

TEST(PlanVolumes, TheFleetIsToldOfEachMember) {
  const std::vector<Fleet> fleets = Fleets(Cache("cache", "1", 2));
  ASSERT_EQ(fleets.size(), 1u);
  EXPECT_TRUE(fleets[0].Stateful());
  platform::FleetSpec spec = fleets[0].spec;
  EXPECT_EQ(spec.volumes, (std::vector<platform::VolumeMount>{{"data", "/data", false, 64 << 20}}));
  EXPECT_THAT(platform::VolumesOf(spec), IsEmpty());
  spec.member = 1;
  EXPECT_THAT(platform::VolumesOf(spec), ElementsAre("data-1"));
}

TEST(PlanVolumes, ASizeThatIsNotKeptIsSaid) {
  EXPECT_THAT(MakePlan({}, Cache("cache", "1", 1), {}).warnings, IsEmpty());
  const Plan plan = MakePlan({}, Cache("cache", "1", 1), {.sizes_not_kept = "no quotas"});
  EXPECT_THAT(plan.warnings, ElementsAre("the size of volume data (64.0 MiB) is not enforced: no quotas"));
  EXPECT_THAT(RenderPlan(plan), HasSubstr("warning: the size of volume data"));
  EXPECT_TRUE(Check(plan));
}

TEST(PlanVolumes, ThoseOfMembersThatGoStayAndAreNamed) {
  const Plan fewer = MakePlan(ServesNow(Cache("cache", "1", 3)), Cache("cache", "1", 2), {});
  EXPECT_THAT(fewer.warnings,
              ElementsAre("volume data-2 stays, with no instance that has it; `ingot volume rm` removes it"));
  definition::Resolved none = Cache("cache", "1", 2);
  none.services.clear();
  EXPECT_THAT(MakePlan(ServesNow(Cache("cache", "1", 2)), none, {}).warnings,
              ElementsAre(HasSubstr("volume data-0 stays"), HasSubstr("volume data-1 stays")));
  EXPECT_THAT(MakePlan(ServesNow(Cache("cache", "1", 2)), Cache("cache", "2", 2), {}).warnings, IsEmpty());
}

TEST(PlanVolumes, MembersAreReplacedOneByOne) {
  const Plan plan = MakePlan(ServesNow(Cache("cache", "1", 2)), Cache("cache", "2", 2), {});
  EXPECT_TRUE(plan.fleets[0].by_member);
  EXPECT_THAT(RenderPlan(plan), HasSubstr("(member by member: each takes over its volumes)"));
}

TEST(PlanVolumes, OneThatAnotherServiceHasIsRefused) {
  const Plan plan = MakePlan(ServesNow(Cache("cache", "1", 1)), Cache("redis", "1", 1), {});
  auto checked = Check(plan);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code(), Code::kConflict);
  EXPECT_EQ(checked.error().message(),
            "volume data would go from service cache to redis, while members of cache have it; first apply a "
            "definition without either, then one with redis");
}

}  // namespace
}  // namespace ingot::plan
