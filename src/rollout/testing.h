// A world for tests of rollouts: a shop of two services on a platform, journal and clock in memory, with
// everything watched for what must never happen.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "platform/fake_platform.h"
#include "rollout/controller.h"
#include "rollout/fake_checker.h"
#include "rollout/fake_migrator.h"
#include "rollout/transition.h"

namespace ingot::rollout::testing {

// Thrown in place of a kill -9: nothing of the controller survives it.
struct Killed {};

// The shop: web (from outside at :8000) uses api, which uses the endpoint db.
struct Shop {
  std::string web = "1";  // versions of the images
  std::string api = "1";
  uint32_t web_replicas = 2;
  uint32_t api_replicas = 2;
  Milliseconds keep_old{600'000};
  std::string listen = ":8000";
  std::string environment = "local";
  bool worker = false;        // with a worker that uses api
  bool api_recreate = false;  // api, and the worker, stop first
  bool api_rolling = false;
  bool web_rolling = false;
  uint32_t batch = 1;
  uint32_t surge = 1;
  uint32_t members = 0;     // of the stateful service cache, which web uses; 0: there is none
  std::string cache = "1";  // version of its image
  bool web_canary = false;
  bool api_canary = false;
  std::optional<definition::ResolvedAnalysis> analysis;  // of canaries
  std::vector<definition::ResolvedStep> steps{{10, Milliseconds(1'000), false},
                                              {50, Milliseconds(2'000), false}};
  definition::ResolvedRules rules{};
  bool preview = false;       // of canaries
  uint16_t preview_port = 0;  // of web, when it is one
  Milliseconds max_age{0};    // of every service
  std::optional<definition::ResolvedScale> web_scale;
  uint32_t spares = 0;      // of web and api, which then may not stop first
  uint64_t migrations = 0;  // scripts of the migration "shop"; each third one contracts
  bool operator==(const Shop&) const = default;
};
definition::Resolved ResolvedOf(const Shop& shop);

// A journal that can be killed before or after a commit, or fail.
class WatchedJournal final : public Journal {
 public:
  std::function<Result<void>(const std::string&)> before;
  std::function<void(const std::string&)> after;
  // Called with the former and the next state of each commit.
  std::function<void(const EnvironmentState&, const EnvironmentState&)> watch;
  MemoryJournal memory;
  uint64_t commits = 0;

  Result<std::vector<EnvironmentState>> Load() override { return memory.Load(); }
  Result<void> Commit(const JournalStep& step) override {
    if (before) {
      auto may = before("Commit");
      failed = failed || !may;
      TRY(std::move(may));
    }
    TRY(memory.Commit(step));
    ++commits;
    if (deciding) failed = false;
    if (watch) watch(last, *step.state);
    last = *step.state;
    if (after) after("Commit");
    return {};
  }
  Result<plan::Revision> ReadRevision(const platform::EnvironmentId& id, uint64_t number) override {
    return memory.ReadRevision(id, number);
  }
  Result<std::vector<plan::Revision>> ReadRevisions(const platform::EnvironmentId& id,
                                                    size_t limit) override {
    return memory.ReadRevisions(id, limit);
  }
  Result<std::vector<Rollout>> ReadHistory(const platform::EnvironmentId& id, size_t limit) override {
    return memory.ReadHistory(id, limit);
  }

  EnvironmentState last;  // what was committed last
  bool deciding = false;  // a tick goes on
  // A commit has failed, and no decision was journalled since: it is tried again only after a while.
  bool failed = false;
};

// Passes on to a FakePlatform, and writes down each break of a law that it sees on the way.
class WatchedPlatform final : public platform::Platform {
 public:
  WatchedPlatform(platform::FakePlatform& fake, WatchedJournal& journal, const Databases& databases)
      : fake_(fake), journal_(journal), databases_(databases) {
    journal.watch = [this](const auto& before, const auto& next) { Compare(before, next); };
  }
  platform::Capabilities capabilities() const override { return fake_.capabilities(); }
  Result<void> SetTopology(const platform::EnvironmentId& id, const platform::Topology& topology) override {
    return fake_.SetTopology(id, topology);
  }
  Result<bool> TopologySettled(const platform::EnvironmentId& id) override {
    return fake_.TopologySettled(id);
  }
  Result<void> Start(const platform::FleetSpec& fleet, const platform::InstanceId& id) override;
  Result<void> Serve(const platform::InstanceId& id) override;
  Result<void> Stop(const platform::InstanceId& id) override;
  Result<platform::Observation> Observe() override { return fake_.Observe(); }
  Result<void> ApplyRoutes(const platform::EnvironmentId& id, const platform::RouteTable& routes) override;
  Result<std::map<platform::FleetId, platform::FleetCounters>> Counters(
      const platform::EnvironmentId& id) override {
    return fake_.Counters(id);
  }
  Result<std::map<platform::InstanceId, platform::InstanceUsage>> Usage(
      const std::set<platform::InstanceId>& instances) override {
    return fake_.Usage(instances);
  }

  std::vector<std::string> violations;
  // Instances that the test has hurt: what was once seen as dead may be stopped, whatever it says later.
  std::set<platform::InstanceId> hurt;

 private:
  void CheckMigrated(const platform::InstanceId& id);
  void CheckAlone(const platform::InstanceId& id);
  void CheckVolumes(const platform::FleetSpec& fleet, const platform::InstanceId& id);
  void CheckAged(const EnvironmentState& before, const EnvironmentState& next);
  void CheckBatch(const EnvironmentState& before, const EnvironmentState& next, const RollingService& rolls,
                  uint32_t limit);
  void CheckRoutes(const platform::EnvironmentId& id, const platform::RouteTable& routes);
  size_t Ready(const platform::FleetId& fleet);
  void Compare(const EnvironmentState& before, const EnvironmentState& next);
  std::set<platform::InstanceId> alone_;  // that had to be gone before their successors start
  platform::FakePlatform& fake_;
  WatchedJournal& journal_;
  const Databases& databases_;
};

class World {
 public:
  World();
  static platform::EnvironmentId Local() { return {"shop", "local"}; }

  void Open();
  // A controller dies, the next one reads the journal.
  void Restart() {
    controller.reset();
    Open();
  }
  // One tick; restarts after a kill. The time until the next.
  Milliseconds Tick();
  // Ticks and moves the clock until nothing is under way or `limit` has passed; checks after every tick.
  // The instances that the state says shall be.
  std::set<platform::InstanceId> Wanted() const;
  void Settle(Milliseconds limit = Milliseconds(200'000));
  bool RunUntil(const std::function<bool()>& done, Milliseconds limit = Milliseconds(200'000));
  bool RunUntilPhase(Phase phase);
  // Submits, restarting after a kill (the command is then as good as not given, unless it was journalled).
  Result<Accepted> Do(Request what);
  Result<Accepted> DoApply(const Shop& shop) { return Do(Apply{ResolvedOf(shop)}); }

  const EnvironmentState& state() const { return *controller->State(Local()); }
  bool Busy() const;
  // Revision that outside traffic, but for the share of canaries, reaches by the platform's route table; 0:
  // none. Adds a violation when the table is no revision's (I3, I4).
  uint64_t Served();
  // Instances of the platform that carry the name of a service, as "web-3".
  std::vector<std::string> Instances();
  std::vector<Rollout> History(size_t limit = 10) { return *journal.ReadHistory(Local(), limit); }
  std::vector<audit::Event> Events() { return *sink.Read({.limit = 10'000'000}); }
  // What holds at any moment.
  void Check();
  // What holds after a tick whose decisions were all journalled: a free place of the count has no spare
  // beside it. And always: whoever is held is a spare, or is about to be let in.
  void CheckSpares(bool decided);
  // What holds when nothing is under way: exactly what is desired runs, and is routed.
  void CheckSettled();
  std::vector<std::string> violations();

  FakeClock clock;
  platform::FakePlatform fake{clock};
  WatchedJournal journal;
  Databases databases;
  WatchedPlatform platform{fake, journal, databases};
  audit::MemorySink sink{clock};
  bool without_migrator = false;
  std::function<void()> migrator_step = [] {};
  std::function<bool(const migrate::Script&)> migrator_fails;
  std::unique_ptr<FakeMigrator> migrator;  // of this process
  bool without_checker = false;
  FakeChecker::Measure measure = [](const auto&, const auto&) {
    return Measurement{Outcome::kSuccess, "1", ""};
  };
  std::unique_ptr<FakeChecker> checker;  // of this process
  std::unique_ptr<Controller> controller;
  int kills = 0;

 private:
  // Kept, since to find them out takes longer than a tick.
  const platform::RouteTable& RoutesOf(const plan::Revision& revision);
  std::map<uint64_t, std::pair<std::optional<oci::Digest>, platform::RouteTable>> routes_;
  std::vector<std::string> violations_;
};

}  // namespace ingot::rollout::testing
