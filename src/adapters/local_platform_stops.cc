#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "adapters/local_platform_impl.h"

namespace ingot::adapters {

using platform::FleetSpec;
using platform::InstanceId;
using platform::InstanceState;

namespace {

constexpr auto kStopPoll = std::chrono::milliseconds(5);
constexpr int kRemovalNice = 10;

// While it lives, its thread takes less of the processors: what is taken away has time, and a switch that
// comes meanwhile has none. Only around what holds no lock of the platform. setpriority(2) is of one thread
// on Linux.
class RemovalPriority {
 public:
  RemovalPriority() : former_(::getpriority(PRIO_PROCESS, 0)) {
    static_cast<void>(::setpriority(PRIO_PROCESS, 0, kRemovalNice));
  }
  ~RemovalPriority() { static_cast<void>(::setpriority(PRIO_PROCESS, 0, former_)); }
  RemovalPriority(const RemovalPriority&) = delete;
  RemovalPriority& operator=(const RemovalPriority&) = delete;

 private:
  const int former_;
};

}  // namespace

bool LocalPlatform::Impl::Keeps(const FleetSpec& fleet) {
  return std::any_of(fleet.scratch.begin(), fleet.scratch.end(),
                     [](const platform::Scratch& scratch) { return scratch.kept; });
}

void LocalPlatform::Impl::OnExit(const InstanceId& id) {
  auto statuses = runtime_.Observe();
  {
    auto state = state_.lock();
    const auto found = state->records.find(id);
    if (found == state->records.end()) return;
    Record& record = found->second;
    std::optional<int> code;
    bool out_of_memory = false;
    if (statuses) {
      for (const auto& status : *statuses) {
        if (status.id != id) continue;
        code = status.exit_code;
        out_of_memory = status.out_of_memory;
      }
    }
    record.ended = true;
    record.status.exit_code = code;
    record.status.pid = 0;
    record.status.reason = DescribeExit(code, out_of_memory);
    if (record.stop == StopPhase::kNone) {
      record.status.state = InstanceState::kExited;
      record.passed_gate = false;
      if (!record.instance.fleet.job) state->to_route.insert(id.fleet());
    }
  }
  prober_->Unwatch(id);
  route_wanted_.notify_one();
  stop_wanted_.notify_one();
  Changed();
}

void LocalPlatform::Impl::StopLoop() {
  while (true) {
    std::vector<InstanceId> stopping;
    {
      auto state = state_.lock();
      while (!state->closing) {
        for (const auto& [id, record] : state->records)
          if (record.stop != StopPhase::kNone && !record.starting) stopping.push_back(id);
        if (!stopping.empty()) break;
        state.Wait(stop_wanted_);
      }
      if (state->closing) return;
    }
    bool moved = false;
    for (const InstanceId& id : stopping) moved |= MoveStop(id);
    if (moved) {
      Changed();
      continue;
    }
    auto state = state_.lock();
    if (state->closing) return;
    state.WaitFor(stop_wanted_, kStopPoll);
  }
}

bool LocalPlatform::Impl::MoveStop(const InstanceId& id) {
  StopPhase phase = StopPhase::kNone;
  bool routed = false;
  bool alive = false;
  Steady::time_point deadline;
  FleetSpec fleet;
  bool copied = false;
  {
    auto state = state_.lock();
    const Record& record = state->records.at(id);
    copied = record.copied;
    phase = record.stop;
    routed = record.routed;
    alive = record.status.started != WallTime{} && !record.ended;
    deadline = record.stop_deadline;
    fleet = record.instance.fleet;
  }
  const auto now = Steady::now();
  switch (phase) {
    case StopPhase::kNone:
      return false;
    case StopPhase::kAsked:
      prober_->Unwatch(id);
      SetPhase(id, StopPhase::kDraining, now + fleet.drain);
      return true;
    case StopPhase::kDraining: {
      if (routed && alive && now < deadline) {
        auto drained = router_.Drain(id);
        if (!drained || !*drained) return false;
      }
      SetPhase(id, StopPhase::kSignalled, now + fleet.grace);
      // Out of the router before its process goes; a router that does not answer must not keep it alive for
      // ever.
      if (routed) static_cast<void>(PushServers(id.fleet()).has_value());
      if (alive) static_cast<void>(runtime_.Signal(id, starter_.StopSignal(fleet)).has_value());
      return true;
    }
    case StopPhase::kSignalled: {
      if (alive && now < deadline) return false;
      if (Keeps(fleet) && !copied) {
        auto state = state_.lock();
        if (std::exchange(state->records.at(id).copying, true)) return false;
        state->to_copy.push_back(id);
        start_wanted_.notify_one();
        return false;
      }
      {
        const RemovalPriority low;
        if (!starter_.Release(id)) return false;  // tried again at the next turn
      }
      ::unlink(FileOf(id).c_str());
      state_.lock()->records.erase(id);
      return true;
    }
  }
  return false;
}

void LocalPlatform::Impl::SetPhase(const InstanceId& id, StopPhase phase, Steady::time_point deadline) {
  auto state = state_.lock();
  Record& record = state->records.at(id);
  record.stop = phase;
  record.stop_deadline = deadline;
}

}  // namespace ingot::adapters
