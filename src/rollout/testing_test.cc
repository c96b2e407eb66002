#include "rollout/testing.h"

#include <algorithm>
#include <set>

#include "rollout/approval.h"
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

size_t WatchedPlatform::Ready(const FleetId& fleet) {
  // What cannot be looked at just now is as it was: it has passed its gate, and nobody knows that it is gone.
  const auto was_ready = [&](const InstanceId& id) {
    const auto found = journal_.last.fleets.find(fleet);
    return found != journal_.last.fleets.end() &&
           std::any_of(found->second.instances.begin(), found->second.instances.end(),
                       [&](const DesiredInstance& one) { return one.ordinal == id.ordinal() && one.ready; });
  };
  size_t ready = 0;
  for (const auto& [id, status] : fake_.instances())
    if (id.fleet() == fleet &&
        (Serves(&status) || (status.state == InstanceState::kUnknown && !status.held && was_ready(id))))
      ++ready;
  return ready;
}

Result<void> WatchedPlatform::Start(const platform::FleetSpec& fleet, const InstanceId& id) {
  // The journal comes before the effect.
  const auto found = journal_.last.fleets.find(id.fleet());
  const bool journalled =
      found != journal_.last.fleets.end() &&
      std::any_of(found->second.instances.begin(), found->second.instances.end(),
                  [&](const DesiredInstance& instance) { return instance.ordinal == id.ordinal(); });
  if (!journalled) violations.push_back("started before it was journalled: " + id.Render());
  if (journalled)
    for (const DesiredInstance& instance : found->second.instances)
      if (instance.ordinal == id.ordinal() && instance.spare != fleet.held)
        violations.push_back((instance.spare ? "spare is started to serve: " : "is held and no spare: ") +
                             id.Render());
  CheckAlone(id);
  CheckVolumes(fleet, id);
  for (const InstanceId& old : alone_)
    if (old.fleet() == id.fleet() && fake_.instances().contains(old))
      violations.push_back("aging: " + id.Render() + " was started beside " + old.Render());
  CheckMigrated(id);
  return fake_.Start(fleet, id);
}

// A volume is never with two instances.
void WatchedPlatform::CheckVolumes(const platform::FleetSpec& fleet, const InstanceId& id) {
  if (fleet.volumes.empty()) return;
  if (!fleet.member) violations.push_back("volumes: " + id.Render() + " is started as no member");
  for (const std::string& volume : platform::VolumesOf(fleet))
    for (const auto& [other, status] : fake_.instances())
      if (other != id && std::count(status.volumes.begin(), status.volumes.end(), volume) > 0)
        violations.push_back("volumes: " + id.Render() + " is given " + volume + ", which " + other.Render() +
                             " has");
  const auto found = journal_.last.fleets.find(id.fleet());
  if (found == journal_.last.fleets.end()) return;
  for (const DesiredInstance& instance : found->second.instances)
    if (instance.ordinal == id.ordinal() && instance.member != fleet.member)
      violations.push_back("volumes: " + id.Render() + " is started as another member");
}

// No new instance of an apply starts before its expand scripts have been run.
void WatchedPlatform::CheckMigrated(const InstanceId& id) {
  const EnvironmentState& last = journal_.last;
  if (!last.rollout || last.rollout->kind != RolloutKind::kApply || last.rollout->phase == Phase::kReverting)
    return;
  const plan::Revision& to = last.RevisionOf(last.rollout->to);
  const auto fleet = last.fleets.find(id.fleet());
  if (to.Find(id.fleet()) == nullptr || fleet == last.fleets.end() || fleet->second.proven) return;
  for (const auto& migration : to.resolved.migrations)
    for (const migrate::Script& script : migration.scripts) {
      const auto database = databases_.find(migration.name);
      const bool applied = database != databases_.end() &&
                           std::any_of(database->second.begin(), database->second.end(),
                                       [&](const auto& entry) { return entry.version == script.version; });
      if (script.stage == migrate::Stage::kExpand && !applied)
        violations.push_back(id.Render() + " was started before script " + std::to_string(script.version));
    }
}

// Of a service that stops first in the rollout that goes on, no instance is started beside one of another
// fleet: neither on the way there nor on the way back.
void WatchedPlatform::CheckAlone(const InstanceId& id) {
  const EnvironmentState& last = journal_.last;
  if (!last.rollout || !last.rollout->from || last.rollout->phase == Phase::kBaking) return;
  const std::string& service = id.fleet().service();
  const plan::Fleet* before = last.RevisionOf(*last.rollout->from).FleetOf(service);
  const plan::Fleet* after = last.RevisionOf(last.rollout->to).FleetOf(service);
  if (before == nullptr || after == nullptr || before->spec.id == after->spec.id) return;
  if (before->rollout.strategy != definition::Strategy::kRecreate &&
      after->rollout.strategy != definition::Strategy::kRecreate)
    return;
  // Until the old ones are told to stop, healing what serves or is warm is neither; nor is it on the way back
  // from there.
  const bool begun = last.rollout->entered.contains("stopping");
  const bool forward = last.rollout->phase != Phase::kReverting && id.fleet() == after->spec.id;
  if (!begun && !forward) return;
  for (const auto& [other, status] : fake_.instances())
    if (other.fleet() != id.fleet() && other.fleet().environment() == id.fleet().environment() &&
        other.fleet().service() == service)
      violations.push_back("recreate: " + id.Render() + " was started beside " + other.Render() + " while " +
                           std::string(PhaseName(last.rollout->phase)));
}

Result<void> WatchedPlatform::Serve(const InstanceId& id) {
  const auto found = journal_.last.fleets.find(id.fleet());
  const bool journalled = found != journal_.last.fleets.end() &&
                          std::any_of(found->second.instances.begin(), found->second.instances.end(),
                                      [&](const DesiredInstance& instance) {
                                        return instance.ordinal == id.ordinal() && !instance.spare;
                                      });
  if (!journalled) violations.push_back("served before it was journalled: " + id.Render());
  return fake_.Serve(id);
}

Result<void> WatchedPlatform::Stop(const InstanceId& id) {
  const EnvironmentState& state = journal_.last;
  const auto fleet = state.fleets.find(id.fleet());
  if (fleet != state.fleets.end())
    for (const DesiredInstance& instance : fleet->second.instances)
      if (instance.ordinal == id.ordinal())
        violations.push_back("stopped though it shall run: " + id.Render());
  const auto routes = fake_.Routes(id.fleet().environment());
  const bool routed = std::any_of(routes.outside.begin(), routes.outside.end(),
                                  [&](const auto& route) { return route.fleet == id.fleet(); });
  if (routed && !state.fleets.contains(id.fleet()))
    violations.push_back("stopped while traffic is routed to its fleet: " + id.Render());
  return fake_.Stop(id);
}

// I2: what serves, or may have to serve again, gives up no ready instance that it needs.
void WatchedPlatform::Compare(const EnvironmentState& before, const EnvironmentState& next) {
  if (before.id != next.id) return;
  if (before.rollout && next.rollout && before.rollout->id == next.rollout->id && GateOf(before) &&
      next.rollout->phase != Phase::kReverting &&
      (next.rollout->phase != before.rollout->phase || next.rollout->step != before.rollout->step))
    violations.push_back("nobody has approved rollout " + std::to_string(next.rollout->id));
  CheckAged(before, next);
  const auto& seen = fake_.instances();  // valid until it is asked again
  for (const auto& [id, fleet] : next.fleets) {
    const auto former = before.fleets.find(id);
    if (former == before.fleets.end() || fleet.Serving() >= CountOf(next, id)) continue;
    // Decided in an earlier step, and taken back in this one.
    if (former->second.Serving() > CountOf(before, id)) continue;
    for (const DesiredInstance& instance : former->second.instances) {
      if (instance.spare) continue;
      const InstanceId name(id, instance.ordinal);
      const bool kept =
          std::any_of(fleet.instances.begin(), fleet.instances.end(),
                      [&](const DesiredInstance& other) { return other.ordinal == instance.ordinal; });
      const auto status = seen.find(name);
      // Of a service that stops first one at a time gives its place to a younger one.
      const bool aged = fleet.leaving == instance.ordinal && next.RevisionOf(*next.active).Find(id)->Alone();
      // A member that the service has no longer goes, also while a lower one heals.
      const bool beyond = instance.member && *instance.member >= UnlimitedCountOf(next, id);
      if (!kept && !aged && !beyond && !hurt.contains(name) && status != seen.end() &&
          status->second.state == InstanceState::kReady)
        violations.push_back("I2: gave up " + name.Render());
    }
  }
  // Only a service that stops first is ever taken away from what serves.
  for (const auto& [number, live] : next.live) {
    if (live.role != Role::kActive) continue;
    for (const auto& [service, limit] : live.limits) {
      const auto recreates = [&](uint64_t revision) {
        const plan::Fleet* fleet = next.RevisionOf(revision).FleetOf(service);
        return fleet != nullptr && fleet->rollout.strategy == definition::Strategy::kRecreate;
      };
      const std::vector<RollingService> rolling = RollingOf(next);
      const auto rolls = std::find_if(rolling.begin(), rolling.end(),
                                      [&](const RollingService& one) { return one.service == service; });
      const bool declared =
          rolls != rolling.end() || (next.rollout && (recreates(number) || recreates(next.rollout->to)));
      if (rolls != rolling.end()) CheckBatch(before, next, *rolls, limit);
      if (!declared) violations.push_back("I2: limited though it does not stop first: " + service);
      const bool moving =
          next.rollout &&
          (next.rollout->phase == Phase::kRolling || next.rollout->phase == Phase::kStopping ||
           next.rollout->phase == Phase::kReplacing || next.rollout->phase == Phase::kShifting ||
           next.rollout->phase == Phase::kReverting);
      if (!moving) violations.push_back("I2: limited outside its rollout: " + service);
    }
  }
  // And of the revision that serves or is warm, no fleet is given up while it has that role.
  for (const auto& [number, live] : next.live)
    if (live.role == Role::kActive || live.role == Role::kWarm)
      for (const plan::Fleet& fleet : next.RevisionOf(number).fleets)
        if (!next.fleets.contains(fleet.spec.id))
          violations.push_back("I2: gave up fleet " + fleet.spec.id.Render());
}

namespace {

// Where the shop's previews are, which lead to what serves nobody else.
constexpr const char* kPreviewListen = ":9001";

platform::RouteTable WithoutShares(platform::RouteTable table) {
  std::erase_if(table.outside, [](const auto& route) { return route.listen == kPreviewListen; });
  for (auto& route : table.outside) route.split.reset();
  for (auto& route : table.inside) route.split.reset();
  table.rollout = table.step = 0;
  return table;
}

// Every fleet that a request from outside may come to.
std::set<FleetId> Reached(const platform::RouteTable& routes) {
  std::set<FleetId> reached;
  std::vector<FleetId> queue;
  const auto add = [&](const auto& route) {
    queue.push_back(route.fleet);
    if (route.split) queue.push_back(route.split->fleet);
  };
  for (const auto& route : routes.outside) add(route);
  while (!queue.empty()) {
    const FleetId fleet = queue.back();
    queue.pop_back();
    if (!reached.insert(fleet).second) continue;
    for (const auto& route : routes.inside)
      if (route.asker == fleet) add(route);
  }
  return reached;
}

}  // namespace

// An instance gives up its place by age only when the others carry the count, or when it has to go first; and
// never while a rollout is under way.
void WatchedPlatform::CheckAged(const EnvironmentState& before, const EnvironmentState& next) {
  for (const auto& [id, fleet] : next.fleets) {
    const auto former = before.fleets.find(id);
    if (former == before.fleets.end()) continue;
    const bool begins = (fleet.aging && fleet.aging != former->second.aging) ||
                        (fleet.leaving && fleet.leaving != former->second.leaving);
    if (begins && before.Moving()) violations.push_back("aging: begun during a rollout: " + id.Render());
    if (begins && fleet.failures > 0) violations.push_back("aging: begun while it heals: " + id.Render());
    if (fleet.leaving && fleet.leaving != former->second.leaving) alone_.emplace(id, *fleet.leaving);
    if (!former->second.aging) continue;
    const InstanceId old(id, *former->second.aging);
    const auto is_old = [&](const DesiredInstance& instance) { return instance.ordinal == old.ordinal(); };
    if (std::any_of(fleet.instances.begin(), fleet.instances.end(), is_old) || hurt.contains(old)) continue;
    size_t ready = 0;
    const auto& seen = fake_.instances();
    const auto status = seen.find(old);
    if (status == seen.end() || status->second.state != InstanceState::kReady) continue;
    for (const DesiredInstance& instance : fleet.instances) {
      const auto other = seen.find(InstanceId(id, instance.ordinal));
      ready += other != seen.end() && Serves(&other->second) ? 1 : 0;
    }
    if (ready < CountOf(next, id))
      violations.push_back("aging: gave up " + old.Render() + " for " + std::to_string(ready));
  }
}

// I1, and of canaries: exactly the share that the journalled step states.
void WatchedPlatform::CheckRoutes(const platform::EnvironmentId& id, const platform::RouteTable& routes) {
  const EnvironmentState& last = journal_.last;
  if (routes != DesiredOf(last).routes) violations.push_back("routes that were not journalled");
  // A fleet that begins to get traffic has passed its gate whole, at this very moment.
  const std::set<FleetId> had = Reached(fake_.Routes(id));
  const std::set<FleetId> reached = Reached(routes);
  // A step and the switch move requests: they find every new fleet whole. Other writes (a batch of another
  // service, a revert) ask it only of what begins to get traffic.
  const bool moves =
      last.rollout && (last.rollout->phase == Phase::kStepping || last.rollout->phase == Phase::kShifting);
  for (const FleetId& fleet : reached) {
    const auto desired = last.fleets.find(fleet);
    if (desired == last.fleets.end()) {
      violations.push_back("I1: traffic to a fleet that shall not exist: " + fleet.Render());
      continue;
    }
    // Going back to what served before needs no gate.
    if (desired->second.proven || (!moves && had.contains(fleet))) continue;
    // Until it is there a service that stops first answers nothing.
    const auto replacements = ReplacementsOf(last);
    if (std::any_of(replacements.begin(), replacements.end(),
                    [&](const Replacement& replacement) { return replacement.service == fleet.service(); }) &&
        last.rollout->phase != Phase::kShifting)
      continue;
    // Of a service that rolls the next batch may be starting; the router has those that are ready.
    const auto rolling = RollingOf(last);
    const bool rolls = last.rollout &&
                       (last.rollout->phase == Phase::kRolling || last.rollout->phase == Phase::kReverting) &&
                       std::any_of(rolling.begin(), rolling.end(),
                                   [&](const RollingService& one) { return one.after == fleet; });
    if (Ready(fleet) < (rolls ? std::min(1u, CountOf(last, fleet)) : CountOf(last, fleet)))
      violations.push_back("I1: traffic to a fleet that is not ready: " + fleet.Render() + ", " +
                           std::to_string(Ready(fleet)) + " of " + std::to_string(CountOf(last, fleet)) +
                           (last.rollout ? ", " + std::string(PhaseName(last.rollout->phase)) : ""));
  }
  if (routes.step == 0) return;
  for (const auto& route : routes.outside) {
    if (!route.split || last.rollout->phase != Phase::kStepping) continue;
    const auto steps = StepsOf(last);
    if (last.rollout->step < 1 || last.rollout->step > steps.size() ||
        steps[last.rollout->step - 1].percent.at(route.fleet.service()) * 10 != route.split->per_mille)
      violations.push_back("canary: another share than its step's");
  }
}

// Rolling, within its stated surge: old instances are given up only as far as others can carry the traffic.
void WatchedPlatform::CheckBatch(const EnvironmentState& before, const EnvironmentState& next,
                                 const RollingService& rolls, uint32_t limit) {
  if (before.rollout != next.rollout && !before.rollout) return;
  const auto count = [&](const EnvironmentState& state, uint64_t revision) {
    const auto& live = state.live.at(revision);
    return live.replicas.at(rolls.service);
  };
  const auto& former = before.live.find(*next.rollout->from);
  if (former == before.live.end()) return;
  const auto had = former->second.limits.find(rolls.service);
  if (had != former->second.limits.end() && had->second <= limit) return;  // not in this step
  const uint32_t least = std::min(count(next, *next.rollout->from), count(next, next.rollout->to));
  const uint32_t missing = rolls.batch > rolls.surge ? rolls.batch - rolls.surge : 0;
  if (Ready(rolls.after) + limit + missing < least)
    violations.push_back("rolling: only " + std::to_string(Ready(rolls.after)) + " new and " +
                         std::to_string(limit) + " old ones of " + rolls.service);
}

Result<void> WatchedPlatform::ApplyRoutes(const platform::EnvironmentId& id,
                                          const platform::RouteTable& routes) {
  CheckRoutes(id, routes);
  return fake_.ApplyRoutes(id, routes);
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
  const SteadyTime end = clock.Steady() + limit;
  while (clock.Steady() < end) {
    const int killed = kills;
    const Milliseconds next = Tick();
    if (kills != killed) continue;  // the next controller has not had its turn
    if (done()) return true;
    clock.Advance(std::clamp(next, Milliseconds(1), Milliseconds(500)));
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

uint64_t World::Served() {
  const platform::RouteTable table = WithoutShares(fake.Routes(Local()));
  if (table.outside.empty()) return 0;
  const EnvironmentState* now = controller->State(Local());
  uint64_t serves = 0;
  for (const auto& [number, live] : now->live) {
    const platform::RouteTable own = plan::Routes(now->RevisionOf(number).resolved);
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
