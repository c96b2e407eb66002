#include "rollout/environment_state.h"

#include <gtest/gtest.h>

#include "rollout/testing.h"

namespace ingot::rollout {
namespace {

EnvironmentState Full() {
  EnvironmentState state;
  state.id = {"shop", "local"};
  state.step = 42;
  state.journalled = WallTime(Milliseconds(1'700'000'000'123));
  state.next_revision = 4;
  state.next_rollout = 6;
  state.next_ordinal = 18;
  state.active = 2;
  Rollout rollout;
  rollout.id = 5;
  rollout.kind = RolloutKind::kRollback;
  rollout.from = 2;
  rollout.to = 1;
  rollout.phase = Phase::kVerifying;
  rollout.actor = "uid:0";
  rollout.reason = "because";
  rollout.created = WallTime(Milliseconds(1));
  rollout.since = WallTime(Milliseconds(2));
  rollout.deadline = WallTime(Milliseconds(3));
  rollout.entered["planned"] = WallTime(Milliseconds(1));
  rollout.warm_until = WallTime(Milliseconds(4));
  rollout.approved["ops"] = "alice";
  rollout.awaited = WallTime(Milliseconds(5));
  state.rollout = rollout;
  LiveRevision live;
  live.role = Role::kWarm;
  live.until = WallTime(Milliseconds(5));
  live.keep_old = Milliseconds(600'000);
  live.declared["web"] = 2;
  live.replicas["web"] = 3;
  live.max_ages["web"] = Milliseconds(60'000);
  live.spares["web"] = 2;
  state.live[2] = live;
  FleetState fleet;
  fleet.proven = true;
  fleet.instances = {{.ordinal = 7,
                      .seen = true,
                      .ready = true,
                      .asked = WallTime(Milliseconds(6)),
                      .since = WallTime(Milliseconds(7))}};
  fleet.failures = 2;
  fleet.last_failure = WallTime(Milliseconds(8));
  fleet.not_before = WallTime(Milliseconds(9));
  fleet.reason = "exited with code 3";
  fleet.aging = 7;
  fleet.leaving = 6;
  fleet.instances.push_back({.ordinal = 8, .spare = true});
  fleet.spare_failures = 3;
  fleet.spare_not_before = WallTime(Milliseconds(10));
  fleet.spare_reason = "exited with code 4";
  state.fleets[platform::FleetId(state.id, "web", "0123456789ab")] = fleet;
  state.overrides["web"] = 3;
  state.destroying = true;
  state.outbox.push_back(
      {.key = "42.0", .environment = "shop/local", .kind = "k", .actor = "a", .detail = {{"n", 1}}});
  state.contracted = {{"shop", {3, 6}}};
  state.contracts_ended = {{"shop", {3}}};
  state.contracting = Contracting{41, 7, {{"shop", {6}}}, 2, WallTime(Milliseconds(9)), "it fails"};
  state.unmigrated = {5};
  state.released = Released{4, 2};
  state.unserved = {6};
  state.unverified = {2, 6};
  state.rules.roles["ops"] = {{"approve"}, {"group:ops"}};
  state.rules.approval = "ops";
  state.rules_before.freezes = {{WallTime(Milliseconds(1)), WallTime(Milliseconds(2)), "", {}, "why"}};
  return state;
}

TEST(EnvironmentState, RoundTripsThroughJson) {
  EnvironmentState blank;
  blank.id = {"shop", "local"};
  for (const EnvironmentState& state : {Full(), blank}) {
    auto again = StateFromJson(*ParseJson(RenderJson(ToJson(state))));
    ASSERT_TRUE(again) << again.error().Render();
    EXPECT_EQ(*again, state);
  }
}

TEST(EnvironmentState, ADocumentWithoutAMemberIsInvalid) {
  const Json whole = ToJson(Full());
  for (const auto& member : whole.get_object()) {
    // A missing rollout or active revision is as none.
    if (member.key() == "rollout" || member.key() == "active") continue;
    // Of before there were any.
    if (member.key() == "migrations" || member.key() == "released" || member.key() == "rules" ||
        member.key() == "unverified")
      continue;
    Json part = whole;
    part.get_object().erase(member.key());
    auto parsed = StateFromJson(part);
    ASSERT_FALSE(parsed) << member.key();
    EXPECT_EQ(parsed.error().code(), Code::kInvalid) << member.key();
  }
  Json newer = whole;
  newer.get_object()["version"] = 2;
  EXPECT_EQ(StateFromJson(newer).error().code(), Code::kUnsupported);
}

TEST(Phase, NamesAreInverse) {
  for (int i = 0; i <= static_cast<int>(Phase::kReverted); ++i)
    EXPECT_EQ(*ParsePhase(PhaseName(static_cast<Phase>(i))), static_cast<Phase>(i));
  EXPECT_EQ(ParsePhase("paused").error().code(), Code::kInvalid);
  for (int i = 0; i <= static_cast<int>(Role::kRetiring); ++i)
    EXPECT_EQ(*ParseRole(RoleName(static_cast<Role>(i))), static_cast<Role>(i));
  EXPECT_EQ(ParseRole("cold").error().code(), Code::kInvalid);
}

// An idle daemon ticks for as long as it lives.
TEST(Tick, WithNothingToDoWritesNothing) {
  testing::World world;
  ASSERT_TRUE(world.DoApply({.web_replicas = 10, .api_replicas = 10}));
  world.Settle();
  ASSERT_EQ(world.Instances().size(), 20u);
  const size_t commits = world.journal.memory.commits();
  EXPECT_EQ(world.controller->Tick(), Milliseconds(1'000));
  SystemClock clock;
  constexpr int kTicks = 1'000;
  const SteadyTime begin = clock.Steady();
  for (int i = 0; i < kTicks; ++i) world.controller->Tick();
  const auto each = std::chrono::duration_cast<std::chrono::microseconds>(clock.Steady() - begin) / kTicks;
  RecordProperty("microseconds", static_cast<int>(each.count()));
  std::cout << "a tick over 20 instances with nothing to do: " << each.count() << " us\n";
  EXPECT_EQ(world.journal.memory.commits(), commits);
}

}  // namespace
}  // namespace ingot::rollout
