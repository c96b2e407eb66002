#include "rollout/status.h"

#include <algorithm>

#include "platform/fleet_json.h"
#include "rollout/approval.h"
#include "rollout/transition.h"

namespace ingot::rollout {

namespace {

Json Number(const std::optional<uint64_t>& value) {
  return value ? Json(*value) : Json(nullptr);
}

std::string_view KindName(definition::Kind kind) {
  return definition::NameOf(kind);
}

// Instances of a fleet as seen, with those that shall exist and are not seen.
JsonArray Instances(const FleetState* fleet, const platform::FleetId& id, const View& view) {
  JsonArray out;
  for (auto it = view.observed.lower_bound(platform::InstanceId(id, 0));
       it != view.observed.end() && it->first.fleet() == id; ++it) {
    Json json = platform::ToJson(it->second);
    json.get_object()["name"] = it->first.Short();
    out.push_back(std::move(json));
  }
  if (fleet == nullptr) return out;
  for (const DesiredInstance& instance : fleet->instances) {
    const platform::InstanceId name(id, instance.ordinal);
    if (view.observed.contains(name)) continue;
    platform::InstanceStatus status;
    status.id = name;
    status.state = view.looked ? platform::InstanceState::kStarting : platform::InstanceState::kUnknown;
    const auto trouble = view.start_trouble.find(name);
    if (trouble != view.start_trouble.end()) status.reason = trouble->second.message;
    if (!view.looked) status.reason = view.look_error;
    Json json = platform::ToJson(status);
    json.get_object()["name"] = name.Short();
    out.push_back(std::move(json));
  }
  return out;
}

size_t Ready(const FleetState* fleet, const platform::FleetId& id, const View& view) {
  if (fleet == nullptr) return 0;
  size_t ready = 0;
  for (const DesiredInstance& instance : fleet->instances) {
    const auto found = view.observed.find({id, instance.ordinal});
    if (!instance.spare && found != view.observed.end() && Serves(&found->second)) ++ready;
  }
  return ready;
}

// Beside the count: how many spares there shall be, and are ready. Null where there are none.
Json SparesAt(const EnvironmentState& state, const FleetState* fleet, const platform::FleetId& id,
              const View& view) {
  const uint32_t wanted = SparesOf(state, id);
  if (wanted == 0) return nullptr;
  size_t ready = 0;
  if (fleet != nullptr)
    for (const DesiredInstance& instance : fleet->instances) {
      const auto found = view.observed.find({id, instance.ordinal});
      if (instance.spare && found != view.observed.end() &&
          found->second.state == platform::InstanceState::kReady)
        ++ready;
    }
  const bool fails = fleet != nullptr && fleet->spare_failures > 0 && ready < wanted;
  return JsonObject{{"desired", wanted},
                    {"ready", view.looked ? Json(ready) : Json(nullptr)},
                    {"reason", fails ? fleet->spare_reason : std::string()}};
}

// Between which counts it is, where its count follows the load or the time.
Json Bounds(const LiveRevision& live, const std::string& service, WallTime time_of_day) {
  const auto scale = live.scales.find(service);
  if (scale == live.scales.end()) return nullptr;
  const definition::ScaleBounds bounds = definition::BoundsAt(scale->second, time_of_day);
  const auto until = definition::NextSchedule(scale->second, time_of_day);
  return JsonObject{{"min", bounds.min},
                    {"max", bounds.max},
                    {"schedule", bounds.schedule},
                    {"until", until ? Json(RenderTime(*until)) : Json(nullptr)},
                    {"summary", definition::Render(service, bounds, until)}};
}

Json Services(const EnvironmentState& state, const View& view, WallTime time_of_day) {
  JsonArray out;
  if (!state.active) return out;
  for (const plan::Fleet& fleet : state.RevisionOf(*state.active).fleets) {
    const platform::FleetId& id = fleet.spec.id;
    const auto found = state.fleets.find(id);
    const FleetState* desired = found == state.fleets.end() ? nullptr : &found->second;
    const uint32_t count = CountOf(state, id);
    const size_t ready = Ready(desired, id, view);
    const bool degraded =
        desired != nullptr && (desired->failures > 1 || (desired->failures > 0 && ready < count));
    out.push_back(JsonObject{{"name", id.service()},
                             {"kind", KindName(fleet.kind)},
                             {"revision", *state.active},
                             {"fleet", id.Render()},
                             {"image", fleet.spec.image.Render()},
                             {"desired", count},
                             {"ready", view.looked ? Json(ready) : Json(nullptr)},
                             {"spares", SparesAt(state, desired, id, view)},
                             {"degraded", degraded},
                             {"scale", Bounds(state.live.at(*state.active), id.service(), time_of_day)},
                             {"reason", degraded ? desired->reason : std::string()},
                             {"instances", Instances(desired, id, view)}});
  }
  return out;
}

// Fleets besides those of the active revision: candidate, warm, retiring.
Json OtherFleets(const EnvironmentState& state, const View& view) {
  std::map<platform::FleetId, uint64_t> others;
  for (const auto& [number, live] : state.live)
    for (const plan::Fleet& fleet : state.RevisionOf(number).fleets)
      if (!state.active || state.RevisionOf(*state.active).Find(fleet.spec.id) == nullptr)
        others[fleet.spec.id] = number;
  JsonArray out;
  for (const auto& [id, number] : others) {
    const auto found = state.fleets.find(id);
    const FleetState* desired = found == state.fleets.end() ? nullptr : &found->second;
    const plan::Fleet* fleet = state.RevisionOf(number).Find(id);
    out.push_back(JsonObject{{"service", id.service()},
                             {"revision", number},
                             {"role", RoleName(state.live.at(number).role)},
                             {"fleet", id.Render()},
                             {"image", fleet->spec.image.Render()},
                             {"desired", desired == nullptr ? size_t{0} : desired->Serving()},
                             {"ready", view.looked ? Json(Ready(desired, id, view)) : Json(nullptr)},
                             {"instances", Instances(desired, id, view)}});
  }
  return out;
}

// What a rollout that does not move waits for, for people; empty: for nothing but its own work.
std::string WaitsFor(const EnvironmentState& state, const View& view) {
  const Rollout& rollout = *state.rollout;
  if (rollout.phase > Phase::kRolling) return "";
  if (rollout.phase == Phase::kMigrating && view.migration &&
      view.migration->state == MigrationRun::State::kRunning)
    return "migration " + view.migration->message;
  if (!rollout.paused.empty() && !rollout.advanced)
    return "`ingot rollout resume`: paused by " + rollout.paused;
  const auto gate = GateOf(state);
  const std::string approval = gate ? RenderRoles(gate->missing) + " to say `ingot rollout approve`" +
                                          (gate->expires ? ", until " + RenderTime(*gate->expires) : "")
                                    : "";
  if (rollout.phase == Phase::kPlanned) return approval;
  if (rollout.phase != Phase::kStepping || !rollout.step_in_effect) return "";
  if (rollout.advanced) return approval;
  const plan::ShiftStep step = StepsOf(state).at(rollout.step - 1);
  if (step.manual) return "`ingot rollout advance`";
  if (!rollout.held.empty()) return "a conclusive analysis, or `ingot rollout advance`";
  if (gate) return approval;
  return "the end of step " + std::to_string(rollout.step) + " at " +
         RenderTime(*rollout.step_in_effect + step.hold);
}

}  // namespace

Json StatusOf(const EnvironmentState& state, const Desired& desired, const View& view, WallTime time_of_day) {
  JsonArray revisions;
  for (const auto& [number, live] : state.live) {
    JsonObject revision{{"revision", number},
                        {"role", RoleName(live.role)},
                        {"commit", state.RevisionOf(number).resolved.commit},
                        {"created", RenderTime(state.RevisionOf(number).created)}};
    if (live.role == Role::kWarm) revision["warm_until"] = RenderTime(live.until);
    revisions.push_back(std::move(revision));
  }
  JsonArray routes;
  for (const auto& route : desired.routes.outside) {
    // A preview's port leads to what is not released yet.
    const std::optional<uint64_t> leading = Leading(state);
    const bool own = leading && state.RevisionOf(*leading).Find(route.fleet) != nullptr;
    JsonObject item{{"service", route.fleet.service()},
                    {"fleet", route.fleet.Render()},
                    {"revision", Number(own ? leading : OwnerOf(state, route.fleet))},
                    {"port", route.port},
                    {"protocol", route.protocol == platform::Protocol::kHttp ? "http" : "tcp"},
                    {"tls", route.tls}};
    if (route.listen.empty()) {
      item["host"] = route.host;
      item["path"] = route.path;
    } else {
      item["listen"] = route.listen;
    }
    if (route.server) item["outside"] = plan::ToJson(*route.server);
    routes.push_back(std::move(item));
  }
  JsonArray problems;
  if (!view.looked) problems.emplace_back("the platform cannot be observed: " + view.look_error);
  if (view.topology_trouble)
    problems.emplace_back("the router's topology cannot be set: " + view.topology_trouble->message);
  if (view.routes_trouble) problems.emplace_back("routes cannot be written: " + view.routes_trouble->message);
  if (state.contracting && state.contracting->again)
    problems.emplace_back("contract scripts of r" + std::to_string(state.contracting->revision) +
                          " failed and will be tried again at " + RenderTime(*state.contracting->again) +
                          ": " + state.contracting->reason);
  return JsonObject{
      {"version", 1},
      {"environment", state.id.Render()},
      {"step", state.step},
      {"active", Number(state.active)},
      {"verified", !state.active ? Json(nullptr) : Json(!state.unverified.contains(*state.active))},
      {"destroying", state.destroying},
      {"rollout", state.rollout ? ToJson(*state.rollout) : Json(nullptr)},
      {"waits_for", state.rollout ? Json(WaitsFor(state, view)) : Json("")},
      {"services", Services(state, view, time_of_day)},
      {"fleets", OtherFleets(state, view)},
      {"revisions", std::move(revisions)},
      {"routes", std::move(routes)},
      {"routes_in_effect", view.routes == desired.routes},
      {"problems", std::move(problems)}};
}

Json RolloutStatusOf(const EnvironmentState& state, const View& view) {
  JsonArray steps;
  const auto planned = StepsOf(state);
  for (size_t i = 0; i < planned.size(); ++i) {
    JsonObject step = plan::ToJson(planned[i]).as_object();
    const uint32_t present = state.rollout->step;
    step["state"] = i + 1 < present || state.rollout->phase > Phase::kStepping ? "done"
                    : i + 1 == present                                         ? "present"
                                                                               : "ahead";
    step["text"] = plan::Render(planned[i]);
    steps.push_back(std::move(step));
  }
  Json awaited(nullptr);
  if (const auto gate = GateOf(state)) {
    JsonArray roles;
    for (const std::string& role : gate->missing) roles.emplace_back(role);
    awaited = JsonObject{{"roles", std::move(roles)},
                         {"expires", gate->expires ? Json(RenderTime(*gate->expires)) : Json(nullptr)}};
  }
  return JsonObject{{"version", 1},
                    {"environment", state.id.Render()},
                    {"rollout", state.rollout ? ToJson(*state.rollout) : Json(nullptr)},
                    {"approval", std::move(awaited)},
                    {"waits_for", state.rollout ? Json(WaitsFor(state, view)) : Json("")},
                    {"steps", std::move(steps)},
                    {"checks", ChecksOf(state, view)},
                    {"shadows", ShadowsOf(state, view)},
                    {"last", nullptr}};
}

Json Summary(const plan::Revision& revision) {
  JsonArray services;
  for (const plan::Fleet& fleet : revision.fleets)
    services.push_back(JsonObject{{"name", fleet.spec.id.service()},
                                  {"fleet", fleet.spec.id.Render()},
                                  {"image", fleet.spec.image.Render()},
                                  {"replicas", fleet.replicas}});
  return JsonObject{{"revision", revision.number},
                    {"parent", Number(revision.parent)},
                    {"digest", revision.digest.Render()},
                    {"commit", revision.resolved.commit},
                    {"dirty", revision.resolved.dirty},
                    {"actor", revision.actor},
                    {"created", RenderTime(revision.created)},
                    {"services", std::move(services)}};
}

}  // namespace ingot::rollout
