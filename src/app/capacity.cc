#include "app/capacity.h"

#include <fstream>
#include <set>
#include <thread>

#include "plan/fleets.h"

namespace ingot::app {

namespace {

// Bytes of memory that instances may have: all but a sixteenth of the host's. 0 when it cannot be read.
uint64_t MemoryForInstances() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  uint64_t kib = 0;
  file >> name >> kib;
  return name == "MemTotal:" ? kib * 1024 / 16 * 15 : 0;
}

// What is taken besides the fleets that the plan of `resolved` counts itself (the active ones of its
// environment, and those it has, which may be warm): instances of other environments, other warm ones (they
// stay until the switch), and runs of jobs. By their limits.
void AddTaken(const rollout::Controller& controller, const jobs::Controller& jobs,
              const definition::Resolved& resolved, plan::HostCapacity& capacity) {
  const platform::EnvironmentId environment = plan::EnvironmentOf(resolved);
  std::set<platform::FleetId> planned;
  for (const plan::Fleet& fleet : plan::Fleets(resolved)) planned.insert(fleet.spec.id);
  const auto add = [&](const platform::Limits& limits, size_t count) {
    capacity.memory_used_bytes += count * limits.memory_bytes;
    capacity.millicpus_used += static_cast<uint32_t>(count) * limits.millicpus;
  };
  for (const platform::EnvironmentId& id : controller.Environments()) {
    const rollout::EnvironmentState* state = controller.State(id);
    for (const jobs::Run& run : jobs.OpenRuns(id)) add(run.spec.limits, 1);
    if (state == nullptr) continue;
    for (const auto& [fleet, desired] : state->fleets) {
      const auto owner = rollout::OwnerOf(*state, fleet);
      const bool counted =
          id == environment && (planned.contains(fleet) ||
                                (state->active && state->RevisionOf(*state->active).Find(fleet) != nullptr));
      if (owner && !counted)
        add(state->RevisionOf(*owner).Find(fleet)->spec.limits, desired.instances.size());
    }
  }
}

}  // namespace

plan::HostCapacity CapacityBeside(const rollout::Controller& controller, const jobs::Controller& jobs,
                                  const definition::Resolved& resolved) {
  plan::HostCapacity capacity;
  capacity.memory_bytes = MemoryForInstances();
  capacity.millicpus = std::thread::hardware_concurrency() * 1000;
  AddTaken(controller, jobs, resolved, capacity);
  return capacity;
}

Result<void> CheckRoom(const rollout::Controller& controller, const jobs::Controller& jobs,
                       const platform::EnvironmentId& environment, const rollout::Scale& scale) {
  const auto active = controller.Active(environment);
  if (!active || scale.replicas > rollout::kMaxReplicas) return {};
  if (const auto found = active->scales.find(scale.service); found != active->scales.end()) {
    const definition::ScaleBounds widest = definition::WidestBounds(found->second);
    if (scale.replicas > widest.max) return {};
  }
  const plan::Plan plan = plan::MakeScalePlan(*active, scale.service, scale.replicas,
                                              CapacityBeside(controller, jobs, active->revision.resolved));
  if (plan.scales.empty() || plan.scales[0].to < plan.scales[0].from) return {};
  return plan::CheckMemory(plan);
}

uint32_t CountWithRoom(const rollout::Controller& controller, const jobs::Controller& jobs,
                       const platform::EnvironmentId& environment, const std::string& service,
                       uint32_t wanted) {
  const auto active = controller.Active(environment);
  if (!active) return wanted;
  return plan::MostWithin(*active, service, wanted,
                          CapacityBeside(controller, jobs, active->revision.resolved));
}

}  // namespace ingot::app
