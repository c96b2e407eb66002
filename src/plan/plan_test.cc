#include "plan/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ingot::plan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

definition::ResolvedService Service(const std::string& name, const std::string& version, uint32_t replicas) {
  definition::ResolvedService service;
  service.name = name;
  service.image = oci::Digest::Of(name);
  service.environment["LOG_LEVEL"] = version;
  service.ports = {{"http", 8080, definition::Protocol::kHttp}};
  service.ready = {definition::ResolvedProbe::Kind::kTcp,
                   8080,
                   "",
                   {},
                   Milliseconds(5),
                   Milliseconds(1000),
                   2,
                   Milliseconds(30'000),
                   0};
  service.limits = {250, 100 << 20, 50};
  service.scratch = {{"/tmp", 1 << 20, false}};
  service.secrets = {{"session_key", "3"}};
  service.grace = Milliseconds(10'000);
  service.drain = Milliseconds(5'000);
  service.replicas = replicas;
  service.rollout.keep_old = Milliseconds(60'000);
  return service;
}

definition::Resolved Shop(const std::string& web, const std::string& api, uint32_t web_replicas = 2) {
  definition::Resolved out;
  out.project = "shop";
  out.environment = "local";
  out.commit = "c0ffee";
  out.services = {Service("api", api, 1), Service("web", web, web_replicas)};
  out.services[1].uses = {
      {"api", false, out.services[0].ports, "", false},
      {"db", true, {{"postgres", 5432, definition::Protocol::kTcp}}, "db.internal", false}};
  definition::ResolvedRoute route;
  route.listen = ":8000";
  route.listen_port = 8000;
  route.service = "web";
  route.port = 8080;
  out.routes = {route};
  definition::ResolvedEndpoint db;
  db.name = "db";
  db.url = "postgres://db.internal/shop";
  db.host = "db.internal";
  db.port = 5432;
  out.endpoints = {db};
  return out;
}

Active ActiveOf(const definition::Resolved& resolved) {
  Active active;
  active.revision = MakeRevision(4, 3, resolved, "uid:0", WallTime{});
  active.keep_old = active.revision.KeepOld();
  return active;
}

TEST(Fleets, CarryEverythingThatAnInstanceSees) {
  const definition::Resolved shop = Shop("info", "1", 3);
  const auto fleets = Fleets(shop);
  ASSERT_EQ(fleets.size(), 2u);
  const platform::FleetSpec& web = fleets[1].spec;
  EXPECT_EQ(web.id.Render(),
            "shop/local/web@" + std::string(definition::FleetDigest(shop.services[1]).Short()));
  EXPECT_EQ(web.id.digest().size(), 12u);
  EXPECT_EQ(fleets[1].replicas, 3u);
  EXPECT_EQ(web.environment.at("LOG_LEVEL"), "info");
  EXPECT_EQ(web.image, oci::Digest::Of("web"));
  EXPECT_THAT(
      web.uses,
      ElementsAre(platform::Use{"api", false, "", {{"http", 8080, platform::Protocol::kHttp}}},
                  platform::Use{"db", true, "db.internal", {{"postgres", 5432, platform::Protocol::kTcp}}}));
  EXPECT_EQ(web.ready.kind, platform::Probe::Kind::kTcp);
  EXPECT_EQ(web.ready.passes, 2);
  EXPECT_EQ(web.ready.deadline, Milliseconds(30'000));
  EXPECT_EQ(web.limits, (platform::Limits{250, 100 << 20, 50}));
  EXPECT_THAT(web.scratch, ElementsAre(platform::Scratch{"/tmp", 1 << 20, false}));
  EXPECT_THAT(web.secrets, ElementsAre(platform::SecretRef{"session_key", "3"}));
  EXPECT_EQ(web.drain, Milliseconds(5'000));
}

TEST(Routes, StayWithinTheRevision) {
  const auto fleets = Fleets(Shop("info", "1"));
  const platform::RouteTable table = Routes(Shop("info", "1"));
  EXPECT_THAT(table.outside, ElementsAre(platform::RouteTable::Outside{":8000", fleets[1].spec.id, 8080,
                                                                       platform::Protocol::kHttp}));
  EXPECT_THAT(table.inside,
              ElementsAre(platform::RouteTable::Inside{fleets[1].spec.id, "api", fleets[0].spec.id}));
  EXPECT_THAT(table.endpoints, ElementsAre(platform::RouteTable::Endpoint{fleets[1].spec.id, "db"}));
}

TEST(Topology, IsTheUnionOfLiveRevisions) {
  definition::Resolved before = Shop("info", "1", 5);
  definition::Resolved after = Shop("info", "1", 2);
  after.routes[0].listen = ":8001";
  after.services.push_back(Service("zap", "1", 0));
  const auto topology = TopologyOf({&after, &before}, {{"api", 4}});
  ASSERT_EQ(topology.services.size(), 3u);
  EXPECT_EQ(topology.services[0].name, "api");
  EXPECT_EQ(topology.services[0].replicas, 4u);
  EXPECT_EQ(topology.services[1].replicas, 5u);
  EXPECT_EQ(topology.services[2].replicas, 1u);
  ASSERT_EQ(topology.listeners.size(), 2u);
  EXPECT_EQ(topology.listeners[0].listen, ":8000");
  EXPECT_EQ(topology.listeners[1].listen, ":8001");
  EXPECT_EQ(topology.endpoints.size(), 1u);
  EXPECT_EQ(topology, TopologyOf({&before, &after}, {{"api", 4}}));
  EXPECT_EQ(TopologyOf({}), platform::Topology{});
}

TEST(Revision, RoundTripsThroughJson) {
  const Revision revision =
      MakeRevision(7, 6, Shop("info", "1"), "uid:0", WallTime(Milliseconds(1234567890123)));
  auto again = RevisionFromJson(*ParseJson(RenderJson(ToJson(revision))));
  ASSERT_TRUE(again) << again.error().Render();
  EXPECT_EQ(*again, revision);
  EXPECT_EQ(revision.KeepOld(), Milliseconds(60'000));
  Json changed = ToJson(revision);
  changed.get_object()["digest"] = oci::Digest::Of("other").Render();
  auto corrupt = RevisionFromJson(changed);
  ASSERT_FALSE(corrupt);
  EXPECT_EQ(corrupt.error().code(), Code::kCorrupt);
}

TEST(Plan, OfTheFirstRevisionStartsEverything) {
  const Plan plan = MakePlan(std::nullopt, Shop("info", "1"), {});
  EXPECT_TRUE(plan.new_revision);
  ASSERT_EQ(plan.fleets.size(), 2u);
  EXPECT_EQ(plan.fleets[0].action, FleetChange::Action::kStart);
  EXPECT_EQ(plan.peak_memory_bytes, 300u << 20);
  EXPECT_EQ(plan.peak_millicpus, 750u);
  EXPECT_FALSE(plan.peak_unbounded);
  EXPECT_TRUE(Check(plan));
}

TEST(Plan, OfTheSameIsNothingToDo) {
  const Plan plan = MakePlan(ActiveOf(Shop("info", "1")), Shop("info", "1"), {});
  EXPECT_TRUE(plan.NothingToDo());
  EXPECT_EQ(RenderPlan(plan), "Nothing to do: shop/local is as declared (r4).\n");
  EXPECT_FALSE(ToJson(plan).at("changes").as_bool());
}

TEST(Plan, OfOneChangedServiceKeepsTheOther) {
  const Plan plan = MakePlan(ActiveOf(Shop("info", "1")), Shop("debug", "1"), {});
  const std::string web1(definition::FleetDigest(Shop("info", "1").services[1]).Short());
  const std::string web2(definition::FleetDigest(Shop("debug", "1").services[1]).Short());
  const std::string api(definition::FleetDigest(Shop("info", "1").services[0]).Short());
  EXPECT_EQ(RenderPlan(plan),
            "shop/local: a new revision after r4\n\n"
            "  + start  web@" +
                web2 +
                ", 2 instances\n"
                "             environment.LOG_LEVEL: info → debug\n"
                "  = keep   api@" +
                api +
                ", 1 instance\n"
                "  - retire web@" +
                web1 +
                ", 2 instances\n"
                "\nFleets: 1 to start, 1 to keep, 1 to retire. "
                "Peak while both run: 500 MiB memory, 1.2 CPUs.\n");
  EXPECT_EQ(plan.peak_memory_bytes, 500u << 20);
  EXPECT_NE(plan.routes_before, plan.routes_after);
}

TEST(Plan, OfAnotherShareForAServerElsewhereIsARevisionOfTheSameFleets) {
  definition::Resolved before = Shop("info", "1");
  before.routes[0].outside = definition::ResolvedOutside{"10.0.0.7", 8080, 90};
  definition::Resolved after = before;
  after.routes[0].outside->percent = 50;
  const Plan plan = MakePlan(ActiveOf(before), after, {});
  EXPECT_TRUE(plan.new_revision);
  for (const FleetChange& change : plan.fleets) EXPECT_EQ(change.action, FleetChange::Action::kKeep);
  EXPECT_THAT(RenderPlan(plan), HasSubstr("~ route  :8000 to web:8080, 50 % to 10.0.0.7:8080 (outside) (was "
                                          "web:8080, 90 % to 10.0.0.7:8080 (outside))"));
  EXPECT_EQ(plan.routes_after.outside[0].server, (platform::ServerShare{"10.0.0.7", 8080, 500}));
  // No change of what has to exist, also down to nothing; another address is one.
  const auto topology = [](const definition::Resolved& resolved) { return TopologyOf({&resolved}); };
  definition::Resolved none = before;
  none.routes[0].outside->percent = 0;
  EXPECT_EQ(topology(before), topology(none));
  none.routes[0].outside->port = 8081;
  EXPECT_NE(topology(before), topology(none));
  EXPECT_EQ(TopologyOf({&before, &none}).servers.size(), 2u);
  EXPECT_TRUE(MakePlan(ActiveOf(before), before, {}).NothingToDo());
}

TEST(Plan, OfAnotherCountIsAScaleAndNoRevision) {
  const Plan plan = MakePlan(ActiveOf(Shop("info", "1", 2)), Shop("info", "1", 5), {});
  EXPECT_FALSE(plan.new_revision);
  EXPECT_FALSE(plan.NothingToDo());
  EXPECT_THAT(plan.scales, ElementsAre(ScaleChange{"web", 2, 5}));
  EXPECT_THAT(RenderPlan(plan), HasSubstr("  ~ scale  web from 2 to 5\n"));
}

TEST(Plan, ACountSetByScaleStaysUnlessTheDefinitionsChanged) {
  Active active = ActiveOf(Shop("info", "1", 2));
  active.replicas["web"] = 6;
  EXPECT_TRUE(MakePlan(active, Shop("info", "1", 2), {}).NothingToDo());
  EXPECT_THAT(MakePlan(active, Shop("info", "1", 3), {}).scales, ElementsAre(ScaleChange{"web", 6, 3}));
  EXPECT_EQ(MakePlan(active, Shop("debug", "1", 2), {}).fleets[0].replicas, 6u);
}

TEST(Plan, ASecretsVersionIsShownAndItsValueIsNot) {
  definition::Resolved next = Shop("info", "1");
  next.services[1].secrets["session_key"] = "4";
  const Plan plan = MakePlan(ActiveOf(Shop("info", "1")), next, {});
  EXPECT_THAT(plan.fleets[0].differences, ElementsAre("secrets.session_key: 3 → 4"));
}

TEST(Plan, AListenerOfAnotherEnvironmentIsAConflict) {
  HostCapacity capacity;
  capacity.claims.listeners[":8000"] = "blog/local";
  const Plan plan = MakePlan(std::nullopt, Shop("info", "1"), capacity);
  EXPECT_THAT(plan.conflicts, ElementsAre(Conflict{":8000", "blog/local"}));
  auto checked = Check(plan);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code(), Code::kConflict);
  EXPECT_THAT(RenderPlan(plan), HasSubstr("  ! listener :8000 belongs to blog/local\n"));
}

TEST(Plan, APeakAboveTheHostsMemoryIsRefused) {
  HostCapacity capacity;
  capacity.memory_bytes = 1ull << 30;
  capacity.memory_used_bytes = 800 << 20;
  auto checked = Check(MakePlan(std::nullopt, Shop("info", "1"), capacity));
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code(), Code::kRefused);
  capacity.memory_used_bytes = 0;
  EXPECT_TRUE(Check(MakePlan(std::nullopt, Shop("info", "1"), capacity)));
}

TEST(Plan, ACountThatTheHostHasNoRoomForIsRefusedAsAnApplyIs) {
  Active active = ActiveOf(Shop("info", "1"));
  active.replicas["web"] = 3;
  HostCapacity capacity;
  capacity.memory_bytes = 1'000 << 20;
  capacity.memory_used_bytes = 200 << 20;
  // One api and seven of web, of 100 MiB each, have the 800 MiB that are left.
  EXPECT_EQ(MakeScalePlan(active, "web", 7, capacity).peak_memory_bytes, 800u << 20);
  EXPECT_TRUE(CheckMemory(MakeScalePlan(active, "web", 7, capacity)));
  auto checked = CheckMemory(MakeScalePlan(active, "web", 8, capacity));
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code(), Code::kRefused);
  EXPECT_EQ(checked.error().message(),
            "all instances together may use 900 MiB, but this host has 800 MiB left for them; lower "
            "`resources.memory` or `replicas`");
  EXPECT_EQ(MostWithin(active, "web", 6, capacity), 6u);
  EXPECT_EQ(MostWithin(active, "web", 900, capacity), 7u);
  // What others have taken meanwhile takes nothing away.
  capacity.memory_used_bytes = 900 << 20;
  EXPECT_EQ(MostWithin(active, "web", 900, capacity), 3u);
  EXPECT_EQ(MostWithin(active, "web", 1, capacity), 1u);
}

TEST(Plan, AnotherWindowIsAChangeWithoutARevision) {
  definition::Resolved next = Shop("info", "1");
  for (auto& service : next.services) service.rollout.keep_old = Milliseconds(5'000);
  const Plan plan = MakePlan(ActiveOf(Shop("info", "1")), next, {});
  EXPECT_FALSE(plan.new_revision);
  EXPECT_TRUE(plan.options_changed);
  EXPECT_THAT(plan.scales, IsEmpty());
}

TEST(Plan, SparesAreInThePeakAndAreNoRevision) {
  const Plan plain = MakePlan(std::nullopt, Shop("info", "1"), {});
  definition::Resolved next = Shop("info", "1");
  definition::ResolvedService& web = next.services.back();
  ASSERT_EQ(web.name, "web");
  web.scale = definition::ResolvedScale{.spares = 2};
  const uint64_t each = web.limits.memory_bytes;
  EXPECT_EQ(MakePlan(std::nullopt, next, {}).peak_memory_bytes, plain.peak_memory_bytes + 2 * each);
  const Plan plan = MakePlan(ActiveOf(Shop("info", "1")), next, {});
  EXPECT_FALSE(plan.new_revision);
  EXPECT_TRUE(plan.options_changed);
  EXPECT_THAT(ScalesOf(next), IsEmpty()) << "the count is nobody's but the definition's";
  EXPECT_EQ(Fleets(next).back().Within(7), 7u);
  // A release that takes them away: until it has switched the old ones are there.
  Active active = ActiveOf(next);
  active.spares = SparesOf(next);
  const uint64_t without = MakePlan(ActiveOf(Shop("info", "1")), Shop("warn", "2"), {}).peak_memory_bytes;
  EXPECT_EQ(MakePlan(active, Shop("warn", "2"), {}).peak_memory_bytes, without + 2 * each);
}

TEST(Plan, SparesAreShown) {
  definition::Resolved next = Shop("info", "1");
  next.services.back().scale = definition::ResolvedScale{.spares = 1};
  const Plan first = MakePlan(std::nullopt, next, {});
  ASSERT_EQ(first.fleets.back().fleet.service(), "web");
  const std::string web = "web@" + first.fleets.back().fleet.digest();
  const std::string count = std::to_string(first.fleets.back().replicas) + " instances";
  EXPECT_THAT(RenderPlan(first), ::testing::HasSubstr("  + start  " + web + ", " + count + " + 1 spare\n"));
  EXPECT_EQ(ToJson(first).at("fleets").get_array().back().at("spares").to_number<int>(), 1);
  // Two instead of one: no other fleet, but not nothing.
  Active active = ActiveOf(next);
  active.spares = SparesOf(next);
  next.services.back().scale->spares = 2;
  const Plan more = MakePlan(active, next, {});
  EXPECT_EQ(RenderJson(ToJson(more).at("spares")), R"([{"service":"web","from":1,"to":2}])");
  const std::string text = RenderPlan(more);
  EXPECT_THAT(text, ::testing::HasSubstr("  ~ spares web from 1 to 2\n"));
  EXPECT_THAT(text, ::testing::HasSubstr("  = keep   " + web + ", " + count + " + 2 spares\n"));
  // None any more.
  const Plan gone = MakePlan(active, Shop("warn", "2"), {});
  EXPECT_EQ(gone.fleets.back().action, FleetChange::Action::kRetire);
  EXPECT_EQ(gone.fleets.back().spares, 1u);
}

TEST(Plan, TheSparesOfWhatRollsOrGoesAreInThePeak) {
  definition::Resolved before = Shop("info", "1");
  before.services.back().scale = definition::ResolvedScale{.spares = 3};
  Active active = ActiveOf(before);
  active.spares = SparesOf(before);
  const Active plain = ActiveOf(Shop("info", "1"));
  const uint64_t each = before.services.back().limits.memory_bytes;
  definition::Resolved next = Shop("warn", "1");
  next.services.back().rollout.strategy = definition::Strategy::kRolling;
  next.services.back().rollout.surge = 1;
  EXPECT_EQ(MakePlan(active, next, {}).peak_memory_bytes,
            MakePlan(plain, next, {}).peak_memory_bytes + 2 * each)
      << "three spares before, and a surge of one when they have gone";
  next = Shop("info", "1");
  next.services.pop_back();
  next.routes.clear();
  EXPECT_EQ(MakePlan(active, next, {}).peak_memory_bytes,
            MakePlan(plain, next, {}).peak_memory_bytes + 3 * each);
}

// A count that followed the load is nobody's word once it no longer does; within its bounds it is kept.
TEST(Plan, ACountThatFollowsTheLoadStaysWithinItsBoundsAndEndsWithThem) {
  const definition::ResolvedScale scale{.min = 1, .max = 8, .cpu = 50};
  definition::Resolved scaled = Shop("info", "1");
  definition::ResolvedService& web = scaled.services.back();
  ASSERT_EQ(web.name, "web");
  web.scale = scale;
  Active active = ActiveOf(scaled);
  active.scales = ScalesOf(scaled);
  active.replicas["web"] = 7;
  EXPECT_TRUE(MakePlan(active, scaled, {}).NothingToDo());
  web.scale->max = 5;
  Plan plan = MakePlan(active, scaled, {});
  EXPECT_TRUE(plan.options_changed);
  EXPECT_THAT(plan.scales, testing::ElementsAre(ScaleChange{"web", 7, 5}));
  web.scale.reset();
  plan = MakePlan(active, scaled, {});
  EXPECT_FALSE(plan.new_revision);
  EXPECT_THAT(plan.scales, testing::ElementsAre(ScaleChange{"web", 7, web.replicas}));
}

TEST(MakePlan, BoundsByScheduleAreShownAsOfNow) {
  definition::Resolved scaled = Shop("info", "1");
  definition::ResolvedScale scale{.min = 2, .max = 12};
  scale.schedules = {{"0 8 * * *", 6, 12}, {"0 20 * * *", 2, 12}};
  scaled.services.back().scale = scale;
  const Plan plan = MakePlan(std::nullopt, scaled, {}, *ParseTime("2026-03-02T12:00:00.000Z"));
  ASSERT_EQ(plan.bounds.size(), 1u);
  EXPECT_EQ(plan.bounds[0].bounds, (definition::ScaleBounds{6, 6, "0 8 * * *"}));
  EXPECT_THAT(RenderPlan(plan), HasSubstr("web: 6 instances by \"0 8 * * *\", until 2026-03-02T20:00:00"));
  EXPECT_EQ(ToJson(plan).at("bounds").at(0).at("until").as_string(), "2026-03-02T20:00:00.000Z");
  // An instance that is replaced by age has its successor beside it for a moment.
  const uint64_t peak = plan.peak_memory_bytes;
  scaled.services.back().max_age = Milliseconds(60'000);
  EXPECT_EQ(MakePlan(std::nullopt, scaled, {}).peak_memory_bytes,
            peak + scaled.services.back().limits.memory_bytes);
}

TEST(PlanMigrations, AnyProblemRefusesAndWhatIsDueIsShown) {
  Plan plan;
  plan.environment = {"shop", "local"};
  plan.new_revision = true;
  MigrationPlan migration;
  migration.name = "shop";
  using State = migrate::Step::State;
  const auto step = [](uint64_t version, State state) {
    migrate::Step out{{version, "x", migrate::Stage::kExpand, "", "m/" + std::to_string(version) + "_x.sql"}};
    out.state = state;
    return out;
  };
  migration.steps = {step(1, State::kApplied), step(2, State::kPending), step(3, State::kWaits)};
  plan.migrations = {migration};
  EXPECT_TRUE(Check(plan));
  const std::string text = RenderPlan(plan);
  EXPECT_EQ(text.find("1_x.sql"), std::string::npos);
  EXPECT_NE(text.find("  > migrate shop: m/2_x.sql\n"), std::string::npos) << text;
  EXPECT_NE(text.find("  > migrate shop: m/3_x.sql (contract: "), std::string::npos) << text;
  plan.migrations[0].problems = {"m/1_x.sql is not what was applied", "another"};
  auto refused = Check(plan);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kRefused);
  EXPECT_EQ(
      refused.error().message(),
      "migration shop: m/1_x.sql is not what was applied (and 1 more; `ingot migrate status` shows all)");
  // Could not look.
  plan.migrations[0].code = Code::kUnavailable;
  EXPECT_EQ(Check(plan).error().code(), Code::kUnavailable);
}

}  // namespace
}  // namespace ingot::plan
