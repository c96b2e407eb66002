#include "rollout/autoscaler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ingot::rollout {
namespace {

using platform::FleetId;
using platform::InstanceId;
using platform::InstanceUsage;
using ::testing::HasSubstr;

// A service whose instances share a load evenly, second by second.
class AutoscalerTest : public ::testing::Test {
 protected:
  AutoscalerTest() {
    service_.environment = {"shop", "local"};
    service_.service = "web";
    service_.scale = {.min = 1, .max = 10, .requests = 100, .cooldown = Milliseconds(60'000)};
    service_.limits.millicpus = 500;
    service_.limits.memory_bytes = 1000;
    SetCount(1);
  }
  InstanceId Id(uint64_t n) const { return InstanceId(FleetId({"shop", "local"}, "web", "000000000001"), n); }
  void SetCount(uint32_t count) {
    service_.count = count;
    service_.ready.clear();
    for (uint64_t n = 1; n <= count; ++n) service_.ready.insert(Id(n));
  }
  // A second under this load; the verdict is followed at once.
  std::optional<ScaleVerdict> Second(double requests, double cpus = 0, uint64_t memory = 0) {
    now_ += Milliseconds(1'000);
    for (const InstanceId& id : service_.ready) {
      InstanceUsage& usage = usage_[id];
      const auto share = [&](double all) {
        return static_cast<uint64_t>(all / static_cast<double>(service_.ready.size()));
      };
      usage.requests = usage.requests.value_or(0) + share(requests);
      usage.cpu_us = usage.cpu_us.value_or(0) + share(cpus * 1e6);
      usage.memory_bytes = memory;
    }
    const auto verdict = scaler_.Look(service_, usage_, now_);
    if (verdict) {
      changes_.push_back(verdict->count);
      SetCount(verdict->count);
    }
    return verdict;
  }
  std::optional<ScaleVerdict> Seconds(int count, double requests, double cpus = 0) {
    std::optional<ScaleVerdict> last;
    for (int i = 0; i < count; ++i)
      if (auto verdict = Second(requests, cpus)) last = std::move(verdict);
    return last;
  }

  ScaledService service_;
  std::map<InstanceId, InstanceUsage> usage_;
  SteadyTime now_{};
  Autoscaler scaler_;
  std::vector<uint32_t> changes_;
};

TEST_F(AutoscalerTest, GoesUpWithinSecondsAndDownAfterTheCooldown) {
  const auto verdict = Seconds(12, 350);
  EXPECT_EQ(service_.count, 4u);
  ASSERT_TRUE(verdict);
  EXPECT_THAT(verdict->reason, HasSubstr("requests"));
  EXPECT_THAT(verdict->reason, HasSubstr("where 100/s are wanted"));
  // Less for most of the cooldown, and once more in it: nothing goes.
  Seconds(50, 90);
  Seconds(8, 390);
  Seconds(58, 90);
  EXPECT_EQ(service_.count, 4u);
  Seconds(20, 90);
  EXPECT_EQ(service_.count, 1u);
}

TEST_F(AutoscalerTest, IsQuietNearTheTarget) {
  SetCount(3);
  for (int i = 0; i < 300; ++i) Second(i % 2 == 0 ? 328 : 275);
  EXPECT_TRUE(changes_.empty());
}

TEST_F(AutoscalerTest, GoesUpInStepsAndStopsAtTheBounds) {
  Seconds(40, 100'000);
  EXPECT_EQ(service_.count, 10u);
  EXPECT_EQ(changes_.front(), 5u);
  SetCount(12);  // the bounds have become narrower
  const auto verdict = Second(0);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->count, 10u);
  EXPECT_THAT(verdict->reason, HasSubstr("1 to 10"));
}

TEST_F(AutoscalerTest, OfSeveralTargetsTheOneThatNeedsMostCounts) {
  service_.scale.cpu = 50;  // of half a CPU
  SetCount(2);
  // 150 requests/s need two; 0.9 CPUs at 0.25 each need four.
  const auto verdict = Seconds(10, 150, 0.9);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(service_.count, 4u);
  EXPECT_THAT(verdict->reason, HasSubstr("cpu"));
}

TEST_F(AutoscalerTest, MemoryIsOfTheLimit) {
  service_.scale = {.min = 1, .max = 4, .memory = 50, .cooldown = Milliseconds(10'000)};
  SetCount(2);
  std::optional<ScaleVerdict> verdict;
  for (int i = 0; i < 5 && !verdict; ++i) verdict = Second(0, 0, 700);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->count, 3u);
  EXPECT_THAT(verdict->reason, HasSubstr("memory 70 %"));
}

TEST_F(AutoscalerTest, AQueueNeedsNoMeasuredInstance) {
  service_.scale = {.min = 1, .max = 10, .cooldown = Milliseconds(60'000)};
  service_.scale.queue.emplace().each = 50;
  const auto look = [&](std::optional<double> queue) {
    now_ += Milliseconds(1'000);
    service_.queue = queue;
    const auto verdict = scaler_.Look(service_, {}, now_);
    if (verdict) SetCount(verdict->count);
    return verdict;
  };
  const auto verdict = look(190);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->count, 4u);
  EXPECT_THAT(verdict->reason, HasSubstr("queue 190, of which 50 are one instance's"));
  EXPECT_FALSE(look(215));   // near enough
  EXPECT_TRUE(look(1e300));  // in steps, to the most
  EXPECT_TRUE(look(1e300));
  EXPECT_EQ(service_.count, 10u);
  // Not known: nothing goes, however long.
  for (int i = 0; i < 200; ++i) EXPECT_FALSE(look(std::nullopt));
  for (int i = 0; i < 60; ++i) EXPECT_FALSE(look(-1));
  for (int i = 0; i < 5; ++i) look(0);
  EXPECT_EQ(service_.count, 1u);
}

TEST_F(AutoscalerTest, BesideAQueueTheLoadCountsToo) {
  service_.scale.queue.emplace().each = 50;
  service_.queue = 10;
  ASSERT_TRUE(Seconds(12, 350));
  EXPECT_EQ(service_.count, 4u);
  // A queue that nobody can see keeps what there is.
  service_.queue.reset();
  Seconds(100, 0);
  EXPECT_EQ(service_.count, 4u);
}

TEST_F(AutoscalerTest, WhatCannotBeMeasuredTakesNothingAway) {
  service_.scale.cpu = 50;
  SetCount(4);
  for (int i = 0; i < 200; ++i) {
    now_ += Milliseconds(1'000);
    for (const InstanceId& id : service_.ready) usage_[id].requests = 0;  // and no cpu_us
    EXPECT_FALSE(scaler_.Look(service_, usage_, now_));
  }
  // Nothing at all is known of one.
  for (int i = 0; i < 200; ++i) {
    now_ += Milliseconds(1'000);
    for (const InstanceId& id : service_.ready) usage_[id] = {.cpu_us = 0, .requests = 0};
    usage_.erase(Id(2));
    EXPECT_FALSE(scaler_.Look(service_, usage_, now_));
  }
  // It can be measured again: from now on the cooldown counts.
  Seconds(59, 0);
  EXPECT_EQ(service_.count, 4u);
  Seconds(5, 0);
  EXPECT_EQ(service_.count, 1u);
}

TEST_F(AutoscalerTest, WhileSomeStillStartNoneGoes) {
  SetCount(4);
  Seconds(59, 0);
  service_.ready.erase(Id(3));
  for (int i = 0; i < 200; ++i) EXPECT_FALSE(Second(0));
}

TEST_F(AutoscalerTest, ATimeInWhichNobodyLookedIsNoCooldown) {
  SetCount(4);
  Seconds(30, 0);
  now_ += Milliseconds(120'000);
  Seconds(59, 0);
  EXPECT_EQ(service_.count, 4u);
  Seconds(5, 0);
  EXPECT_EQ(service_.count, 1u);
}

TEST_F(AutoscalerTest, ACounterThatBeganAnewIsNoLoad) {
  SetCount(2);
  Seconds(10, 190);
  for (auto& [id, usage] : usage_) usage.requests = 0;  // the router was started anew
  Seconds(20, 190);
  EXPECT_TRUE(changes_.empty());
}

}  // namespace
}  // namespace ingot::rollout
