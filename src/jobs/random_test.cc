// A thousand runs of a random life: one in twenty attempts is killed or lost, calls fail before or after
// their effect, and the controller is killed at any of its steps. INGOT_RUNS sets how many, INGOT_SEED the
// first seed; a failure prints the seed that reproduces it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "jobs/testing.h"

namespace ingot::jobs {
namespace {

using ::testing::IsEmpty;
using testing::Killed;
using testing::World;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

class Life {
 public:
  explicit Life(uint64_t seed) : random_(seed) {
    for (const auto& [name, how] : {std::pair{"forbid", definition::Concurrency::kForbid},
                                    std::pair{"allow", definition::Concurrency::kAllow},
                                    std::pair{"replace", definition::Concurrency::kReplace}}) {
      plan::Job& job = world_.Add(name);
      job.concurrency = how;
      job.retries = 2;
      job.timeout = Milliseconds(2'000);
    }
    world_.fake.script = [this](const auto&, const auto&) {
      platform::Script script;
      script.stop_takes = Milliseconds(1 + random_() % 40);
      script.running_after = Milliseconds(1 + random_() % 30);
      const uint32_t luck = random_() % 100;
      script.exits_after = Milliseconds(30 + random_() % 300);
      script.exit_code = luck < 15 ? 1 : 0;
      if (luck >= 15 && luck < 18) script.exits_after.reset();  // hangs
      if (luck >= 18 && luck < 20) script.fails_after = Milliseconds(5);
      return script;
    };
    const auto fault = [this](const std::string& function) -> Result<void> {
      MaybeKill();
      if (storm_ && random_() % 40 == 0) return Error(Code::kIo, "fault in " + function);
      return {};
    };
    world_.fake.before = fault;
    world_.fake.after = fault;
    world_.journal.before = fault;
    world_.journal.after = [this](const std::string&) { MaybeKill(); };
    Reopen();
  }

  void Live(uint64_t runs) {
    while (accepted_.size() < runs) {
      Guarded([this] { MaybeStart(); });
      if (Chance(3)) Guarded([this] { MaybeCancel(); });
      Guarded([this] { world_.Tick(); });
      Hurt();
      Check();
      world_.clock.Advance(Milliseconds(1 + random_() % 30));
    }
    // Calm: everything comes to its end.
    storm_ = false;
    for (int i = 0; i < 100'000 && !(Open() == 0 && world_.fake.instances().empty()); ++i) {
      world_.Tick();
      Check();
      world_.clock.Advance(Milliseconds(20));
    }
  }

  void AllIsAsPromised() {
    EXPECT_EQ(Open(), 0u);
    EXPECT_THAT(world_.fake.instances(), IsEmpty());
    EXPECT_THAT(world_.fake.complaints(), IsEmpty());
    std::map<int64_t, int> ends;
    const auto events = *world_.sink.Read({.limit = 10'000'000});
    EXPECT_TRUE(audit::Verify(events));
    for (const audit::Event& event : events)
      if (event.kind == "job.succeeded" || event.kind == "job.failed" || event.kind == "job.timed_out" ||
          event.kind == "job.cancelled" || event.kind == "job.lost")
        ++ends[event.detail.at("run").to_number<int64_t>()];
    for (const uint64_t run : accepted_) EXPECT_EQ(ends[static_cast<int64_t>(run)], 1) << "run " << run;
    EXPECT_EQ(ends.size(), accepted_.size());
  }

  int kills = 0;
  int hurt = 0;

 private:
  bool Chance(uint32_t percent) { return random_() % 100 < percent; }
  void MaybeKill() {
    if (storm_ && random_() % 150 == 0) throw Killed{};
  }
  void Reopen() {
    world_.controller.reset();
    world_.Open();
  }
  template <typename Work>
  void Guarded(Work work) {
    try {
      work();
    } catch (const Killed&) {
      ++kills;
      Reopen();
    }
  }

  size_t Open() { return world_.controller->OpenRuns(World::Local()).size(); }

  void MaybeStart() {
    if (Open() > 12) return;
    const char* jobs[] = {"forbid", "allow", "replace"};
    const char* job = jobs[random_() % 3];
    // Whether a start whose answer was lost was journalled is for the journal to say.
    const auto known = [&]() -> uint64_t {
      const auto listed = world_.journal.memory.List(World::Local(), "", 1);
      EXPECT_TRUE(listed) << listed.error().Render();
      const std::vector<Run>& newest = listed.value();
      return newest.empty() ? 0 : newest[0].id;
    };
    const uint64_t before = known();
    try {
      static_cast<void>(world_.Start(job).has_value());
    } catch (const Killed&) {
      if (known() > before) accepted_.push_back(known());
      throw;
    }
    if (known() > before) accepted_.push_back(known());
  }

  void MaybeCancel() {
    const auto open = world_.controller->OpenRuns(World::Local());
    if (!open.empty())
      static_cast<void>(
          world_.controller->Cancel(World::Local(), open[random_() % open.size()].id, "root").has_value());
  }

  // One attempt in twenty is killed, or gone without a trace.
  void Hurt() {
    const bool was = std::exchange(storm_, false);
    for (const auto& [id, status] : std::map(world_.fake.instances())) {
      if (!seen_.insert(id).second || !Chance(5)) continue;
      ++hurt;
      if (Chance(50))
        world_.fake.Exit(id, 137);
      else
        world_.fake.Vanish(id);
    }
    storm_ = was;
  }

  void Check() {
    std::map<std::string, int> by_job;
    for (const auto& [id, status] : world_.fake.instances()) ++by_job[id.fleet().service()];
    EXPECT_LE(by_job["forbid"], 1);
    EXPECT_LE(by_job["replace"], 1);
    EXPECT_LE(by_job["allow"], static_cast<int>(kMostRunning));
  }

  std::mt19937_64 random_;
  World world_;
  bool storm_ = true;
  std::vector<uint64_t> accepted_;
  std::set<platform::InstanceId> seen_;
};

TEST(RandomJobs, EachEndsOnceAndNothingIsLeft) {
  const uint64_t runs = FromEnvironment("INGOT_RUNS", 1'000);
  const uint64_t first = FromEnvironment("INGOT_SEED", 1);
  int kills = 0;
  int hurt = 0;
  for (uint64_t seed = first; seed < first + std::max<uint64_t>(runs / 100, 1); ++seed) {
    SCOPED_TRACE("INGOT_SEED=" + std::to_string(seed));
    Life life(seed);
    life.Live(std::min<uint64_t>(runs, 100));
    life.AllIsAsPromised();
    kills += life.kills;
    hurt += life.hurt;
    if (::testing::Test::HasFailure()) break;
  }
  // The storm was one.
  EXPECT_GT(kills, 20);
  EXPECT_GT(hurt, 10);
}

}  // namespace
}  // namespace ingot::jobs
