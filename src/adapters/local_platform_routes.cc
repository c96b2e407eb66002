#include "adapters/local_platform_impl.h"

namespace ingot::adapters {

using platform::EnvironmentId;
using platform::FleetId;
using platform::InstanceId;
using platform::InstanceState;
using platform::RouteTable;
using platform::Server;

Result<void> LocalPlatform::Impl::Watch(const Record& record) {
  if (record.instance.fleet.job) return {};  // what has to be known of a run is its end
  return prober_->Watch({.instance = record.instance.id,
                         .address = record.status.address,
                         .ready = record.instance.fleet.ready,
                         .live = record.instance.fleet.live,
                         .already_ready = record.instance.was_ready,
                         .held = record.instance.fleet.held});
}

void LocalPlatform::Impl::OnHealth(const InstanceId& id, Health health, const std::string& reason) {
  {
    auto state = state_.lock();
    const auto found = state->records.find(id);
    if (found == state->records.end()) return;
    Record& record = found->second;
    if (record.stop != StopPhase::kNone || record.status.state == InstanceState::kExited) return;
    record.passed_gate = health == Health::kReady;
    if (health == Health::kReady) {
      if (!record.status.ready_after && record.started_at != Steady::time_point{})
        record.status.ready_after = std::chrono::ceil<Milliseconds>(Steady::now() - record.started_at);
    } else {
      record.status.state = health == Health::kFailed ? InstanceState::kFailed : InstanceState::kUnhealthy;
      record.status.reason = reason;
    }
    state->to_route.insert(id.fleet());
  }
  route_wanted_.notify_one();
  if (health != Health::kReady) Changed();
}

Result<void> LocalPlatform::Impl::PushRoutes(const EnvironmentId& environment) {
  auto router = router_turn_.lock();
  RouteTable table;
  std::map<FleetId, std::vector<Server>> askers;
  {
    auto state = state_.lock();
    table = state->routes[environment];
    for (const auto& [id, record] : state->records) {
      if (id.fleet().environment() != environment || record.status.address.empty()) continue;
      if (Asks(table, id.fleet())) askers[id.fleet()].push_back({id, record.status.address});
    }
  }
  return router_.ApplyRoutes(environment, table, askers);
}

Result<void> LocalPlatform::Impl::PushServers(const FleetId& fleet) {
  auto router = router_turn_.lock();
  std::vector<Server> servers;
  std::vector<InstanceId> joined;
  {
    auto state = state_.lock();
    for (auto& [id, record] : state->records) {
      if (id.fleet() != fleet) continue;
      // One that is being drained stays among the servers until it has nothing in flight.
      const bool stays =
          record.routed && (record.stop == StopPhase::kAsked || record.stop == StopPhase::kDraining);
      const bool held = record.instance.fleet.held && !record.serve_asked;
      if (!stays && (held || !record.passed_gate || record.stop != StopPhase::kNone)) {
        record.routed = false;
        // What cannot be remembered is proven again by the next daemon; it is ready all the same.
        if (held && record.passed_gate && record.stop == StopPhase::kNone &&
            record.status.state != InstanceState::kReady)
          static_cast<void>(SetReady(record).has_value());
        continue;
      }
      servers.push_back({id, record.status.address});
      if (!record.routed) joined.push_back(id);
    }
  }
  TRY(router_.SetServers(fleet, servers));
  auto state = state_.lock();
  for (const InstanceId& id : joined) {
    const auto found = state->records.find(id);
    if (found == state->records.end()) continue;
    Record& record = found->second;
    record.routed = true;
    if (record.passed_gate && record.stop == StopPhase::kNone) {
      const bool was_held = std::exchange(record.instance.fleet.held, false);
      record.status.held = record.serve_asked = false;
      TRY(SetReady(record));
      if (was_held) TRY(Watch(record));
    }
  }
  return {};
}

Result<void> LocalPlatform::Impl::SetReady(Record& record) const {
  record.status.state = InstanceState::kReady;
  record.status.reason.clear();
  record.instance.was_ready = true;
  return record.instance.Save(FileOf(record.instance.id));
}

void LocalPlatform::Impl::RouteLoop() {
  while (true) {
    std::set<FleetId> fleets;
    {
      auto state = state_.lock();
      while (state->to_route.empty() && !state->closing) state.Wait(route_wanted_);
      if (state->closing) return;
      fleets.swap(state->to_route);
    }
    for (const FleetId& fleet : fleets) {
      auto pushed = PushServers(fleet);
      if (pushed) continue;
      auto state = state_.lock();
      for (auto& [id, record] : state->records)
        if (id.fleet() == fleet && record.passed_gate && !record.routed)
          record.status.reason = "cannot be routed to: " + pushed.error().Render();
      state->to_route.insert(fleet);
      state.WaitFor(route_wanted_, std::chrono::milliseconds(100));
      if (state->closing) return;
    }
    Changed();
  }
}

}  // namespace ingot::adapters
