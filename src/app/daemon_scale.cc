// The daemon's part that lets counts follow the load.
#include <sys/prctl.h>

#include "app/capacity.h"
#include "app/daemon.h"
#include "app/signals.h"
#include "rollout/autoscaler.h"

namespace ingot::app {

namespace {

constexpr Milliseconds kLookEvery{1'000};
// While no service asks for it.
constexpr Milliseconds kAskEvery{5'000};

using QueueTroubles = std::map<adapters::QueueWatcher::Key, std::string>;

// Fills in what the queues' sources say; what cannot be seen is said once.
void SeeQueues(adapters::QueueWatcher& queues, std::vector<rollout::ScaledService>& services,
               QueueTroubles& troubles) {
  std::map<adapters::QueueWatcher::Key, definition::ResolvedCheck> sources;
  for (const rollout::ScaledService& service : services)
    if (service.scale.queue) sources[{service.environment, service.service}] = service.scale.queue->source;
  queues.Watch(sources);
  QueueTroubles present;
  for (rollout::ScaledService& service : services) {
    if (!service.scale.queue) continue;
    const adapters::QueueWatcher::Key key{service.environment, service.service};
    const auto number = queues.Last(key);
    if (number) {
      service.queue = *number;
      continue;
    }
    if (number.error().code() == Code::kNotFound) continue;
    const std::string& trouble = present[key] = number.error().message();
    if (troubles[key] != trouble)
      LogToStderr("cannot see the queue of " + key.first.Render() + " " + key.second +
                  ", its count only rises: " + trouble);
  }
  troubles = std::move(present);
}

}  // namespace

void Daemon::EndScaling() {
  queue_.lock()->scaling_ends = true;
  queue_changed_.notify_all();
  if (scaler_.joinable()) scaler_.join();
}

void Daemon::ScaleLoop() {
  ::prctl(PR_SET_NAME, "scale");
  std::map<std::pair<platform::EnvironmentId, std::string>, rollout::Autoscaler> scalers;
  Milliseconds pause = kAskEvery;
  std::string trouble;  // said already
  QueueTroubles queue_troubles;
  // Counts that the host has no room for, as far as it has; said already.
  std::map<std::pair<platform::EnvironmentId, std::string>, std::string> no_room;
  while (true) {
    const auto due = clock_.Steady() + pause;
    {
      auto queue = queue_.lock();
      while (!queue->scaling_ends && clock_.Steady() < due)
        queue.WaitFor(queue_changed_, due - clock_.Steady());
      if (queue->scaling_ends) return;
    }
    auto services = Ask([](rollout::Controller& controller) { return controller.Scaled(); });
    pause = services.empty() ? kAskEvery : kLookEvery;
    SeeQueues(checks_->queues(), services, queue_troubles);
    if (services.empty()) {
      scalers.clear();
      continue;
    }
    std::set<platform::InstanceId> instances;
    for (const rollout::ScaledService& service : services)
      instances.insert(service.ready.begin(), service.ready.end());
    // Here, and not on the control thread: who does not answer delays nothing else.
    const auto usage = platform_->Usage(instances);
    const std::string was = std::exchange(trouble, usage ? "" : usage.error().Render());
    if (!trouble.empty() && trouble != was)
      LogToStderr("cannot see the load, counts follow the time alone: " + trouble);
    // What was not seen takes no instance away; bounds hold all the same.
    const std::map<platform::InstanceId, platform::InstanceUsage> seen =
        usage ? *usage : std::map<platform::InstanceId, platform::InstanceUsage>{};
    std::map<std::pair<platform::EnvironmentId, std::string>, rollout::Autoscaler> kept;
    std::map<std::pair<platform::EnvironmentId, std::string>, std::string> still_full;
    for (const rollout::ScaledService& service : services) {
      const std::pair key(service.environment, service.service);
      rollout::Autoscaler& scaler = kept[key] = std::move(scalers[key]);
      const auto verdict = scaler.Look(service, seen, clock_.Steady());
      if (!verdict) continue;
      uint32_t count = verdict->count;
      // A rollout that has begun meanwhile has precedence; the load is looked at again after it.
      static_cast<void>(
          ActOnJobs([&](jobs::Controller& jobs, rollout::Controller& controller) -> Result<void> {
            count = CountWithRoom(controller, jobs, service.environment, service.service, verdict->count);
            if (count == service.count) return {};
            TRY(controller.Submit({service.environment, "autoscaler",
                                   rollout::Scale{service.service, count, verdict->reason}}));
            return {};
          }).has_value());
      if (count >= verdict->count) continue;
      const std::string& full = still_full[key] = std::to_string(count);
      if (no_room[key] != full)
        LogToStderr(service.environment.Render() + " " + service.service + " should have " +
                    std::to_string(verdict->count) + " instances (" + verdict->reason + "), but only " +
                    full + " have room in this host's memory; lower `resources.memory` or `scale.max`");
    }
    no_room = std::move(still_full);
    scalers = std::move(kept);
  }
}

}  // namespace ingot::app
