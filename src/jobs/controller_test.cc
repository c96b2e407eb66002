#include "jobs/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "jobs/testing.h"

namespace ingot::jobs {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::World;

platform::Script Exits(Milliseconds after, int code) {
  platform::Script script;
  script.exits_after = after;
  script.exit_code = code;
  return script;
}

// Each attempt does what the next script says; the last one stays.
void Scripts(World& world, std::vector<platform::Script> scripts) {
  auto left = std::make_shared<std::vector<platform::Script>>(std::move(scripts));
  world.fake.script = [left](const auto&, const auto&) {
    const platform::Script next = left->front();
    if (left->size() > 1) left->erase(left->begin());
    return next;
  };
}

TEST(Jobs, ARunEndsWithItsExitCodeAndLeavesNothing) {
  World world;
  world.Add("report");
  world.Open();
  Scripts(world, {Exits(Milliseconds(100), 0), Exits(Milliseconds(100), 3)});
  const uint64_t first = world.Start("report", {"--all"})->id;
  world.Tick();
  EXPECT_EQ(world.Find(first).phase, Phase::kRunning);
  EXPECT_THAT(world.Find(first).spec.arguments, ElementsAre("--all"));
  world.Pass(Milliseconds(300));
  EXPECT_EQ(world.Find(first).outcome, Outcome::kSucceeded);
  EXPECT_EQ(world.Find(first).exit_code, 0);
  const uint64_t second = world.Start("report")->id;
  world.Pass(Milliseconds(300));
  EXPECT_EQ(world.Find(second).phase, Phase::kEnded);
  EXPECT_EQ(world.Find(second).outcome, Outcome::kFailed);
  EXPECT_EQ(world.Find(second).exit_code, 3);
  EXPECT_THAT(world.fake.instances(), IsEmpty());
  EXPECT_THAT(world.Kinds(), ElementsAre("job.queued", "job.started", "job.succeeded", "job.queued",
                                         "job.started", "job.failed"));
}

TEST(Jobs, ARunBeyondItsTimeIsEnded) {
  World world;
  world.Add("report").timeout = Milliseconds(500);
  world.Open();
  const uint64_t run = world.Start("report")->id;
  world.Pass(Milliseconds(400));
  EXPECT_EQ(world.Find(run).phase, Phase::kRunning);
  world.Pass(Milliseconds(300));
  EXPECT_EQ(world.Find(run).outcome, Outcome::kTimedOut);
  EXPECT_EQ(world.Find(run).phase, Phase::kEnded);
  EXPECT_THAT(world.fake.instances(), IsEmpty());
}

TEST(Jobs, AFailedRunIsRepeatedLaterAndLater) {
  World world;
  world.Add("report").retries = 2;
  world.Open();
  Scripts(world, {Exits(Milliseconds(10), 1), Exits(Milliseconds(10), 1), Exits(Milliseconds(10), 0)});
  const uint64_t run = world.Start("report")->id;
  world.Pass(Milliseconds(900));
  EXPECT_EQ(world.Find(run).phase, Phase::kQueued);
  EXPECT_EQ(world.Find(run).instances.size(), 1u);
  world.Pass(Milliseconds(500));
  EXPECT_EQ(world.Find(run).instances.size(), 2u);
  world.Pass(Milliseconds(1'500));
  EXPECT_EQ(world.Find(run).instances.size(), 2u);
  world.Pass(Milliseconds(1'000));
  EXPECT_EQ(world.Find(run).outcome, Outcome::kSucceeded);
  EXPECT_EQ(world.Find(run).instances.size(), 3u);
  EXPECT_EQ(world.Find(run).failures, 2u);
}

TEST(Jobs, ALostRunIsQueuedAgainAtMostFiveTimes) {
  World world;
  world.Add("report");
  world.Open();
  const uint64_t run = world.Start("report")->id;
  for (uint32_t i = 1; i <= kMostLosses; ++i) {
    world.Pass(Milliseconds(100));
    ASSERT_EQ(world.Find(run).instances.size(), i);
    world.fake.Vanish(world.Find(run).instance());
    world.Pass(Milliseconds(20'000), Milliseconds(100));
  }
  EXPECT_EQ(world.Find(run).phase, Phase::kEnded);
  EXPECT_EQ(world.Find(run).outcome, Outcome::kLost);
  EXPECT_EQ(world.Find(run).losses, kMostLosses);
}

TEST(Jobs, WithoutALookNothingIsConcluded) {
  World world;
  world.Add("report").timeout = Milliseconds(100);
  world.Open();
  const uint64_t run = world.Start("report")->id;
  world.Pass(Milliseconds(50));
  const auto before = world.Find(run);
  world.fake.before = [](const std::string& function) -> Result<void> {
    if (function == "Observe") return Error(Code::kIo, "cannot look");
    return {};
  };
  world.Pass(Milliseconds(5'000), Milliseconds(100));
  EXPECT_EQ(world.Find(run), before);
  world.fake.before = nullptr;
  world.Pass(Milliseconds(50));
  EXPECT_EQ(world.Find(run).outcome, Outcome::kTimedOut);
}

TEST(Jobs, ASecondRunIsRefusedOrGoesBesideOrTakesThePlace) {
  World world;
  world.Add("forbid");
  world.Add("allow").concurrency = definition::Concurrency::kAllow;
  world.Add("replace").concurrency = definition::Concurrency::kReplace;
  world.Open();
  for (const char* job : {"forbid", "allow", "replace"}) ASSERT_TRUE(world.Start(job)) << job;
  world.Pass(Milliseconds(50));
  const auto refused = world.Start("forbid");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kConflict);
  EXPECT_THAT(refused.error().message(), HasSubstr("run 1 of forbid goes on"));
  const uint64_t beside = world.Start("allow")->id;
  const uint64_t instead = world.Start("replace")->id;
  world.Tick();
  EXPECT_EQ(world.Find(beside).phase, Phase::kRunning);
  // Never two at the same time: the new one waits until nothing of the old one is left.
  EXPECT_EQ(world.Find(3).phase, Phase::kEnding);
  EXPECT_EQ(world.Find(instead).phase, Phase::kQueued);
  world.Pass(Milliseconds(50));
  EXPECT_EQ(world.Find(3).outcome, Outcome::kCancelled);
  EXPECT_EQ(world.Find(instead).phase, Phase::kRunning);
  EXPECT_EQ(world.Start("nothing").error().code(), Code::kNotFound);
}

TEST(Jobs, ACancelledRunIsNotRepeated) {
  World world;
  world.Add("report").retries = 5;
  world.Open();
  const uint64_t run = world.Start("report")->id;
  world.Pass(Milliseconds(50));
  ASSERT_TRUE(world.controller->Cancel(World::Local(), run, "uid 7"));
  world.Pass(Milliseconds(50));
  EXPECT_EQ(world.Find(run).outcome, Outcome::kCancelled);
  EXPECT_EQ(world.Find(run).phase, Phase::kEnded);
  EXPECT_THAT(world.Find(run).reason, HasSubstr("uid 7"));
  EXPECT_EQ(world.controller->Cancel(World::Local(), run, "uid 7").error().code(), Code::kNotFound);
  // Before it had begun.
  Scripts(world, {Exits(Milliseconds(10), 1)});
  const uint64_t waits = world.Start("report")->id;
  world.Pass(Milliseconds(100));
  ASSERT_EQ(world.Find(waits).phase, Phase::kQueued);
  EXPECT_EQ(world.controller->Cancel(World::Local(), waits, "uid 7")->phase, Phase::kEnded);
}

TEST(Jobs, AnEnvironmentThatIsDestroyedTakesItsRunsWithIt) {
  World world;
  world.Add("report");
  world.Open();
  const uint64_t run = world.Start("report")->id;
  world.Pass(Milliseconds(50));
  world.serves = false;
  world.Pass(Milliseconds(50));
  EXPECT_EQ(world.Find(run).outcome, Outcome::kCancelled);
  EXPECT_THAT(world.fake.instances(), IsEmpty());
}

TEST(Jobs, OldRunsAreForgottenWithTheirFiles) {
  World world;
  world.Add("report");
  world.Open();
  Scripts(world, {Exits(Milliseconds(5), 0)});
  for (size_t i = 0; i < kRunsKept + 3; ++i) {
    ASSERT_TRUE(world.Start("report"));
    world.Pass(Milliseconds(60));
  }
  EXPECT_EQ(world.controller->List(World::Local(), "report", 1'000)->size(), kRunsKept);
  EXPECT_EQ(world.forgotten.size(), 3u);
  EXPECT_EQ(world.controller->Find(World::Local(), 1).error().code(), Code::kNotFound);
  EXPECT_TRUE(world.controller->Find(World::Local(), 4));
}

// The fake clock begins at 2023-11-14T22:13:20Z.
TEST(Schedule, EachMinuteBeginsOneRunAndNothingBeforeItWasDeclared) {
  World world;
  world.Add("report").schedule = "* * * * *";
  world.Open();
  Scripts(world, {Exits(Milliseconds(10), 0)});
  world.Pass(Milliseconds(30'000), Milliseconds(100));
  EXPECT_THAT(world.Kinds(), IsEmpty());
  world.Pass(Milliseconds(180'000), Milliseconds(100));
  EXPECT_EQ(world.controller->List(World::Local(), "report", 10)->size(), 3u);
  EXPECT_EQ(RenderTime(*world.Find(1).due), "2023-11-14T22:14:00.000Z");
  EXPECT_EQ(world.Find(1).actor, "ingot");
}

TEST(Schedule, AMinuteThatADaemonMissedIsMadeUpForOnceWithinTenMinutes) {
  World world;
  world.Add("report").schedule = "*/5 * * * *";
  world.Open();
  Scripts(world, {Exits(Milliseconds(10), 0)});
  world.Tick();
  world.controller.reset();
  world.clock.Advance(std::chrono::minutes(18));  // 22:15, 22:20, 22:25 and 22:30 pass; it is 22:31:20
  world.Open();
  world.Pass(Milliseconds(500));
  const auto runs = *world.controller->List(World::Local(), "report", 10);
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(RenderTime(*runs[0].due), "2023-11-14T22:30:00.000Z");
  const auto events = *world.sink.Read({});
  ASSERT_EQ(events.front().kind, "job.missed");
  EXPECT_EQ(RenderJson(events.front().detail.at("count")), "3");
}

TEST(Schedule, AMinuteOfMoreThanTenMinutesAgoIsToldAsMissed) {
  World world;
  world.Add("report").schedule = "15 * * * *";
  world.Open();
  world.Tick();
  world.controller.reset();
  world.clock.Advance(std::chrono::minutes(20));
  world.Open();
  world.Pass(Milliseconds(500));
  EXPECT_THAT(world.Kinds(), ElementsAre("job.missed"));
  EXPECT_THAT(*world.controller->List(World::Local(), "report", 10), IsEmpty());
}

TEST(Schedule, WhileAFormerRunGoesOnAMinuteIsSkippedAndTold) {
  World world;
  world.Add("report").schedule = "* * * * *";
  world.revision.jobs[0].timeout = std::chrono::hours(1);
  world.Open();
  world.Tick();
  world.Pass(Milliseconds(150'000), Milliseconds(100));
  EXPECT_THAT(world.Kinds(), Contains("job.skipped"));
  EXPECT_EQ(world.controller->List(World::Local(), "report", 10)->size(), 1u);
}

TEST(Schedule, AClockThatIsSetBackBeginsNothingTwice) {
  World world;
  world.Add("report").schedule = "* * * * *";
  world.Open();
  Scripts(world, {Exits(Milliseconds(10), 0)});
  world.Tick();
  world.Pass(Milliseconds(100'000), Milliseconds(100));
  ASSERT_EQ(world.controller->List(World::Local(), "report", 10)->size(), 2u);
  world.clock.JumpWall(Milliseconds(-60'000));
  world.Pass(Milliseconds(50'000), Milliseconds(100));
  EXPECT_EQ(world.controller->List(World::Local(), "report", 10)->size(), 2u);
}

// Runs of the job that are for a release, by its rollout, the oldest first.
std::vector<uint64_t> ReleaseRuns(World& world, const std::string& job) {
  std::vector<uint64_t> out;
  const std::vector<Run> runs = world.controller->List(World::Local(), job, 100).value();
  for (const Run& run : runs)
    if (run.rollout) out.insert(out.begin(), *run.rollout);
  return out;
}

TEST(Release, BeginsOneRunOfEachJobThatIsForIt) {
  World world;
  world.Add("report").on_release = true;
  world.Add("other");
  world.Open();
  Scripts(world, {Exits(Milliseconds(50), 0)});
  world.Pass(Milliseconds(100));
  EXPECT_THAT(world.Kinds(), IsEmpty());
  world.release = {4, world.revision.number};
  world.Pass(Milliseconds(300));
  EXPECT_THAT(ReleaseRuns(world, "report"), ElementsAre(4));
  EXPECT_THAT(world.Kinds(), ElementsAre("job.queued", "job.started", "job.succeeded"));
  EXPECT_EQ(world.Find(1).spec.image, world.revision.jobs[0].spec.image);
  EXPECT_EQ(world.Find(1).revision, world.revision.number);
  world.Open();
  world.Pass(Milliseconds(300));
  EXPECT_THAT(ReleaseRuns(world, "report"), ElementsAre(4));
  world.release = {6, world.revision.number};
  world.Pass(Milliseconds(300));
  EXPECT_THAT(ReleaseRuns(world, "report"), ElementsAre(4, 6));
}

// A command of migrations, also of a first release: nothing serves yet.
TEST(Migration, HasOneRunHoweverOftenItIsAskedFor) {
  World world;
  world.serves = false;
  world.Add("migrate-shop").migrates = true;
  world.Open();
  Scripts(world, {Exits(Milliseconds(500), 0)});
  StartRequest request;
  request.job = "migrate-shop";
  request.actor = "ingot";
  request.rollout = 4;
  world.migrating = 4;
  EXPECT_EQ(world.controller->StartOnce(World::Local(), world.revision, request)->id, 1u);
  world.Pass(Milliseconds(200));
  EXPECT_EQ(world.controller->StartOnce(World::Local(), world.revision, request)->id, 1u);
  // Neither a process that came after it makes another, nor one that finds it ended.
  world.Open();
  EXPECT_EQ(world.controller->StartOnce(World::Local(), world.revision, request)->id, 1u);
  world.Pass(Milliseconds(800));
  const auto ended = world.controller->StartOnce(World::Local(), world.revision, request);
  EXPECT_EQ(ended->id, 1u);
  EXPECT_EQ(ended->outcome, Outcome::kSucceeded);
  EXPECT_THAT(world.Kinds(), ElementsAre("job.queued", "job.started", "job.succeeded"));
  request.rollout = 5;
  world.migrating = 5;
  EXPECT_EQ(world.controller->StartOnce(World::Local(), world.revision, request)->id, 2u);
}

TEST(Migration, EndsWithTheRolloutThatWantedIt) {
  World world;
  world.Add("migrate-shop").migrates = true;
  world.Open();
  Scripts(world, {Exits(Milliseconds(60'000), 0)});
  StartRequest request;
  request.job = "migrate-shop";
  request.rollout = 4;
  world.migrating = 4;
  ASSERT_TRUE(world.controller->StartOnce(World::Local(), world.revision, request));
  world.Pass(Milliseconds(200));
  EXPECT_EQ(world.Find(1).phase, Phase::kRunning);
  world.migrating = 0;
  world.Pass(Milliseconds(500));
  EXPECT_EQ(world.Find(1).outcome, Outcome::kCancelled);
  EXPECT_EQ(world.Find(1).reason, "rollout 4 goes on without it");
  // One by hand belongs to no rollout.
  ASSERT_TRUE(world.Start("migrate-shop"));
  world.Pass(Milliseconds(500));
  EXPECT_EQ(world.Find(2).phase, Phase::kRunning);
}

TEST(Release, WaitsForTheFormerRunAndIsNotLost) {
  World world;
  world.Add("report").on_release = true;
  world.Open();
  Scripts(world, {Exits(Milliseconds(500), 0)});
  world.release = {1, world.revision.number};
  world.Pass(Milliseconds(100));
  world.release = {2, world.revision.number};
  world.Pass(Milliseconds(100));
  EXPECT_EQ(world.Find(2).phase, Phase::kQueued);
  world.Pass(Milliseconds(2'000));
  EXPECT_THAT(ReleaseRuns(world, "report"), ElementsAre(1, 2));
  EXPECT_EQ(world.Find(2).outcome, Outcome::kSucceeded);
}

TEST(Release, OfARevisionThatServesNoMoreIsTold) {
  World world;
  world.Add("report").on_release = true;
  world.Open();
  world.release = {3, world.revision.number + 1};
  world.Tick();
  world.Tick();
  EXPECT_THAT(ReleaseRuns(world, "report"), IsEmpty());
  EXPECT_THAT(world.Kinds(), ElementsAre("job.skipped"));
}

TEST(Release, AKillAnywhereNeitherLosesNorDoublesIt) {
  for (const bool before : {true, false})
    for (int step = 1; step <= 6; ++step) {
      World world;
      world.Add("report").on_release = true;
      world.Open();
      Scripts(world, {Exits(Milliseconds(50), 0)});
      int left = step;
      const auto count = [&] {
        if (left > 0 && --left == 0) throw testing::Killed{};
      };
      world.journal.before = [&](const std::string&) -> Result<void> {
        if (before) count();
        return {};
      };
      world.journal.after = [&](const std::string&) {
        if (!before) count();
      };
      world.release = {7, world.revision.number};
      for (int i = 0; i < 300; ++i) {
        try {
          world.Tick();
        } catch (const testing::Killed&) {
          world.Open();
        }
        world.clock.Advance(Milliseconds(20));
      }
      EXPECT_THAT(ReleaseRuns(world, "report"), ElementsAre(7)) << before << step;
      EXPECT_EQ(world.Find(1).phase, Phase::kEnded) << before << step;
    }
}

TEST(RunJson, IsReadAsItWasWritten) {
  World world;
  world.Add("report").retries = 1;
  world.Open();
  Scripts(world, {Exits(Milliseconds(10), 1)});
  const uint64_t run = world.Start("report", {"a", "b"})->id;
  world.Pass(Milliseconds(100));
  const auto found = world.Find(run);
  EXPECT_EQ(*RunFromJson(ToJson(found)), found);
  EXPECT_FALSE(RunFromJson(JsonObject{{"version", 2}}));
}

}  // namespace
}  // namespace ingot::jobs
