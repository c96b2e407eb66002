// Revisions that have something to show when they serve.
#include "rollout/controller.h"
#include "rollout/controller_fixture.h"

namespace ingot::rollout {
namespace {

using ::testing::ElementsAre;
using testing::Kinds;
using testing::Shop;
using testing::World;

class VerifiedTest : public testing::ControllerTest {
 protected:
  void Release(const Shop& shop) {
    ASSERT_TRUE(world.Do(Apply{.resolved = testing::ResolvedOf(shop), .verify = true}));
    world.Settle();
  }
  Code Refused(Request what) {
    const auto done = world.Do(std::move(what));
    return done ? Code::kInternal : done.error().code();
  }
  bool IsVerified() const { return world.controller->Status(World::Local())->at("verified").get_bool(); }
};

TEST_F(VerifiedTest, IsWhatSomebodySaysOfWhatServes) {
  Release({});
  EXPECT_FALSE(IsVerified());
  EXPECT_EQ(Refused(Verified{7}), Code::kConflict);
  world.Restart();
  EXPECT_FALSE(IsVerified()) << "the next daemon knows";
  ASSERT_TRUE(world.Do(Verified{1}));
  EXPECT_TRUE(IsVerified());
  ASSERT_TRUE(world.Do(Verified{1})) << "said again";
  world.Settle();
  EXPECT_THAT(Kinds(world, "revision.verified"), ElementsAre("revision.verified"));
}

TEST_F(VerifiedTest, IsNotAskedOfWhoDoesNotSaySo) {
  Deploy({});
  EXPECT_TRUE(IsVerified());
}

TEST_F(VerifiedTest, WhatFailsGoesBackUnlessAnotherOneServesByThen) {
  Deploy({});
  Release({.web = "2"});
  EXPECT_EQ(Refused(Rollback{.from = 1}), Code::kConflict);
  ASSERT_TRUE(world.Do(Rollback{.reason = "verification by ./smoke.sh failed", .from = 2}));
  world.Settle();
  EXPECT_EQ(world.Served(), 1u);
  EXPECT_TRUE(IsVerified());
  EXPECT_EQ(Refused(Verified{2}), Code::kConflict);
  const Json history = *world.controller->History(World::Local());
  for (const Json& revision : history.at("revisions").get_array())
    EXPECT_EQ(revision.at("verified").get_bool(), revision.at("revision").to_number<int>() != 2);
  for (const audit::Event& event : world.Events())
    if (event.kind == "revision.verify_failed") {
      EXPECT_EQ(RenderJson(event.detail),
                R"({"revision":"r2","reason":"verification by ./smoke.sh failed"})");
    }
  EXPECT_THAT(Kinds(world, "revision.verify_failed"), ElementsAre("revision.verify_failed"));
}

}  // namespace
}  // namespace ingot::rollout
