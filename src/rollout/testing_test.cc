#include "rollout/testing.h"

#include <algorithm>
#include <set>

#include "rollout/transition.h"

namespace ingot::rollout::testing {

using platform::FleetId;
using platform::InstanceId;
using platform::InstanceState;

namespace {

definition::ResolvedService Service(const std::string& name, const std::string& version, uint32_t replicas,
                                    uint16_t port, const Shop& shop) {
  definition::ResolvedService service;
  service.name = name;
  service.image = oci::Digest::Of(name + version);
  service.environment["VERSION"] = version;
  if (port > 0) service.ports = {{"http", port, definition::Protocol::kHttp}};
  service.ready.kind =
      port > 0 ? definition::ResolvedProbe::Kind::kTcp : definition::ResolvedProbe::Kind::kNone;
  service.ready.port = port;
  service.ready.interval = Milliseconds(5);
  service.ready.timeout = Milliseconds(1000);
  service.ready.passes = 1;
  service.ready.deadline = Milliseconds(5'000);
  service.limits = {500, 64 << 20, 100};
  service.grace = Milliseconds(1000);
  service.drain = Milliseconds(1000);
  service.replicas = replicas;
  service.rollout.keep_old = shop.keep_old;
  service.max_age = shop.max_age;
  return service;
}

// Where the shop's previews are, which lead to what serves nobody else.
constexpr const char* kPreviewListen = ":9001";

platform::RouteTable WithoutShares(platform::RouteTable table) {
  std::erase_if(table.outside, [](const auto& route) { return route.listen == kPreviewListen; });
  for (auto& route : table.outside) route.split.reset();
  for (auto& route : table.inside) route.split.reset();
  table.rollout = table.step = 0;
  return table;
}

}  // namespace

definition::Resolved ResolvedOf(const Shop& shop) {
  definition::Resolved out;
  out.project = "shop";
  out.environment = shop.environment;
  out.commit = "c0ffee";
  out.rules = shop.rules;
  definition::ResolvedService api = Service("api", shop.api, shop.api_replicas, 9000, shop);
  api.uses = {{"db", true, {{"postgres", 5432, definition::Protocol::kTcp}}, "db.internal", false}};
  if (shop.api_recreate) api.rollout.strategy = definition::Strategy::kRecreate;
  const auto make_canary = [&](definition::ResolvedService& service) {
    service.rollout.strategy = definition::Strategy::kCanary;
    service.rollout.steps = shop.steps;
    service.rollout.analysis = shop.analysis;
    if (shop.preview) service.rollout.preview = {"", "X-Preview", "secret"};
  };
  if (shop.api_canary) make_canary(api);
  const auto make_rolling = [&](definition::ResolvedService& service) {
    service.rollout.strategy = definition::Strategy::kRolling;
    service.rollout.batch = shop.batch;
    service.rollout.surge = shop.surge;
  };
  if (shop.api_rolling) make_rolling(api);
  definition::ResolvedService web = Service("web", shop.web, shop.web_replicas, 8080, shop);
  web.uses = {{"api", false, api.ports, "", false}};
  web.scale = shop.web_scale;
  if (shop.spares > 0) {
    for (definition::ResolvedService* service : {&web, &api})
      if (!service->scale && service->rollout.strategy != definition::Strategy::kRecreate)
        service->scale.emplace();
    for (definition::ResolvedService* service : {&web, &api})
      if (service->scale) service->scale->spares = shop.spares;
  }
  if (shop.web_canary) make_canary(web);
  if (shop.web_canary) web.rollout.preview.port = shop.preview_port;
  if (shop.web_rolling) make_rolling(web);
  out.services = {api};
  if (shop.members > 0) {
    definition::ResolvedService cache = Service("cache", shop.cache, shop.members, 6379, shop);
    cache.kind = definition::Kind::kStateful;
    cache.max_age = Milliseconds(0);
    cache.volumes = {{"data", "/data", false, 0}};
    cache.rollout.strategy = definition::Strategy::kRolling;
    cache.rollout.batch = 1;
    cache.rollout.surge = 0;
    cache.rollout.snapshot = {"data"};
    web.uses.push_back({"cache", false, cache.ports, "", false});
    out.services.push_back(cache);
  }
  if (shop.worker) {
    definition::ResolvedService worker = Service("mailer", shop.api, 1, 0, shop);
    worker.kind = definition::Kind::kWorker;
    worker.uses = web.uses;
    if (shop.api_recreate) worker.rollout.strategy = definition::Strategy::kRecreate;
    out.services.push_back(worker);
  }
  out.services.push_back(web);
  definition::ResolvedRoute route;
  route.listen = shop.listen;
  route.listen_port = static_cast<uint16_t>(std::stoi(shop.listen.substr(1)));
  route.service = "web";
  route.port = 8080;
  out.routes = {route};
  definition::ResolvedEndpoint db;
  db.name = "db";
  db.url = "postgres://db.internal/shop";
  db.host = "db.internal";
  db.port = 5432;
  out.endpoints = {db};
  if (shop.migrations == 0) return out;
  definition::ResolvedMigration migration;
  migration.name = "shop";
  migration.url = db.url;
  for (uint64_t version = 1; version <= shop.migrations; ++version)
    migration.scripts.push_back({version, "script",
                                 version % 3 == 0 ? migrate::Stage::kContract : migrate::Stage::kExpand,
                                 std::string(64, 'a'), "m/" + std::to_string(version) + "_script.sql"});
  out.migrations = {migration};
  return out;
}

World::World() {
  Open();
}

void World::Open() {
  migrator = std::make_unique<FakeMigrator>(clock, databases, journal.last, violations_);
  migrator->step = [this] { migrator_step(); };
  migrator->fails = [this](const migrate::Script& script) {
    return migrator_fails && migrator_fails(script);
  };
  checker = std::make_unique<FakeChecker>(clock, measure, journal.last, violations_);
  auto opened =
      Controller::Open(platform, journal, sink, clock, {}, without_migrator ? nullptr : migrator.get(),
                       without_checker ? nullptr : checker.get());
  if (!opened) {
    violations_.push_back("cannot open: " + opened.error().Render());
    return;
  }
  controller = std::move(*opened);
}

Milliseconds World::Tick() {
  try {
    journal.deciding = true;
    const Milliseconds next = controller->Tick();
    journal.deciding = false;
    Check();
    CheckSpares(!journal.failed);
    return next;
  } catch (const Killed&) {
    journal.deciding = false;
    ++kills;
    Restart();
    Check();
    return Milliseconds(0);
  }
}

bool World::Busy() const {
  const EnvironmentState* now = controller->State(Local());
  if (now == nullptr) return false;
  if (now->Busy() || now->destroying) return true;
  for (const auto& [number, live] : now->live)
    if (live.role == Role::kRetiring) return true;
  for (const auto& [id, fleet] : now->fleets) {
    if (fleet.Serving() != CountOf(*now, id) || fleet.Spares() != SparesOf(*now, id)) return true;
    for (const DesiredInstance& instance : fleet.instances)
      if (!instance.ready) return true;
  }
  return false;
}

bool World::RunUntil(const std::function<bool()>& done, Milliseconds limit) {
  // Where nothing has been decided for so many ticks, what is waited for is far away: it is looked for less
  // often.
  constexpr int kQuietTicks = 200;
  int quiet = 0;
  const SteadyTime end = clock.Steady() + limit;
  while (clock.Steady() < end) {
    const int killed = kills;
    const uint64_t commits = journal.commits;
    const Milliseconds next = Tick();
    quiet = journal.commits == commits ? quiet + 1 : 0;
    if (kills != killed) continue;  // the next controller has not had its turn
    if (done()) return true;
    clock.Advance(std::clamp(next, Milliseconds(quiet < kQuietTicks ? 1 : 100), Milliseconds(500)));
  }
  return false;
}

bool World::RunUntilPhase(Phase phase) {
  return RunUntil([&] {
    const EnvironmentState* now = controller->State(Local());
    return now != nullptr && now->rollout && now->rollout->phase == phase;
  });
}

std::set<InstanceId> World::Wanted() const {
  std::set<InstanceId> wanted;
  for (const auto& [id, fleet] : controller->State(Local())->fleets)
    for (const DesiredInstance& instance : fleet.instances) wanted.emplace(id, instance.ordinal);
  return wanted;
}

void World::Settle(Milliseconds limit) {
  const bool settled = RunUntil(
      [&] {
        if (Busy()) return false;
        const EnvironmentState* now = controller->State(Local());
        if (now == nullptr) return true;
        std::set<InstanceId> wanted = Wanted();
        for (const auto& [id, status] : fake.instances())
          if (id.fleet().environment() == Local() && wanted.erase(id) == 0) return false;
        // A loss may be seen and not journalled yet (the journal failed): until then the state still has it.
        return wanted.empty() && fake.Routes(Local()) == DesiredOf(*now).routes &&
               fake.TopologyOf(Local()) == DesiredOf(*now).topology;
      },
      limit);
  if (!settled) violations_.push_back("does not settle");
}

Result<Accepted> World::Do(Request what) {
  try {
    return controller->Submit({Local(), "test", std::move(what)});
  } catch (const Killed&) {
    ++kills;
    Restart();
    return Error(Code::kCancelled, "killed");
  }
}

const platform::RouteTable& World::RoutesOf(const plan::Revision& revision) {
  auto& [digest, routes] = routes_[revision.number];
  if (digest != revision.digest) {
    digest = revision.digest;
    routes = plan::Routes(revision.resolved);
  }
  return routes;
}

uint64_t World::Served() {
  const platform::RouteTable table = WithoutShares(fake.Routes(Local()));
  if (table.outside.empty()) return 0;
  const EnvironmentState* now = controller->State(Local());
  uint64_t serves = 0;
  for (const auto& [number, live] : now->live) {
    const platform::RouteTable& own = RoutesOf(now->RevisionOf(number));
    if (own.outside != table.outside) continue;
    // I5: everything it reaches is its own.
    const bool within = std::all_of(own.inside.begin(), own.inside.end(), [&](const auto& route) {
      return std::find(table.inside.begin(), table.inside.end(), route) != table.inside.end();
    });
    // Revisions may be equal, the same definition again after another: then it is the active one, else the
    // target.
    const bool target = now->rollout && now->rollout->to == number && serves != now->active;
    if (within && (serves == 0 || now->active == number || target)) serves = number;
  }
  if (serves != 0) return serves;
  violations_.push_back("I3/I5: the route table is that of no revision");
  return 0;
}

std::vector<std::string> World::Instances() {
  std::vector<std::string> out;
  for (const auto& [id, status] : fake.instances())
    if (id.fleet().environment() == Local()) out.push_back(id.Short());
  std::sort(out.begin(), out.end());
  return out;
}

void World::Check() {
  const EnvironmentState* now = controller->State(Local());
  if (now == nullptr) return;
  const uint64_t served = Served();
  if (served != 0 && now->active && served != *now->active) {
    const bool shifting =
        now->rollout && served == now->rollout->to &&
        (now->rollout->phase == Phase::kShifting || now->rollout->phase == Phase::kReverting);
    if (!shifting) violations_.push_back("r" + std::to_string(served) + " serves but is not active");
  }
  for (const auto& [id, fleet] : now->fleets) {
    bool live = false;
    for (const auto& [number, revision] : now->live)
      live = live || (revision.role != Role::kRetiring && now->RevisionOf(number).Find(id) != nullptr);
    if (!live) violations_.push_back("desired though no revision has it: " + id.Render());
  }
  // What was taken away, what serves does not need.
  if (now->active && !now->RevisionOf(*now->active).resolved.migrations.empty()) {
    const auto& scripts = now->RevisionOf(*now->active).resolved.migrations[0].scripts;
    for (const migrate::LedgerEntry& entry : databases["shop"])
      if (entry.stage == migrate::Stage::kContract && entry.version > scripts.size())
        violations_.push_back("the active revision does not know contract script " +
                              std::to_string(entry.version));
  }
  int warm = 0;
  for (const auto& [number, live] : now->live) warm += live.role == Role::kWarm ? 1 : 0;
  if (warm > 1) violations_.push_back("more than one warm revision");
}

void World::CheckSpares(bool decided) {
  const EnvironmentState* now = controller->State(Local());
  if (now == nullptr) return;
  const auto& seen = fake.instances();
  for (const auto& [id, fleet] : now->fleets) {
    if (decided && fleet.proven && fleet.Spares() > 0 && fleet.Serving() < CountOf(*now, id))
      violations_.push_back("spares: one waits beside a free place of " + id.Render());
    const bool serves = now->active && now->RevisionOf(*now->active).Find(id) != nullptr;
    if (decided && !serves && fleet.Spares() > 0)
      violations_.push_back("spares: of a fleet that does not serve: " + id.Render());
    for (const DesiredInstance& instance : fleet.instances) {
      const auto status = seen.find(InstanceId(id, instance.ordinal));
      if (instance.spare && status != seen.end() && !status->second.held)
        violations_.push_back("spares: requests come to " + status->first.Render());
    }
  }
}

void World::CheckSettled() {
  const EnvironmentState* now = controller->State(Local());
  if (now == nullptr) return;
  if (now->active && Served() != *now->active) violations_.push_back("the active revision does not serve");
  if (!now->active && !fake.Routes(Local()).outside.empty())
    violations_.push_back("routes without a revision");
  if (now->active)
    for (const auto& migration : now->RevisionOf(*now->active).resolved.migrations)
      for (const migrate::Script& script : migration.scripts) {
        const auto& ledger = databases[migration.name];
        const bool applied = std::any_of(ledger.begin(), ledger.end(),
                                         [&](const auto& entry) { return entry.version == script.version; });
        if (!applied && script.stage == migrate::Stage::kExpand)
          violations_.push_back("serves without its script " + std::to_string(script.version));
      }
  if (checker->running() && !now->Busy()) violations_.push_back("checks go on without a rollout");
  std::set<InstanceId> wanted = Wanted();
  for (const auto& [id, status] : fake.instances()) {
    if (id.fleet().environment() != Local()) continue;
    if (wanted.erase(id) == 0) violations_.push_back("leaked: " + id.Render());
  }
  const auto& seen = fake.instances();  // valid until it is asked again
  for (const auto& [id, fleet] : now->fleets)
    for (const DesiredInstance& instance : fleet.instances) {
      const auto status = seen.find(InstanceId(id, instance.ordinal));
      if (status != seen.end() && status->second.held != instance.spare)
        violations_.push_back("spares: is not let in: " + status->first.Render());
    }
  for (const InstanceId& id : wanted) violations_.push_back("missing: " + id.Render());
  // The members of a stateful service are 0, 1, …, each once.
  for (const auto& [id, fleet] : now->fleets) {
    std::set<uint32_t> members;
    for (const DesiredInstance& instance : fleet.instances)
      if (instance.member &&
          (!members.insert(*instance.member).second || *instance.member >= fleet.instances.size()))
        violations_.push_back("volumes: " + id.Render() + " has member " + std::to_string(*instance.member) +
                              " of " + std::to_string(fleet.instances.size()));
  }
}

std::vector<std::string> World::violations() {
  std::vector<std::string> out = violations_;
  out.insert(out.end(), platform.violations.begin(), platform.violations.end());
  out.insert(out.end(), fake.complaints().begin(), fake.complaints().end());
  return out;
}

}  // namespace ingot::rollout::testing
