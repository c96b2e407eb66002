// kill -9 at every step: before and after each journal commit, each effect on the platform, each append to
// the audit record. After each the next controller must come to the same end as if nothing had happened.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "rollout/testing.h"

namespace ingot::rollout {
namespace {

using ::testing::IsEmpty;
using testing::Killed;
using testing::Shop;
using testing::World;

// Counts the places where a process can die, and dies at one of them.
class Reaper {
 public:
  explicit Reaper(World& world) {
    const auto pass = [this](const std::string&) -> Result<void> {
      Step();
      return {};
    };
    world.fake.before = pass;
    world.fake.after = pass;
    world.journal.before = pass;
    world.journal.after = [this](const std::string&) { Step(); };
    world.migrator_step = [this] { Step(); };
  }
  int steps = 0;
  int kill_at = -1;

 private:
  void Step() {
    if (steps++ == kill_at) throw Killed{};
  }
};

struct Scenario {
  std::string name;
  std::function<void(World&)> prepare;
  Request command;
  uint64_t serves;
  size_t instances;
};

platform::Script BadIsBad(const platform::FleetSpec& spec, const platform::InstanceId& id) {
  platform::Script script;
  if (spec.environment.at("VERSION") == "bad") {
    script.ready_after.reset();
    script.exits_after = Milliseconds(3);
  }
  if (spec.environment.at("VERSION") == "second" && id.ordinal() > 5) script.exits_after = Milliseconds(3);
  if (spec.environment.at("VERSION") == "late") script.exits_after = Milliseconds(1'500);
  return script;
}

void Deploy(World& world, const Shop& shop) {
  ASSERT_TRUE(world.DoApply(shop));
  world.Settle();
}

std::vector<Scenario> Scenarios() {
  const auto nothing = [](World&) {};
  const auto r1 = [](World& world) { Deploy(world, {}); };
  const auto r2 = [](World& world) {
    Deploy(world, {});
    Deploy(world, {.web = "2", .api = "2"});
  };
  const auto r2_only = [](World& world) {
    Deploy(world, {});
    Deploy(world, {.web = "2", .api = "2"});
    world.clock.Advance(Milliseconds(600'000));
    world.Settle();
  };
  const auto stopped = [](World& world) {
    Deploy(world, {});
    Deploy(world, {.web = "2", .api = "2", .api_recreate = true});
  };
  const auto wounded = [](World& world) {
    Deploy(world, {});
    world.fake.Exit(world.fake.instances().begin()->first, 1);
  };
  const auto apply = [](Shop shop) { return Apply{testing::ResolvedOf(shop)}; };
  return {
      {"the first apply", nothing, apply({}), 1, 4},
      {"a first apply that fails", nothing, apply({.web = "bad"}), 0, 0},
      {"an apply of all services", r1, apply({.web = "2", .api = "2"}), 2, 8},
      {"an apply of one service", r1, apply({.api = "2"}), 2, 6},
      {"an apply with another listener", r1, apply({.web = "2", .listen = ":8001"}), 2, 6},
      {"an apply without a window", [](World& world) { Deploy(world, {.keep_old = Milliseconds(0)}); },
       apply({.web = "2", .api = "2", .keep_old = Milliseconds(0)}), 2, 4},
      {"an apply of a service that stops first", r1, apply({.web = "2", .api = "2", .api_recreate = true}), 2,
       6},
      {"one that fails", r1, apply({.web = "2", .api = "bad", .api_recreate = true}), 1, 4},
      {"a rollback to a revision that was stopped first", stopped, Rollback{}, 1, 6},
      {"a rolling one", r1,
       apply({.web = "2", .api = "2", .web_replicas = 3, .api_rolling = true, .web_rolling = true}), 2, 5},
      {"a rolling one without a surge", r1, apply({.web = "2", .web_rolling = true, .surge = 0}), 2, 4},
      {"a rolling one whose second batch fails", r1, apply({.web = "second", .web_rolling = true}), 1, 4},
      {"a rollback of a rolling one",
       [](World& world) {
         Deploy(world, {});
         Deploy(world, {.web = "2", .web_rolling = true});
       },
       Rollback{}, 1, 4},
      {"a canary", r1, apply({.web = "2", .web_canary = true}), 2, 6},
      {"a canary beside a service that stops first and a worker", r1,
       apply({.web = "2", .api = "2", .worker = true, .api_recreate = true, .web_canary = true}), 2, 7},
      {"a canary that fails in its second step", r1, apply({.web = "late", .web_canary = true}), 1, 4},
      {"an apply that fails", r1, apply({.web = "bad", .api = "2"}), 1, 4},
      {"an apply over a warm revision", r2, apply({.web = "3", .api = "3"}), 3, 8},
      {"an apply while an instance is dead", wounded, apply({.web = "2"}), 2, 6},
      {"a rollback to a warm revision", r2, Rollback{}, 1, 8},
      {"a rollback after the window", r2_only, Rollback{}, 1, 8},
      {"a scale up", r1, Scale{"web", 4}, 1, 6},
      {"a scale down", r1, Scale{"web", 1}, 1, 3},
      {"a release with migrations", r1, apply({.web = "2", .migrations = 4}), 2, 6},
      {"a release with contract scripts",
       [](World& world) { Deploy(world, {.keep_old = Milliseconds(0), .migrations = 2}); },
       apply({.web = "2", .keep_old = Milliseconds(0), .migrations = 6}), 2, 4},
      {"a destroy", r2, Destroy{}, 0, 0},
  };
}

// The command is given until it is journalled, as a client does whose connection breaks.
void Give(World& world, const Scenario& scenario) {
  const EnvironmentState* before = world.controller->State(World::Local());
  const uint64_t step = before == nullptr ? 0 : before->step;
  for (int i = 0; i < 3; ++i) {
    if (world.Do(scenario.command)) return;
    const EnvironmentState* now = world.controller->State(World::Local());
    if (now != nullptr && now->step > step) return;
  }
  ADD_FAILURE() << "not accepted";
}

// How many steps the scenario has.
int RunScenario(const Scenario& scenario, int kill_at) {
  World world;
  world.fake.script = BadIsBad;
  scenario.prepare(world);
  Reaper reaper(world);
  reaper.kill_at = kill_at;
  Give(world, scenario);
  world.Settle();
  world.CheckSettled();
  EXPECT_EQ(world.Served(), scenario.serves);
  EXPECT_EQ(world.Instances().size(), scenario.instances);
  EXPECT_THAT(world.violations(), IsEmpty());
  EXPECT_EQ(world.kills, kill_at < 0 ? 0 : 1);
  const auto events = *world.sink.Read({.limit = 100'000});
  EXPECT_TRUE(audit::Verify(events));
  // Everything is recorded once: each phase of each rollout.
  std::set<std::string> seen;
  for (const audit::Event& event : events) {
    if (!event.kind.starts_with("rollout.")) continue;
    std::string what = event.kind + std::to_string(IntOr(event.detail.get_object(), "rollout", 0));
    // These are many of one kind; each says which.
    what += StringOr(event.detail.get_object(), "service", "") +
            StringOr(event.detail.get_object(), "summary", "");
    EXPECT_TRUE(seen.insert(what).second) << "recorded twice: " << what;
  }
  for (const Rollout& rollout : world.History(100)) {
    for (const auto& [phase, time] : rollout.entered)
      EXPECT_TRUE(seen.contains("rollout." + phase + std::to_string(rollout.id)))
          << "not recorded: " << phase << " of rollout " << rollout.id;
  }
  return reaper.steps;
}

TEST(Crash, AtEveryStepOfEveryScenario) {
  int runs = 0;
  for (const Scenario& scenario : Scenarios()) {
    SCOPED_TRACE(scenario.name);
    const int steps = RunScenario(scenario, -1);
    ASSERT_GT(steps, 5);
    for (int k = 0; k < steps; ++k) {
      SCOPED_TRACE("killed at step " + std::to_string(k));
      RunScenario(scenario, k);
      ++runs;
      if (::testing::Test::HasFailure()) return;
    }
  }
  RecordProperty("runs", runs);
  EXPECT_GT(runs, 300);
}

// A daemon that comes back within the shift decides within a second, from what it sees.
TEST(Crash, InTheShiftWithACandidateThatDiedMeanwhileReverts) {
  World world;
  ASSERT_TRUE(world.DoApply({}));
  world.Settle();
  ASSERT_TRUE(world.DoApply({.web = "2"}));
  world.fake.before = [&](const std::string& function) -> Result<void> {
    const bool shifting = world.journal.last.rollout && world.journal.last.rollout->phase == Phase::kShifting;
    if (function == "ApplyRoutes" && shifting) throw Killed{};
    return {};
  };
  while (world.kills == 0) world.clock.Advance(std::max(world.Tick(), Milliseconds(1)));
  world.fake.before = nullptr;
  for (const auto& [id, status] : std::map(world.fake.instances()))
    if (id.Short() == "web-5") world.fake.Exit(id, 1);
  const SteadyTime back = world.clock.Steady();
  ASSERT_TRUE(world.RunUntil([&] { return !world.Busy(); }));
  EXPECT_LE(world.clock.Steady() - back, Milliseconds(1'000));
  EXPECT_EQ(world.Served(), 1u);
  world.CheckSettled();
  EXPECT_EQ(world.History()[0].reason, "web-5 exited with code 1");
  EXPECT_THAT(world.violations(), IsEmpty());
}

}  // namespace
}  // namespace ingot::rollout
