// A canary that is judged by what the router counts.
#include "rollout/controller_fixture.h"

namespace ingot::rollout {
namespace {

using ::testing::HasSubstr;
using testing::Kinds;
using testing::Shop;
using testing::World;

class JudgingTest : public testing::ControllerTest {
 protected:
  void SetUp() override {
    Deploy({});
    definition::ResolvedAnalysis analysis;
    analysis.min_requests = 100;
    analysis.confidence = 9'990;
    next_ = {
        .web = "2", .web_canary = true, .analysis = analysis, .steps = {{50, Milliseconds(2'000), false}}};
  }
  // Counts so many more answers, of which so many are errors.
  void Count(uint64_t revision, uint64_t answered, uint64_t errors) {
    auto& counters = world.fake.counters()[world.state().RevisionOf(revision).FleetOf("web")->spec.id];
    counters.answered += answered;
    counters.errors_5xx += errors;
  }
  bool Begin() {
    if (!world.DoApply(next_)) return false;
    // What was counted before the step is not the step's.
    return world.RunUntilPhase(Phase::kStepping) &&
           world.RunUntil([&] { return !world.state().rollout->judged.empty(); });
  }
  Shop next_;
};

TEST_F(JudgingTest, EnoughGoodAnswersGoOn) {
  Count(1, 5'000, 4'000);
  ASSERT_TRUE(Begin());
  Count(1, 500, 2);
  Count(2, 500, 2);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(world.Served(), 2u);
}

TEST_F(JudgingTest, MoreErrorsRevertAtOnceWithTheNumbers) {
  ASSERT_TRUE(Begin());
  Count(1, 200, 0);
  Count(2, 200, 20);
  const SteadyTime begin = world.clock.Steady();
  ASSERT_TRUE(world.RunUntil([&] { return !world.fake.Routes(World::Local()).outside[0].split; }));
  EXPECT_LE(world.clock.Steady() - begin, Milliseconds(200));
  world.Settle();
  EXPECT_EQ(world.Served(), 1u);
  const Rollout last = world.History()[0];
  EXPECT_EQ(last.phase, Phase::kReverted);
  EXPECT_THAT(last.reason, HasSubstr("analysis of web failed in step 1: errors: 20 of 200 (10.00 %)"));
  bool found = false;
  for (const audit::Event& event : world.Events()) {
    if (event.kind != "rollout.analysis") continue;
    found = true;
    EXPECT_EQ(event.detail.at("outcome"), "failure");
    EXPECT_EQ(event.detail.at("tests").at(0).at("metric"), "errors");
  }
  EXPECT_TRUE(found);
}

TEST_F(JudgingTest, TooFewRequestsHoldTheStepAndSaySo) {
  ASSERT_TRUE(Begin());
  Count(1, 1'000, 0);
  Count(2, 99, 50);
  EXPECT_FALSE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_EQ(world.state().rollout->phase, Phase::kStepping);
  EXPECT_THAT(world.state().rollout->held,
              HasSubstr("too few requests to tell: 99 of at least 100 to the new fleet"));
  EXPECT_THAT(Kinds(world, "rollout.held"), ::testing::SizeIs(1));
  // A person may know better.
  ASSERT_TRUE(world.Do(Advance{}));
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
}

TEST_F(JudgingTest, CountersThatCannotBeReadHoldTheStepAndSaySo) {
  bool broken = true;
  world.fake.before = [&](const std::string& function) -> Result<void> {
    if (function == "Counters" && broken) return Error(Code::kUnavailable, "no router answers");
    return {};
  };
  ASSERT_TRUE(world.DoApply(next_));
  EXPECT_FALSE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_THAT(world.state().rollout->held, HasSubstr("cannot be read: no router answers"));
  broken = false;
  ASSERT_TRUE(world.RunUntil([&] { return !world.state().rollout->judged.empty(); }));
  Count(1, 300, 0);
  Count(2, 300, 0);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
}

TEST_F(JudgingTest, ABoundThatIsNotClearlyKeptHolds) {
  next_.analysis->error_rate = definition::Bound{false, 100};
  ASSERT_TRUE(Begin());
  Count(1, 1'000, 12);
  Count(2, 1'000, 12);
  EXPECT_FALSE(world.RunUntilPhase(Phase::kBaking));
  EXPECT_THAT(world.state().rollout->held, HasSubstr("beyond its bound, but that may be chance"));
  Count(1, 3'000, 3);
  Count(2, 3'000, 3);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
}

TEST_F(JudgingTest, ARouterThatWasStartedAnewBeginsTheSampleAnew) {
  Count(1, 10'000, 0);
  ASSERT_TRUE(Begin());
  world.fake.counters().clear();
  Count(1, 150, 0);
  Count(2, 150, 1);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kBaking));
}

// A new process may have counted more than the old one had at the step's begin, on one side or on both.
TEST_F(JudgingTest, ARouterThatWasStartedAnewIsSeenHoweverMuchItHasCountedSince) {
  Count(1, 2'000, 0);
  ASSERT_TRUE(world.DoApply(next_));
  Count(2, 1'000, 0);
  ASSERT_TRUE(world.RunUntilPhase(Phase::kStepping));
  ASSERT_TRUE(world.RunUntil([&] { return !world.state().rollout->judged.empty(); }));
  Count(1, 1'000, 0);
  Count(2, 1'000, 0);
  world.RunUntil([] { return false; }, Milliseconds(200));
  world.fake.counters().clear();
  // Both have 4 %; 60 of 500 would be 12 %.
  Count(1, 1'500, 60);
  Count(2, 1'500, 60);
  ASSERT_TRUE(world.RunUntil([&] { return world.state().rollout->phase != Phase::kStepping; }));
  EXPECT_NE(world.state().rollout->phase, Phase::kReverting) << world.state().rollout->reason;
}

TEST_F(JudgingTest, AKillKeepsTheSample) {
  ASSERT_TRUE(Begin());
  Count(1, 90, 0);
  Count(2, 90, 1);
  world.RunUntil([] { return false; }, Milliseconds(300));
  world.Restart();
  Count(1, 90, 0);
  Count(2, 90, 30);
  ASSERT_TRUE(world.RunUntil([&] { return !world.Busy(); }));
  EXPECT_THAT(world.History()[0].reason, HasSubstr("31 of 180"));
  auto again = RolloutFromJson(ToJson(world.History()[0]));
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, world.History()[0]);
}

}  // namespace
}  // namespace ingot::rollout
