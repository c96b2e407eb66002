#include "definition/overlay.h"

namespace ingot::definition {

namespace {

template <typename T>
void Set(std::optional<T>& base, const std::optional<T>& over) {
  if (over) base = over;
}

// A block whose own keys are laid over one by one.
template <typename T, typename Merge>
void SetBlock(std::optional<T>& base, const std::optional<T>& over, Merge merge) {
  if (!over) return;
  if (!base) base.emplace();
  merge(*base, *over);
}

void SetProbe(Probe& base, const Probe& over) {
  // Of http, tcp and run exactly one is written, so `over` brings its own.
  base.http = over.http;
  base.tcp = over.tcp;
  base.run = over.run;
  base.port = over.port;
  Set(base.interval, over.interval);
  Set(base.timeout, over.timeout);
  Set(base.passes, over.passes);
  Set(base.deadline, over.deadline);
  Set(base.fails, over.fails);
}

void SetRollout(Rollout& base, const Rollout& over) {
  Set(base.strategy, over.strategy);
  Set(base.keep_old, over.keep_old);
  Set(base.drain, over.drain);
  Set(base.steps, over.steps);
  Set(base.analysis, over.analysis);
  Set(base.sticky, over.sticky);
  Set(base.preview, over.preview);
  Set(base.batch, over.batch);
  Set(base.surge, over.surge);
  // What belongs to a strategy means nothing to the one that an environment chose instead.
  if (over.strategy && *over.strategy != Strategy::kCanary) {
    base.steps = over.steps;
    base.analysis = over.analysis;
    base.sticky = over.sticky;
    base.preview = over.preview;
  }
  if (over.strategy && *over.strategy != Strategy::kRolling) {
    base.batch = over.batch;
    base.surge = over.surge;
  }
}

}  // namespace

Service Overlay(const Service& base, const Service& over) {
  Service out = base;
  if (!over.image.empty()) out.image = over.image;
  Set(out.kind, over.kind);
  Set(out.command, over.command);
  Set(out.user, over.user);
  Set(out.workdir, over.workdir);
  Set(out.replicas, over.replicas);
  Set(out.ports, over.ports);
  for (const auto& [name, value] : over.environment) out.environment[name] = value;
  Set(out.secrets, over.secrets);
  Set(out.uses, over.uses);
  SetBlock(out.health, over.health, [](Health& health, const Health& with) {
    SetBlock(health.ready, with.ready, SetProbe);
    SetBlock(health.live, with.live, SetProbe);
  });
  SetBlock(out.resources, over.resources, [](Resources& resources, const Resources& with) {
    Set(resources.millicpus, with.millicpus);
    Set(resources.memory_bytes, with.memory_bytes);
    Set(resources.pids, with.pids);
  });
  Set(out.scratch, over.scratch);
  Set(out.capabilities, over.capabilities);
  Set(out.volumes, over.volumes);
  Set(out.stop_signal, over.stop_signal);
  Set(out.stop_grace_period, over.stop_grace_period);
  Set(out.keepalive_timeout, over.keepalive_timeout);
  SetBlock(out.rollout, over.rollout, SetRollout);
  SetBlock(out.scale, over.scale, [](Scale& scale, const Scale& with) {
    Set(scale.min, with.min);
    Set(scale.max, with.max);
    Set(scale.target, with.target);
    Set(scale.cooldown, with.cooldown);
    Set(scale.schedules, with.schedules);
    Set(scale.spares, with.spares);
  });
  Set(out.max_age, over.max_age);
  return out;
}

std::map<std::string, Service> OverlaidServices(const Definition& definition,
                                                const std::string& environment) {
  std::map<std::string, Service> services = definition.services;
  for (const auto& [name, over] : definition.environments.at(environment).services) {
    const auto found = services.find(name);
    if (found != services.end()) found->second = Overlay(found->second, over);
  }
  return services;
}

}  // namespace ingot::definition
