#include "adapters/step_checker.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace ingot::adapters {
namespace {

using rollout::CheckKey;
using rollout::CheckOrder;
using rollout::Measurement;
using rollout::Outcome;

const platform::EnvironmentId kLocal{"shop", "local"};

CheckOrder Order(CheckKey key, const std::vector<std::string>& names) {
  CheckOrder order{key, 2, {}};
  for (const std::string& name : names) {
    definition::ResolvedCheck check;
    check.name = name;
    check.interval = Milliseconds(1);
    order.checks["web"].push_back(check);
  }
  return order;
}

// Until it is so; a test that waits in vain is ended by ctest.
template <typename Condition>
void Await(Condition condition) {
  while (!condition()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

uint64_t Measured(StepChecker& checker, const std::string& check) {
  const auto run = checker.Look(kLocal);
  if (!run) return 0;
  const auto found = run->tallies.find({"web", check});
  return found == run->tallies.end() ? 0 : found->second.measured;
}

TEST(StepChecker, MeasuresAgainAndAgainUntilItIsEnded) {
  SystemClock clock;
  std::atomic<int> changes = 0;
  StepChecker checker(
      [](const auto&, const auto&, const auto&) {
        return Measurement{Outcome::kSuccess, "1", ""};
      },
      clock, [&] { ++changes; });
  EXPECT_FALSE(checker.Look(kLocal).has_value());
  checker.Begin(kLocal, Order({1, 1}, {"errors"}));
  Await([&] { return Measured(checker, "errors") >= 3; });
  // The same order changes nothing.
  checker.Begin(kLocal, Order({1, 1}, {"errors"}));
  EXPECT_GE(Measured(checker, "errors"), 3u);
  EXPECT_GE(changes, 3);
  checker.End(kLocal);
  EXPECT_FALSE(checker.Look(kLocal).has_value());
}

TEST(StepChecker, AnotherStepBeginsAnew) {
  SystemClock clock;
  StepChecker checker(
      [](const CheckTarget& target, const auto&, const auto&) {
        return Measurement{Outcome::kFailure, std::to_string(target.key.step), ""};
      },
      clock, [] {});
  checker.Begin(kLocal, Order({1, 1}, {"errors"}));
  Await([&] { return Measured(checker, "errors") > 0; });
  checker.Begin(kLocal, Order({1, 2}, {"errors"}));
  Await([&] { return Measured(checker, "errors") > 0; });
  const auto run = checker.Look(kLocal);
  EXPECT_EQ(run->key, (CheckKey{1, 2}));
  EXPECT_EQ(run->tallies.at({"web", "errors"}).last.value, "2");
}

TEST(StepChecker, APeerThatHangsDelaysNobodyButItself) {
  SystemClock clock;
  StepChecker checker(
      [](const auto&, const definition::ResolvedCheck& check, const std::atomic<bool>& cancelled) {
        if (check.name == "hangs") Await([&] { return cancelled.load(); });
        return Measurement{Outcome::kSuccess, check.name, ""};
      },
      clock, [] {});
  checker.Begin(kLocal, Order({1, 1}, {"answers", "hangs"}));
  Await([&] { return Measured(checker, "answers") >= 3; });
  EXPECT_EQ(Measured(checker, "hangs"), 0u);
  // What was broken off is heard of by nobody, and begins and ends are not held up.
  for (uint32_t step = 2; step < 20; ++step) checker.Begin(kLocal, Order({1, step}, {"hangs"}));
  EXPECT_EQ(Measured(checker, "hangs"), 0u);
}

}  // namespace
}  // namespace ingot::adapters
