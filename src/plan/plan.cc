#include "plan/plan.h"

#include <algorithm>
#include <set>

#include "base/units.h"
#include "plan/volumes.h"

namespace ingot::plan {

namespace {

uint32_t InEffect(const std::map<std::string, uint32_t>& replicas, const Fleet& fleet) {
  const auto found = replicas.find(fleet.spec.id.service());
  return found == replicas.end() ? fleet.replicas : found->second;
}

std::string Shown(const Json& value) {
  if (value.is_null()) return "(none)";
  if (!value.is_string()) return RenderJson(value);
  const std::string text(value.get_string());
  if (text.starts_with("sha256:")) return text.substr(7, 12);
  return text.empty() ? "\"\"" : text;
}

// Every member that differs, by path; lists are compared whole, objects member by member.
void Differences(const Json& before, const Json& after, const std::string& path,
                 std::vector<std::string>& out) {
  if (before == after) return;
  if (!before.is_object() || !after.is_object()) {
    out.push_back(path + ": " + Shown(before) + " → " + Shown(after));
    return;
  }
  std::set<std::string> keys;
  for (const auto& member : before.get_object()) keys.emplace(member.key());
  for (const auto& member : after.get_object()) keys.emplace(member.key());
  for (const std::string& key : keys) {
    const Json* left = before.get_object().if_contains(key);
    const Json* right = after.get_object().if_contains(key);
    Differences(left == nullptr ? Json(nullptr) : *left, right == nullptr ? Json(nullptr) : *right,
                path.empty() ? key : path + "." + key, out);
  }
}

const definition::ResolvedService* ServiceOf(const definition::Resolved& resolved, const std::string& name) {
  for (const auto& service : resolved.services)
    if (service.name == name) return &service;
  return nullptr;
}

std::vector<std::string> DifferencesOf(const definition::Resolved& before, const definition::Resolved& after,
                                       const std::string& service) {
  const auto* left = ServiceOf(before, service);
  const auto* right = ServiceOf(after, service);
  std::vector<std::string> out;
  if (left == nullptr || right == nullptr) return out;
  Json a = definition::ToJson(*left);
  Json b = definition::ToJson(*right);
  for (Json* json : {&a, &b})
    for (const char* not_seen_inside : {"replicas", "rollout", "scale", "max_age_ms"})
      json->get_object().erase(not_seen_inside);
  Differences(a, b, "", out);
  return out;
}

void AddPeak(Plan& plan, const Fleet& fleet, uint32_t count) {
  plan.peak_memory_bytes += fleet.spec.limits.memory_bytes * count;
  plan.peak_millicpus += fleet.spec.limits.millicpus * count;
  if (count > 0 && fleet.spec.limits.memory_bytes == 0) plan.peak_unbounded = true;
}

uint32_t SparesInEffect(const Active& active, const Fleet& fleet) {
  const auto found = active.spares.find(fleet.spec.id.service());
  return found == active.spares.end() ? 0 : found->second;
}

// While a release is under way the old fleet has its spares, after it the new one.
uint32_t BesideCount(const std::optional<Active>& active, const Fleet* former, const Fleet& fleet) {
  return active && former != nullptr ? std::max(fleet.Beyond(), SparesInEffect(*active, *former))
                                     : fleet.Beyond();
}

// Of two fleets that roll: the larger count and the surge, of the larger instances.
void AddRolling(Plan& plan, const Fleet& before, uint32_t count_before, uint32_t spares_before,
                const Fleet& after, uint32_t count_after) {
  const platform::Limits& a = before.spec.limits;
  const platform::Limits& b = after.spec.limits;
  // Spares go before there is a surge, and come when there is none any more.
  const uint32_t count =
      std::max(count_before, count_after) + std::max({after.rollout.surge, after.spares, spares_before});
  plan.peak_memory_bytes += count * std::max(a.memory_bytes, b.memory_bytes);
  plan.peak_millicpus += count * std::max(a.millicpus, b.millicpus);
  if (a.memory_bytes == 0 || b.memory_bytes == 0) plan.peak_unbounded = true;
}

// Of two fleets that never run together, what the larger of them takes.
void AddLarger(Plan& plan, const Fleet& before, uint32_t count_before, const Fleet& after,
               uint32_t count_after) {
  const platform::Limits& a = before.spec.limits;
  const platform::Limits& b = after.spec.limits;
  plan.peak_memory_bytes += std::max(a.memory_bytes * count_before, b.memory_bytes * count_after);
  plan.peak_millicpus += std::max(a.millicpus * count_before, b.millicpus * count_after);
  if ((count_before > 0 && a.memory_bytes == 0) || (count_after > 0 && b.memory_bytes == 0))
    plan.peak_unbounded = true;
}

void AddFree(Plan& plan, const HostCapacity& capacity) {
  if (capacity.memory_bytes > 0)
    plan.memory_free_bytes =
        capacity.memory_bytes - std::min(capacity.memory_bytes, capacity.memory_used_bytes);
  if (capacity.millicpus > 0)
    plan.millicpus_free = capacity.millicpus - std::min(capacity.millicpus, capacity.millicpus_used);
}

std::string_view ActionName(FleetChange::Action action) {
  switch (action) {
    case FleetChange::Action::kStart:
      return "start";
    case FleetChange::Action::kKeep:
      return "keep";
    case FleetChange::Action::kRetire:
      return "retire";
  }
  return "start";
}

void AddVolumes(Plan& plan, const std::optional<Active>& active, const definition::Resolved& next,
                const HostCapacity& capacity) {
  std::map<std::string, uint32_t> before;
  std::map<std::string, uint32_t> after;
  if (active)
    for (const Fleet& fleet : active->revision.fleets)
      before[fleet.spec.id.service()] = InEffect(active->replicas, fleet);
  for (const FleetChange& change : plan.fleets)
    if (change.action != FleetChange::Action::kRetire) after[change.fleet.service()] = change.replicas;
  plan.warnings = VolumeWarnings(active ? &active->revision.resolved : nullptr, next, before, after,
                                 capacity.sizes_not_kept);
  if (!active) return;
  if (auto checked = CheckVolumes(active->revision.resolved, next); !checked)
    plan.moved_volume = checked.error().message();
}

// The count that an apply leads to: one set by `scale` stays unless the definition's own count changed.
uint32_t NextCount(const std::optional<Active>& active, const Fleet& fleet) {
  if (!active) return fleet.replicas;
  const Fleet* former = active->revision.FleetOf(fleet.spec.id.service());
  if (former == nullptr) return fleet.replicas;
  const auto declared = active->declared.find(fleet.spec.id.service());
  const uint32_t before = declared == active->declared.end() ? former->replicas : declared->second;
  if (!fleet.scale && active->scales.contains(fleet.spec.id.service())) return fleet.replicas;
  // Where the count follows the load the declared one is only where it begins.
  if (before != fleet.replicas && !fleet.scale) return fleet.replicas;
  return fleet.Within(InEffect(active->replicas, *former));
}

}  // namespace

Plan MakePlan(const std::optional<Active>& active, const definition::Resolved& next,
              const HostCapacity& capacity, std::optional<WallTime> time_of_day) {
  Plan plan;
  plan.environment = EnvironmentOf(next);
  const std::vector<Fleet> fleets = Fleets(next);
  plan.routes_after = Routes(next);
  if (active) {
    plan.active = active->revision.number;
    plan.routes_before = Routes(active->revision.resolved);
  }
  plan.new_revision = !active || active->revision.digest != definition::RevisionDigest(next);
  if (active) plan.steps = ShiftSteps(active->revision.fleets, fleets);
  plan.checks = ChecksOf(plan.steps, fleets);

  std::vector<FleetChange> kept;
  std::vector<FleetChange> retired;
  for (const Fleet& fleet : fleets) {
    const std::string& service = fleet.spec.id.service();
    const Fleet* same = active ? active->revision.Find(fleet.spec.id) : nullptr;
    const uint32_t count = NextCount(active, fleet);
    if (time_of_day && fleet.scale && !fleet.scale->schedules.empty())
      plan.bounds.push_back({service, definition::BoundsAt(*fleet.scale, *time_of_day),
                             definition::NextSchedule(*fleet.scale, *time_of_day)});
    if (same == nullptr) {
      FleetChange change{FleetChange::Action::kStart, fleet.spec.id,      count, {}, fleet.rollout.strategy,
                         fleet.rollout.batch,         fleet.rollout.surge};
      change.spares = fleet.spares;
      const Fleet* former = active ? active->revision.FleetOf(service) : nullptr;
      change.by_member = fleet.Stateful() && former != nullptr && former->Stateful();
      if (former != nullptr && StopsFirst(*former, fleet)) change.strategy = definition::Strategy::kRecreate;
      if (active) change.differences = DifferencesOf(active->revision.resolved, next, service);
      // The old instances of a service that stops first have left before the new ones come.
      if (former != nullptr && StopsFirst(*former, fleet))
        AddLarger(plan, *former, InEffect(active->replicas, *former) + SparesInEffect(*active, *former),
                  fleet, count + fleet.spares);
      else if (former != nullptr && Rolls(*former, fleet, fleet))
        AddRolling(plan, *former, InEffect(active->replicas, *former), SparesInEffect(*active, *former),
                   fleet, count);
      else
        AddPeak(plan, fleet, count + BesideCount(active, former, fleet));
      plan.fleets.push_back(std::move(change));
      continue;
    }
    const uint32_t before = InEffect(active->replicas, *same);
    kept.push_back({FleetChange::Action::kKeep, fleet.spec.id, count, {}, {}});
    kept.back().spares = fleet.spares;
    if (const uint32_t spares = SparesInEffect(*active, *same); spares != fleet.spares)
      plan.spares.push_back({service, spares, fleet.spares});
    if (before != count) plan.scales.push_back({service, before, count});
    AddPeak(plan, fleet, std::max(before, count) + BesideCount(active, same, fleet));
  }
  if (active) {
    for (const Fleet& fleet : active->revision.fleets) {
      const bool stays = std::any_of(fleets.begin(), fleets.end(),
                                     [&](const Fleet& f) { return f.spec.id == fleet.spec.id; });
      if (stays) continue;
      const uint32_t count = InEffect(active->replicas, fleet);
      retired.push_back({FleetChange::Action::kRetire, fleet.spec.id, count, {}, {}});
      retired.back().spares = SparesInEffect(*active, fleet);
      const auto next_one = std::find_if(fleets.begin(), fleets.end(), [&](const Fleet& f) {
        return f.spec.id.service() == fleet.spec.id.service();
      });
      // What replaces it has counted it already.
      const bool counted =
          next_one != fleets.end() && (StopsFirst(fleet, *next_one) || Rolls(fleet, *next_one, *next_one));
      // Its spares, too, where something replaces it (BesideCount).
      const uint32_t spares = next_one == fleets.end() ? SparesInEffect(*active, fleet) : 0;
      if (!counted) AddPeak(plan, fleet, count + spares);
    }
    Milliseconds keep_old{0};
    for (const auto& service : next.services) keep_old = std::max(keep_old, service.rollout.keep_old);
    plan.options_changed =
        !plan.new_revision && (keep_old != active->keep_old || ScalesOf(next) != active->scales ||
                               SparesOf(next) != active->spares || MaxAgesOf(next) != active->max_ages ||
                               next.rules != active->rules);
  }
  plan.fleets.insert(plan.fleets.end(), kept.begin(), kept.end());
  plan.fleets.insert(plan.fleets.end(), retired.begin(), retired.end());

  if (plan.new_revision) {
    const definition::ResolvedRules* in_force = active ? &active->rules : nullptr;
    plan.approval = ApprovalOf(in_force, next.rules);
    if (time_of_day) plan.frozen = FrozenNow(in_force, next.rules, *time_of_day);
  }

  const platform::Topology topology = TopologyOf({&next});
  plan.conflicts = ConflictsOf(topology, capacity.edge, capacity.claims);
  plan.unreachable = Unreachable(topology, capacity.edge);
  AddVolumes(plan, active, next, capacity);
  AddFree(plan, capacity);
  return plan;
}

Plan MakeScalePlan(const Active& active, const std::string& service, uint32_t replicas,
                   const HostCapacity& capacity) {
  Plan plan;
  plan.environment = EnvironmentOf(active.revision.resolved);
  plan.active = active.revision.number;
  for (const Fleet& fleet : active.revision.fleets) {
    const uint32_t before = InEffect(active.replicas, fleet);
    const uint32_t count = fleet.spec.id.service() == service ? replicas : before;
    if (count != before) plan.scales.push_back({service, before, count});
    AddPeak(plan, fleet, std::max(before, count) + BesideCount(active, &fleet, fleet));
  }
  AddFree(plan, capacity);
  return plan;
}

uint32_t MostWithin(const Active& active, const std::string& service, uint32_t wanted,
                    const HostCapacity& capacity) {
  const Plan plan = MakeScalePlan(active, service, wanted, capacity);
  if (plan.scales.empty() || wanted < plan.scales[0].from || CheckMemory(plan)) return wanted;
  const uint64_t each = active.revision.FleetOf(service)->spec.limits.memory_bytes;
  const uint64_t beyond = plan.peak_memory_bytes - *plan.memory_free_bytes;
  const uint64_t more = wanted - plan.scales[0].from;
  // Without a limit of its own the service takes none of what is counted: the others fill the host.
  const uint64_t too_many = each == 0 ? more : std::min(more, (beyond + each - 1) / each);
  return static_cast<uint32_t>(wanted - too_many);
}

Result<void> Check(const Plan& plan) {
  if (!plan.conflicts.empty()) return RefusalOf(plan.conflicts.front());
  if (!plan.moved_volume.empty()) return Error(Code::kConflict, plan.moved_volume);
  if (!plan.unreachable.empty()) return Error(Code::kRefused, plan.unreachable.front());
  for (const MigrationPlan& migration : plan.migrations)
    if (!migration.problems.empty()) {
      std::string message = "migration " + migration.name + ": " + migration.problems.front();
      if (migration.problems.size() > 1)
        message += " (and " + std::to_string(migration.problems.size() - 1) +
                   " more; `ingot migrate status` shows all)";
      return Error(migration.code, message);
    }
  return CheckMemory(plan);
}

Result<void> CheckMemory(const Plan& plan) {
  if (plan.memory_free_bytes && plan.peak_memory_bytes > *plan.memory_free_bytes)
    return Error(Code::kRefused,
                 (plan.fleets.empty() ? "all instances together" : "old and new fleets together") +
                     std::string(" may use ") + RenderSize(plan.peak_memory_bytes) + ", but this host has " +
                     RenderSize(*plan.memory_free_bytes) +
                     " left for them; lower `resources.memory` or `replicas`");
  return {};
}

Error RefusalOf(const platform::EnvironmentId& environment, const definition::Frozen& frozen) {
  return Error(Code::kRefused, "nothing is released to " + environment.Render() + " until " +
                                   RenderTime(frozen.until) + ": " + frozen.reason +
                                   "; what cannot wait goes by `ingot apply --override-freeze REASON`");
}

std::map<std::string, Milliseconds> ApprovalOf(const definition::ResolvedRules* in_force,
                                               const definition::ResolvedRules& next) {
  std::map<std::string, Milliseconds> out;
  if (in_force != nullptr && !in_force->approval.empty())
    out.emplace(in_force->approval, in_force->approval_within);
  if (!next.approval.empty()) out.emplace(next.approval, next.approval_within);
  return out;
}

std::optional<definition::Frozen> FrozenNow(const definition::ResolvedRules* in_force,
                                            const definition::ResolvedRules& next, WallTime now) {
  auto out = definition::FrozenAt(next.freezes, now);
  if (in_force == nullptr) return out;
  auto other = definition::FrozenAt(in_force->freezes, now);
  return other && (!out || out->until < other->until) ? other : out;
}

Json ToJson(const MigrationPlan& migration) {
  JsonArray steps;
  for (const migrate::Step& step : migration.steps)
    steps.push_back(JsonObject{{"script", migrate::Render(step.script)},
                               {"file", step.script.file},
                               {"stage", migrate::StageName(step.script.stage)},
                               {"state", migrate::StateName(step.state)},
                               {"late", step.late}});
  JsonArray problems;
  for (const std::string& problem : migration.problems) problems.emplace_back(problem);
  Json command(nullptr);
  if (!migration.command.empty()) {
    command = JsonArray();
    for (const std::string& word : migration.command) command.get_array().emplace_back(word);
  }
  return JsonObject{{"name", migration.name},
                    {"steps", std::move(steps)},
                    {"command", std::move(command)},
                    {"problems", std::move(problems)},
                    {"code", migration.problems.empty() ? Json(nullptr) : Json(CodeName(migration.code))}};
}

Json ToJson(const Plan& plan) {
  JsonArray fleets;
  for (const FleetChange& change : plan.fleets) {
    JsonArray differences;
    for (const std::string& difference : change.differences) differences.emplace_back(difference);
    fleets.push_back(JsonObject{
        {"action", ActionName(change.action)},
        {"service", change.fleet.service()},
        {"fleet", change.fleet.Render()},
        {"replicas", change.replicas},
        {"spares", change.spares},
        {"strategy", change.action == FleetChange::Action::kStart ? Json(definition::NameOf(change.strategy))
                                                                  : Json(nullptr)},
        {"batch", change.batch},
        {"surge", change.surge},
        {"by_member", change.by_member},
        {"differences", std::move(differences)}});
  }
  JsonArray migrations;
  for (const MigrationPlan& migration : plan.migrations) migrations.push_back(ToJson(migration));
  JsonArray scales;
  for (const ScaleChange& scale : plan.scales)
    scales.push_back(JsonObject{{"service", scale.service}, {"from", scale.from}, {"to", scale.to}});
  JsonArray spares;
  for (const ScaleChange& change : plan.spares)
    spares.push_back(JsonObject{{"service", change.service}, {"from", change.from}, {"to", change.to}});
  JsonArray bounds;
  for (const BoundsNow& now : plan.bounds)
    bounds.push_back(JsonObject{{"service", now.service},
                                {"min", now.bounds.min},
                                {"max", now.bounds.max},
                                {"schedule", now.bounds.schedule},
                                {"until", now.until ? Json(RenderTime(*now.until)) : Json(nullptr)}});
  JsonArray steps;
  for (const ShiftStep& step : plan.steps) steps.push_back(ToJson(step));
  JsonArray checks;
  for (const PlannedCheck& check : plan.checks) checks.push_back(ToJson(check));
  JsonArray conflicts;
  for (const Conflict& conflict : plan.conflicts)
    conflicts.push_back(
        JsonObject{{conflict.by_host ? "host" : "listen", conflict.what}, {"owner", conflict.owner}});
  JsonArray approval;
  for (const auto& [role, within] : plan.approval)
    approval.push_back(JsonObject{{"role", role}, {"within_ms", within.count()}});
  JsonArray unreachable;
  for (const std::string& why : plan.unreachable) unreachable.emplace_back(why);
  JsonArray warnings;
  for (const std::string& warning : plan.warnings) warnings.emplace_back(warning);
  const auto routes = [](const platform::RouteTable& table) {
    JsonArray out;
    for (const auto& route : table.outside) {
      JsonObject item{{"fleet", route.fleet.Render()}, {"port", route.port}, {"tls", route.tls}};
      if (route.listen.empty()) {
        item["host"] = route.host;
        item["path"] = route.path;
      } else {
        item["listen"] = route.listen;
      }
      if (route.server) item["outside"] = ToJson(*route.server);
      out.push_back(std::move(item));
    }
    return out;
  };
  return JsonObject{
      {"version", 1},
      {"environment", plan.environment.Render()},
      {"active", plan.active ? Json(*plan.active) : Json(nullptr)},
      {"changes", !plan.NothingToDo()},
      {"new_revision", plan.new_revision},
      {"options_changed", plan.options_changed},
      {"fleets", std::move(fleets)},
      {"migrations", std::move(migrations)},
      {"scales", std::move(scales)},
      {"spares", std::move(spares)},
      {"bounds", std::move(bounds)},
      {"steps", std::move(steps)},
      {"checks", std::move(checks)},
      {"routes_before", routes(plan.routes_before)},
      {"routes_after", routes(plan.routes_after)},
      {"peak_memory_bytes", plan.peak_memory_bytes},
      {"peak_millicpus", plan.peak_millicpus},
      {"memory_free_bytes", plan.memory_free_bytes ? Json(*plan.memory_free_bytes) : Json(nullptr)},
      {"millicpus_free", plan.millicpus_free ? Json(*plan.millicpus_free) : Json(nullptr)},
      {"peak_unbounded", plan.peak_unbounded},
      {"approval", std::move(approval)},
      {"frozen", plan.frozen ? Json(JsonObject{{"reason", plan.frozen->reason},
                                               {"until", RenderTime(plan.frozen->until)}})
                             : Json(nullptr)},
      {"conflicts", std::move(conflicts)},
      {"unreachable", std::move(unreachable)},
      {"warnings", std::move(warnings)}};
}

}  // namespace ingot::plan
