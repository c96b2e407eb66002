// Many rollouts of a random life: failures, delays, deaths, kills of the controller, commands at any moment.
// After every tick the invariants of DESIGN §7 are checked. INGOT_ROLLOUTS sets how many rollouts, INGOT_SEED
// the first seed; a failure prints the seed that reproduces it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <random>
#include <set>
#include <thread>

#include "base/sync.h"
#include "rollout/testing.h"

namespace ingot::rollout {
namespace {

using platform::InstanceId;
using platform::InstanceState;
using ::testing::IsEmpty;
using testing::Killed;
using testing::Shop;
using testing::World;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

class Life {
 public:
  explicit Life(uint64_t seed) : random_(seed) {
    world_.fake.script = [this](const auto&, const auto&) { return RandomScript(); };
    const auto fault = [this](const std::string& function) { return Fault(function); };
    world_.fake.before = fault;
    world_.fake.after = fault;
    world_.journal.before = fault;
    world_.journal.after = [this](const std::string&) { MaybeKill(); };
    world_.measure = [this](const auto&, const auto&) { return RandomMeasurement(); };
    world_.migrator_step = [this] { MaybeKill(); };
    world_.migrator_fails = [this](const migrate::Script&) { return weather_ > 0 && random_() % 12 == 0; };
  }

  // A few rollouts, each with what was before remembered; then calm, and everything must be in order.
  void Live() {
    const int commands = 12;
    for (int i = 0; i < commands && world_.violations().empty(); ++i) {
      weather_ = static_cast<int>(random_() % 4);
      world_.fake.settle_takes = Milliseconds(Chance(10) ? random_() % 3'000 : 0);
      const auto before = Snapshot();
      Command();
      Disturb();
      Calm();
      CompareAfterRevert(before);
      if (Chance(20)) world_.clock.Advance(Milliseconds(random_() % 700'000));
      if (Chance(5)) world_.clock.JumpWall(Milliseconds(static_cast<int64_t>(random_() % 200'000) - 100'000));
    }
    if (!audit::Verify(*world_.sink.Read({.limit = 1'000'000}))) ADD_FAILURE() << "audit chain broken";
  }

  uint64_t rollouts() const {
    const EnvironmentState* state = world_.controller->State(World::Local());
    return state == nullptr ? 0 : state->next_rollout - 1;
  }
  std::vector<std::string> violations() { return world_.violations(); }
  int kills() const { return world_.kills; }
  int reverted = 0;
  int completed = 0;

 private:
  struct Before {
    platform::RouteTable routes;
    std::set<InstanceId> instances;
    std::optional<uint64_t> active;
  };

  bool Chance(uint32_t percent) { return random_() % 100 < percent; }

  platform::Script RandomScript() {
    platform::Script script;
    script.ready_after = Milliseconds(1 + random_() % 30);
    script.stop_takes = Milliseconds(1 + random_() % 50);
    if (weather_ == 0) return script;
    const uint32_t luck = random_() % 100;
    if (luck < 3) script.ready_after.reset();
    if (luck >= 3 && luck < 6) script.fails_after = Milliseconds(random_() % 20);
    if (luck >= 6 && luck < 9) script.exits_after = Milliseconds(random_() % 60);
    if (luck >= 9 && luck < 11) script.unhealthy_after = Milliseconds(random_() % 100);
    if (luck >= 11 && luck < 14) script.ready_after = Milliseconds(random_() % 6'000);
    return script;
  }

  definition::ResolvedCheck RandomCheck(const std::string& name) {
    definition::ResolvedCheck check;
    check.name = name;
    check.command = {"judge"};
    check.interval = Milliseconds(1 + random_() % 500);
    check.fails = 1 + static_cast<int>(random_() % 3);
    return check;
  }

  definition::ResolvedStep RandomShadow() {
    definition::ResolvedShadow shadow;
    shadow.share = 1 + random_() % 100;
    shadow.differences = shadow.errors = 100;
    shadow.least = 100;
    shadow.methods = {"GET"};
    shadow.timeout = Milliseconds(1'000);
    return {0, Milliseconds(random_() % 1'000), false, {}, shadow};
  }

  Measurement RandomMeasurement() {
    const uint32_t luck = weather_ == 0 ? 100 : random_() % 100;
    if (luck < 10) return {Outcome::kFailure, "exit code 1", ""};
    if (luck < 30) return {Outcome::kInconclusive, "", "no answer"};
    return {Outcome::kSuccess, "exit code 0", ""};
  }

  void MaybeKill() {
    if (weather_ >= 2 && random_() % 60 == 0) throw Killed{};
  }

  Result<void> Fault(const std::string& function) {
    MaybeKill();
    if (weather_ == 3 && random_() % 25 == 0)
      return Error(function == "SetTopology" && Chance(30) ? Code::kConflict : Code::kIo,
                   "fault in " + function);
    return {};
  }

  Before Snapshot() {
    Before out;
    const EnvironmentState* state = world_.controller->State(World::Local());
    out.routes = world_.fake.Routes(World::Local());
    for (const auto& [id, status] : world_.fake.instances()) out.instances.insert(id);
    if (state != nullptr) out.active = state->active;
    return out;
  }

  void Command() {
    Shop shop;
    shop.web = std::to_string(random_() % 4);
    shop.api = std::to_string(random_() % 3);
    shop.web_replicas = Chance(80) ? 2 : random_() % 4;
    shop.keep_old = Milliseconds(Chance(80) ? 600'000 : random_() % 3'000);
    shop.listen = Chance(90) ? ":8000" : ":8001";
    shop.worker = Chance(20);
    shop.api_recreate = Chance(30);
    shop.web_canary = Chance(30);
    shop.api_canary = !shop.api_recreate && Chance(30);
    shop.web_rolling = !shop.web_canary && Chance(40);
    shop.api_rolling = !shop.api_recreate && !shop.api_canary && Chance(40);
    if (Chance(60)) shop.members = 1 + random_() % 3;
    shop.cache = std::to_string(random_() % 3);
    shop.batch = 1 + random_() % 3;
    shop.surge = random_() % 3;
    if (Chance(25)) shop.max_age = Milliseconds(10'000 + random_() % 50'000);
    if (Chance(40)) shop.spares = 1 + random_() % 3;
    if (Chance(40)) shop.analysis = definition::ResolvedAnalysis{{}, {}, 50, 9'990};
    if (shop.analysis && Chance(50)) {
      shop.analysis->router = Chance(50);
      for (const char* name : {"first", "second"}) shop.analysis->checks.push_back(RandomCheck(name));
    }
    shop.steps.clear();
    for (uint32_t percent = 5; percent < 100 && Chance(70); percent += 1 + random_() % 60)
      shop.steps.push_back({percent, Milliseconds(random_() % 1'000), false});
    if (Chance(25)) shop.steps.insert(shop.steps.begin(), RandomShadow());
    if (Chance(15)) shop.preview_port = 9001;
    AddRules(shop);
    if (Chance(40)) ++scripts_;
    // Of an older commit, now and then.
    shop.migrations = Chance(10) ? random_() % (scripts_ + 1) : scripts_;
    const uint32_t luck = random_() % 100;
    was_destroy_ = false;
    if (luck < 70) {
      (void)world_.DoApply(shop);
    } else if (luck < 88) {
      Rollback rollback;
      const EnvironmentState* state = world_.controller->State(World::Local());
      if (state != nullptr && Chance(30)) rollback.to = 1 + random_() % state->next_revision;
      (void)world_.Do(rollback);
    } else if (luck < 97) {
      (void)world_.Do(Scale{Chance(40)   ? "web"
                            : Chance(50) ? "api"
                                         : "cache",
                            static_cast<uint32_t>(random_() % 4)});
    } else {
      (void)world_.Do(Destroy{});
      was_destroy_ = true;
    }
  }

  // Somebody's word is waited for, before anything is done or in the last step.
  void AddRules(Shop& shop) {
    const bool to_begin = Chance(15);
    const bool in_step = !shop.steps.empty() && Chance(20);
    if (!to_begin && !in_step) return;
    shop.rules.roles["ops"] = {{"approve"}, {"group:ops"}};
    if (in_step) shop.steps.back().approve["ops"] = Milliseconds(random_() % 60'000);
    if (!to_begin) return;
    shop.rules.approval = "ops";
    shop.rules.approval_within = Milliseconds(random_() % 60'000);
  }

  void Approve() { (void)world_.Do(rollout::Approve{{"root", {}, true}, ""}); }

  // Some time passes, with what a rough host does meanwhile.
  void Disturb() {
    const int ticks = static_cast<int>(random_() % 12);
    disturbed_ = false;
    const uint64_t errors = Chance(20) ? 20 : 0;
    for (int i = 0; i < ticks; ++i) {
      Count(errors);
      const Milliseconds next = world_.Tick();
      world_.clock.Advance(std::clamp(next, Milliseconds(1), Milliseconds(100)));
      if (weather_ > 0 && Chance(6)) {
        std::vector<InstanceId> ids;
        for (const auto& [id, status] : world_.fake.instances()) ids.push_back(id);
        if (!ids.empty()) {
          const InstanceId& victim = ids[random_() % ids.size()];
          disturbed_ = true;
          world_.platform.hurt.insert(victim);
          if (Chance(40))
            world_.fake.Exit(victim, 137);
          else if (Chance(50))
            world_.fake.SetState(victim, Chance(50) ? InstanceState::kUnhealthy : InstanceState::kUnknown,
                                 "rough");
          else
            world_.fake.Vanish(victim);
        }
      }
      if (Chance(4)) (void)world_.Do(Abort{});
      if (Chance(4)) (void)world_.Do(Pause{});
      if (Chance(4)) (void)world_.Do(Resume{});
      if (Chance(4)) (void)world_.Do(rollout::Advance{});
      if (Chance(20)) Approve();
      if (Chance(3)) (void)world_.DoApply({.web = "9"});
    }
  }

  // Requests are answered by every fleet; of a hundred from a new one so many are errors.
  void Count(uint64_t errors) {
    const EnvironmentState* state = world_.controller->State(World::Local());
    if (state == nullptr) return;
    for (const auto& [id, fleet] : state->fleets) {
      platform::FleetCounters& counters = world_.fake.counters()[id];
      counters.answered += 100;
      if (!fleet.proven) counters.errors_5xx += errors;
      counters.shadow.same += 100;
      if (!fleet.proven) counters.shadow.other_body += errors;
    }
    if (weather_ == 3 && Chance(2)) world_.fake.counters().clear();  // the router was started anew
  }

  // Somebody decides what an analysis without requests cannot, and what goes on comes to its end.
  void Decide() {
    for (int i = 0; i < 8; ++i) {
      (void)world_.Do(rollout::Advance{});
      Approve();
      world_.Tick();
      world_.clock.Advance(Milliseconds(1));
    }
    world_.RunUntil(
        [&] {
          Count(0);
          return !world_.Busy();
        },
        Milliseconds(60'000));
  }

  // No new faults; everything that goes on must come to its end.
  void Calm() {
    weather_ = 0;
    world_.fake.settle_takes = Milliseconds(0);
    (void)world_.Do(Resume{});
    Decide();
    for (const auto& [id, status] : std::map(world_.fake.instances()))
      if (status.state == InstanceState::kUnknown) {
        world_.fake.SetState(id, InstanceState::kReady, "");
        disturbed_ = true;
      }
    // A step may have been held by what nobody could see, and the next one waits for requests.
    if (world_.Busy()) Decide();
    world_.Settle();
    // Instances scripted to die go on dying until all of them are of calm times.
    world_.CheckSettled();
  }

  void CompareAfterRevert(const Before& before) {
    const auto history = world_.History(50);
    size_t reverts = 0;
    size_t others = 0;
    std::optional<uint64_t> from;
    for (const Rollout& rollout : history) {
      if (rollout.id <= last_finished_) continue;
      (rollout.phase == Phase::kReverted ? reverts : others) += 1;
      from = rollout.from;
    }
    if (!history.empty()) last_finished_ = std::max(last_finished_, history.front().id);
    reverted += static_cast<int>(reverts);
    completed += static_cast<int>(others);
    const EnvironmentState* state = world_.controller->State(World::Local());
    if (state == nullptr || reverts != 1 || others != 0 || state->rollout || was_destroy_) return;
    // Law 2: a reverted rollout has changed nothing. Routes to what is warm may have gone with its window.
    if (state->active != from) ADD_FAILURE() << "law 2: another revision serves after a reverted rollout";
    // It had switched before this command, and fell over after it.
    if (before.active != from) return;
    if (world_.fake.Routes(World::Local()).outside != before.routes.outside)
      ADD_FAILURE() << "law 2: other routes after a reverted rollout";
    if (disturbed_) return;
    for (const auto& [id, status] : world_.fake.instances())
      if (!before.instances.contains(id) && !Replaced(id))
        ADD_FAILURE() << "law 2: new after a revert: " << id.Render();
  }

  // A fleet that lost an instance by its script has others now.
  bool Replaced(const InstanceId& id) {
    const EnvironmentState* state = world_.controller->State(World::Local());
    const auto fleet = state->fleets.find(id.fleet());
    return fleet != state->fleets.end() && fleet->second.proven;
  }

  World world_;
  std::mt19937_64 random_;
  int weather_ = 0;       // 0 calm, 1 instances fail, 2 and kills, 3 and calls fail
  uint64_t scripts_ = 0;  // in the repository
  bool disturbed_ = false;
  bool was_destroy_ = false;
  uint64_t last_finished_ = 0;
};

struct Lives {
  uint64_t rollouts = 0;
  int kills = 0;
  int reverted = 0;
  int completed = 0;
};

TEST(Random, RolloutsKeepTheInvariants) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr uint64_t kRollouts = 500;  // many times slower
#else
  constexpr uint64_t kRollouts = 20'000;
#endif
  const uint64_t wanted = FromEnvironment("INGOT_ROLLOUTS", kRollouts);
  const uint64_t first = FromEnvironment("INGOT_SEED", 1);
  // Each life is a world of its own: as many at a time as there are cores.
  Sync<Lives> all;
  std::atomic<uint64_t> next{first};
  const auto live = [&] {
    while (all.lock()->rollouts < wanted && !::testing::Test::HasFailure()) {
      const uint64_t seed = next++;
      SCOPED_TRACE("reproduce with INGOT_SEED=" + std::to_string(seed) + " INGOT_ROLLOUTS=1");
      Life life(seed);
      life.Live();
      EXPECT_THAT(life.violations(), IsEmpty());
      auto sum = all.lock();
      sum->rollouts += life.rollouts();
      sum->kills += life.kills();
      sum->reverted += life.reverted;
      sum->completed += life.completed;
    }
  };
  {
    const unsigned threads = wanted == 1 ? 1 : std::max(1U, std::thread::hardware_concurrency());
    std::vector<std::jthread> running;
    for (unsigned i = 0; i < threads; ++i) running.emplace_back(live);
  }
  const auto [rollouts, kills, reverted, completed] = *all.lock();
  RecordProperty("rollouts", static_cast<int>(rollouts));
  std::cout << rollouts << " rollouts: " << completed << " completed, " << reverted << " reverted, " << kills
            << " kills\n";
  // The lives are rough enough to mean something.
  if (wanted >= 1'000) {
    EXPECT_GT(reverted, static_cast<int>(rollouts / 20));
    EXPECT_GT(completed, static_cast<int>(rollouts / 3));
    EXPECT_GT(kills, static_cast<int>(rollouts / 50));
  }
}

}  // namespace
}  // namespace ingot::rollout
