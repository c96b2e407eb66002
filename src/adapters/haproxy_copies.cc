// What HaproxyRouter has to do with its mirror.
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "adapters/haproxy_impl.h"
#include "adapters/haproxy_outside.h"
#include "adapters/mirror_rules.h"

namespace ingot::adapters {

namespace {

std::string TallyName(const std::string& backend, uint64_t rollout, uint32_t step) {
  return backend + "|" + SplitTag(rollout, step);
}

bool NamesShadow(const RouterEnvironment& environment) {
  return std::any_of(environment.topology.services.begin(), environment.topology.services.end(),
                     [](const auto& service) { return !service.shadow.methods.empty(); });
}

// The values of the environment's part of the map by which something is copied: where to.
void AddTargets(const platform::EnvironmentId& id, const RouterEnvironment& environment,
                std::map<std::string, MirrorTarget>& out) {
  for (const auto& service : environment.topology.services) {
    if (service.shadow.methods.empty()) continue;
    const RouterService& slots = environment.services.at(service.name);
    for (const auto& port : service.ports)
      for (size_t set = 0; set < kSetsPerService; ++set) {
        const std::string backend = BackendName(id, service.name, port.number, set);
        for (const auto& [key, whole] : environment.entries) {
          // "<backend>:<other backend>:<weight>:<rollout>:<step>:<copied>"
          const std::string value = WithoutServer(whole);
          const size_t colon = value.find(':');
          if (std::count(value.begin(), value.end(), ':') != 5 ||
              value.compare(colon + 1, backend.size() + 1, backend + ":") != 0 || out.contains(whole))
            continue;
          MirrorTarget target{{}, port.number, service.shadow.bodies, service.shadow.timeout, {}};
          const size_t weight = colon + 1 + backend.size() + 1;
          const size_t tag = value.find(':', weight) + 1;
          target.tally = backend + "|" + value.substr(tag, value.rfind(':') - tag);
          for (const RouterSlot& slot : slots.sets[set].slots)
            if (slot.instance && !slot.draining) target.addresses.push_back(slot.address);
          out.emplace(whole, std::move(target));
        }
      }
  }
}

}  // namespace

void HaproxyRouter::Impl::TellMirror(Inner& inner) {
  bool wanted = false;
  std::map<std::string, MirrorTarget> targets;
  for (const auto& [id, environment] : inner.state.environments) {
    wanted = wanted || NamesShadow(environment);
    AddTargets(id, environment, targets);
  }
  if (!wanted) {
    if (inner.mirror) ::unlinkat(directory_.get(), kMirrorSocket, 0);
    inner.mirror.reset();
    inner.mirror_error.clear();
    return;
  }
  if (!inner.mirror) {
    auto mirror =
        HaproxyMirror::Start(directory_.get(), options_.uid, options_.gid, options_.router_namespace);
    // Said by whoever asks for its counts: until then nothing depends on it.
    inner.mirror_error = mirror ? "" : mirror.error().Render();
    if (!mirror) return;
    inner.mirror = std::move(*mirror);
  }
  inner.mirror->SetTargets(std::move(targets));
}

Result<void> HaproxyRouter::Impl::CountCopies(Inner& inner, uint64_t rollout, uint32_t step,
                                              std::map<platform::FleetId, platform::FleetCounters>& out) {
  if (!inner.mirror) {
    // Of no concern to who copies nothing: his other counts are what they are.
    const bool concerned = std::any_of(out.begin(), out.end(), [&](const auto& entry) {
      const auto environment = inner.state.environments.find(entry.first.environment());
      return environment != inner.state.environments.end() && NamesShadow(environment->second);
    });
    if (!concerned || inner.mirror_error.empty()) return {};
    return Error(Code::kUnavailable, "no request can be copied: " + inner.mirror_error);
  }
  const auto counts = inner.mirror->Counts();
  for (auto& [fleet, counters] : out)
    for (const std::string& backend : BackendsOf(inner.state, fleet)) {
      const auto found = counts.find(TallyName(backend, rollout, step));
      if (found == counts.end()) continue;
      const platform::ShadowCounters& more = found->second;
      platform::ShadowCounters& sum = counters.shadow;
      for (const auto member :
           {&platform::ShadowCounters::same, &platform::ShadowCounters::other_status,
            &platform::ShadowCounters::other_body, &platform::ShadowCounters::body_unknown,
            &platform::ShadowCounters::failed, &platform::ShadowCounters::timed_out,
            &platform::ShadowCounters::skipped, &platform::ShadowCounters::in_flight,
            &platform::ShadowCounters::real_ms, &platform::ShadowCounters::shadow_ms})
        sum.*member += more.*member;
      sum.examples.insert(sum.examples.end(), more.examples.begin(), more.examples.end());
    }
  return {};
}

}  // namespace ingot::adapters
