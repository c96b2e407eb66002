#include "adapters/local_platform.h"

#include "adapters/local_platform_impl.h"

namespace ingot::adapters {

using platform::EnvironmentId;
using platform::FleetId;
using platform::FleetSpec;
using platform::InstanceId;
using platform::InstanceState;
using platform::RouteTable;

Result<void> LocalPlatform::Impl::Open() {
  TRY(MakeDirectories(fleets_dir_, 0711));
  if (!options_.artifacts_dir.empty()) TRY(MakeDirectories(options_.artifacts_dir, 0700));
  prober_ = TRY(Prober::Start(
      network_.router_namespace(),
      [this](const InstanceId& id, const std::vector<std::string>& command, Milliseconds timeout) {
        return runtime_.Exec(id, command, timeout);
      },
      [this](const InstanceId& id, Health health, const std::string& reason) {
        OnHealth(id, health, reason);
      }));
  TRY(Adopt());
  for (size_t i = 0; i < options_.start_threads; ++i) threads_.emplace_back([this] { StartLoop(); });
  threads_.emplace_back([this] { RouteLoop(); });
  threads_.emplace_back([this] { StopLoop(); });
  return {};
}

Result<void> LocalPlatform::Impl::SetTopology(const EnvironmentId& environment,
                                              const platform::Topology& topology) {
  return router_.SetTopology(environment, topology);
}

Result<void> LocalPlatform::Impl::Start(const FleetSpec& fleet, const InstanceId& id) {
  {
    auto state = state_.lock();
    if (state->records.contains(id)) return {};
    Record& record = state->records[id];
    record.instance.fleet = fleet;
    record.instance.id = id;
    record.status.id = id;
    record.status.state = InstanceState::kStarting;
    record.status.volumes = platform::VolumesOf(fleet);
    record.status.copying = !fleet.snapshot.volumes.empty();
    record.status.held = fleet.held;
    state->to_start.push_back(id);
  }
  start_wanted_.notify_one();
  return {};
}

Result<void> LocalPlatform::Impl::Serve(const InstanceId& id) {
  {
    auto state = state_.lock();
    const auto found = state->records.find(id);
    if (found == state->records.end() || !found->second.instance.fleet.held || found->second.serve_asked ||
        found->second.stop != StopPhase::kNone)
      return {};
    found->second.serve_asked = true;
    state->to_route.insert(id.fleet());
  }
  route_wanted_.notify_one();
  return {};
}

Result<void> LocalPlatform::Impl::Stop(const InstanceId& id) {
  {
    auto state = state_.lock();
    const auto found = state->records.find(id);
    if (found == state->records.end() || found->second.stop != StopPhase::kNone) return {};
    found->second.stop = StopPhase::kAsked;
    found->second.status.state = InstanceState::kStopping;
  }
  stop_wanted_.notify_one();
  return {};
}

Result<platform::Observation> LocalPlatform::Impl::Observe() {
  platform::Observation out;
  auto state = state_.lock();
  for (const auto& [id, record] : state->records)
    (record.instance.fleet.job ? out.runs : out.instances).push_back(record.status);
  return out;
}

Result<void> LocalPlatform::Impl::ApplyRoutes(const EnvironmentId& environment, const RouteTable& routes) {
  state_.lock()->routes[environment] = routes;
  return PushRoutes(environment);
}

Result<std::map<FleetId, platform::FleetCounters>> LocalPlatform::Impl::Counters(
    const EnvironmentId& environment) {
  RouteTable table;
  if (auto state = state_.lock(); state->routes.contains(environment)) table = state->routes.at(environment);
  std::set<FleetId> fleets;
  const auto add = [&](const auto& route) {
    if (!route.split) return;
    fleets.insert(route.fleet);
    fleets.insert(route.split->fleet);
  };
  for (const auto& route : table.outside) add(route);
  for (const auto& route : table.inside) add(route);
  return router_.CountersOf({fleets.begin(), fleets.end()}, table.rollout, table.step);
}

Result<std::map<InstanceId, platform::InstanceUsage>> LocalPlatform::Impl::Usage(
    const std::set<InstanceId>& instances) {
  std::map<InstanceId, platform::InstanceUsage> out;
  for (const InstanceId& id : instances) {
    auto usage = runtime_.Usage(id);
    if (usage)
      out.emplace(id, *usage);
    else if (usage.error().code() != Code::kNotFound)
      return std::move(usage).error();
  }
  // What it counts is missing, not what the kernel counts.
  const auto counters = router_.Counters();
  if (!counters) return out;
  for (auto& [id, usage] : out)
    if (const auto found = counters->find(id); found != counters->end())
      usage.requests = found->second.requests;
  return out;
}

LocalPlatform::LocalPlatform(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LocalPlatform::~LocalPlatform() = default;

Result<std::unique_ptr<LocalPlatform>> LocalPlatform::Open(Options options, platform::Runtime& runtime,
                                                           platform::Network& network,
                                                           platform::Router& router, const IdRanges& ids) {
  auto impl = std::make_unique<Impl>(std::move(options), runtime, network, router, ids);
  TRY(impl->Open());
  return std::unique_ptr<LocalPlatform>(new LocalPlatform(std::move(impl)));
}

Result<void> LocalPlatform::SetTopology(const EnvironmentId& environment,
                                        const platform::Topology& topology) {
  return impl_->SetTopology(environment, topology);
}
Result<bool> LocalPlatform::TopologySettled(const EnvironmentId&) {
  return impl_->router_.TopologySettled();
}
Result<void> LocalPlatform::Start(const FleetSpec& fleet, const InstanceId& instance) {
  return impl_->Start(fleet, instance);
}
Result<void> LocalPlatform::Serve(const InstanceId& instance) {
  return impl_->Serve(instance);
}
Result<void> LocalPlatform::Stop(const InstanceId& instance) {
  return impl_->Stop(instance);
}
Result<platform::Observation> LocalPlatform::Observe() {
  return impl_->Observe();
}
Result<void> LocalPlatform::ApplyRoutes(const EnvironmentId& environment, const RouteTable& routes) {
  return impl_->ApplyRoutes(environment, routes);
}
Result<std::map<InstanceId, platform::InstanceUsage>> LocalPlatform::Usage(
    const std::set<InstanceId>& instances) {
  return impl_->Usage(instances);
}
Result<std::map<FleetId, platform::FleetCounters>> LocalPlatform::Counters(const EnvironmentId& environment) {
  return impl_->Counters(environment);
}
void LocalPlatform::OnExit(const InstanceId& instance) {
  impl_->OnExit(instance);
}

}  // namespace ingot::adapters
