#include "definition/resolve.h"

#include <algorithm>
#include <tuple>

#include "definition/check.h"
#include "definition/defaults.h"
#include "definition/endpoint_url.h"
#include "definition/listener.h"
#include "definition/outside_address.h"
#include "definition/overlay.h"
#include "definition/problem.h"
#include "definition/scale_bounds.h"

namespace ingot::definition {

namespace {

template <typename T>
std::vector<std::string> NamesOf(const std::map<std::string, T>& map) {
  std::vector<std::string> keys;
  for (const auto& item : map) keys.push_back(item.first);
  return keys;
}

std::vector<ResolvedPort> PortsOf(const Service& service) {
  std::vector<ResolvedPort> ports;
  if (!service.ports) return ports;
  for (const auto& [name, port] : *service.ports) ports.push_back({name, port.number, port.protocol});
  return ports;
}

ResolvedProbe ResolveProbe(const Service& service, const Probe& probe, Milliseconds interval) {
  ResolvedProbe out;
  if (probe.http) {
    out.kind = ResolvedProbe::Kind::kHttp;
    out.path = *probe.http;
  } else if (probe.run) {
    out.kind = ResolvedProbe::Kind::kRun;
    out.command = *probe.run;
  } else {
    out.kind = ResolvedProbe::Kind::kTcp;
  }
  if (!probe.run) {
    const auto* port = PortOf(service, probe.port.value_or(""));
    out.port = port != nullptr ? port->second.number : service.ports->begin()->second.number;
  }
  out.interval = probe.interval.value_or(interval);
  out.timeout = probe.timeout.value_or(kDefaultProbeTimeout);
  return out;
}

ResolvedProbe ReadyProbe(const Service& service) {
  const bool written = service.health && service.health->ready;
  // Nothing to connect to: ready is what runs.
  if (!written && (!service.ports || service.ports->empty())) return {};
  const Probe probe = written ? *service.health->ready : Probe{};
  ResolvedProbe out = ResolveProbe(service, probe, kDefaultReadyInterval);
  out.passes = probe.passes.value_or(kDefaultPasses);
  out.deadline = probe.deadline.value_or(std::max(kDefaultDeadline, out.timeout));
  return out;
}

ResolvedProbe LiveProbe(const Service& service) {
  if (!service.health || !service.health->live) return {};
  ResolvedProbe out = ResolveProbe(service, *service.health->live, kDefaultLiveInterval);
  out.fails = service.health->live->fails.value_or(kDefaultFails);
  return out;
}

Result<ResolvedEndpoint> ResolveEndpoint(const std::string& name, const Endpoint& endpoint) {
  const EndpointUrl url = TRY(EndpointUrl::Parse(endpoint.url));
  return ResolvedEndpoint{name, endpoint.url, url.host, url.port, url.tls, endpoint.check_tcp};
}

ResolvedCheck ResolveCheck(const std::string& name, const AnalysisCheck& check) {
  ResolvedCheck out;
  out.name = name;
  out.kind = !check.prometheus.empty() ? ResolvedCheck::Kind::kPrometheus
             : !check.http.empty()     ? ResolvedCheck::Kind::kHttp
                                       : ResolvedCheck::Kind::kRun;
  out.url = check.prometheus.empty() ? check.http : check.prometheus;
  out.query = check.query;
  out.condition = check.success_condition.value_or(Condition{});
  out.status = check.status.value_or(0);
  out.command = check.run;
  out.secret = check.secret;
  out.interval = check.interval.value_or(kDefaultCheckInterval);
  out.timeout = check.timeout.value_or(kDefaultCheckTimeout);
  out.fails = check.fails.value_or(kDefaultCheckFails);
  return out;
}

ResolvedScale ResolveScale(const Scale& scale) {
  const auto number = [](const std::optional<int>& value, uint32_t otherwise) {
    return value ? static_cast<uint32_t>(*value) : otherwise;
  };
  const ScaleTarget target = scale.target.value_or(ScaleTarget{});
  ResolvedScale out;
  out.min = number(scale.min, kDefaultReplicas);
  out.max = number(scale.max, out.min);
  out.cpu = number(target.cpu, 0);
  out.memory = number(target.memory, 0);
  out.requests = number(target.requests, 0);
  out.cooldown = scale.cooldown.value_or(kDefaultCooldown);
  out.spares = number(scale.spares, 0);
  for (const ScaleSchedule& schedule : scale.schedules.value_or(std::vector<ScaleSchedule>{})) {
    const uint32_t least = number(schedule.min, out.min);
    out.schedules.push_back({schedule.at, least, number(schedule.max, std::max(least, out.max))});
  }
  // The most that a schedule says, where nothing else does.
  if (!scale.max)
    for (const ResolvedSchedule& schedule : out.schedules) out.max = std::max(out.max, schedule.min);
  if (target.queue)
    out.queue = ResolvedQueue{ResolveCheck("queue", SourceOf(*target.queue)), number(target.queue->each, 1)};
  return out;
}

ResolvedAnalysis ResolveAnalysis(const Analysis& analysis) {
  ResolvedAnalysis out;
  // Who writes checks alone is judged by them alone.
  out.router = analysis.checks.empty() || analysis.error_rate || analysis.p50 || analysis.p90 ||
               analysis.p95 || analysis.p99 || analysis.min_requests || analysis.confidence;
  for (const auto& [name, check] : analysis.checks) out.checks.push_back(ResolveCheck(name, check));
  out.error_rate = analysis.error_rate;
  const auto add = [&](uint32_t percentile, const std::optional<Bound>& bound) {
    if (bound) out.latency[percentile] = *bound;
  };
  add(50, analysis.p50);
  add(90, analysis.p90);
  add(95, analysis.p95);
  add(99, analysis.p99);
  out.min_requests =
      static_cast<uint32_t>(analysis.min_requests.value_or(static_cast<int>(kDefaultMinRequests)));
  out.confidence = static_cast<uint32_t>(analysis.confidence.value_or(int64_t{kDefaultConfidence}));
  return out;
}

ResolvedShadow ResolveShadow(const Shadow& shadow) {
  ResolvedShadow out;
  out.share = static_cast<uint32_t>(shadow.share.value_or(kDefaultShadowShare));
  out.differences = static_cast<uint32_t>(shadow.differences.value_or(kDefaultShadowDifferences));
  out.errors = static_cast<uint32_t>(shadow.errors.value_or(kDefaultShadowErrors));
  out.least = static_cast<uint32_t>(shadow.least.value_or(kDefaultShadowLeast));
  out.bodies = shadow.bodies.value_or(true);
  out.methods = shadow.methods.value_or(std::vector<std::string>{"GET", "HEAD", "OPTIONS"});
  std::sort(out.methods.begin(), out.methods.end());
  out.methods.erase(std::unique(out.methods.begin(), out.methods.end()), out.methods.end());
  out.timeout = shadow.timeout.value_or(kDefaultShadowTimeout);
  return out;
}

// Pauses belong to the weight before them; the last weight is everything, and so no step to stay at.
std::vector<ResolvedStep> ResolveSteps(const std::vector<Step>& steps) {
  std::vector<ResolvedStep> out;
  for (const Step& step : steps) {
    if (step.weight) {
      if (*step.weight < 100)
        out.push_back({static_cast<uint32_t>(*step.weight), step.hold.value_or(Milliseconds(0)), false, {}});
      continue;
    }
    if (step.shadow) {
      out.push_back({0, step.shadow->hold, false, {}, ResolveShadow(*step.shadow)});
      continue;
    }
    if (out.empty()) out.emplace_back();
    if (step.pause == kUntilAdvance)
      out.back().manual = true;
    else if (step.pause)
      out.back().hold += *step.pause;
    else if (!step.approve.empty())
      out.back().approve[step.approve] = step.within.value_or(kDefaultApprovalTime);
  }
  return out;
}

void ResolveStrategy(const Rollout& rollout, ResolvedRollout& out) {
  if (out.strategy == Strategy::kCanary) {
    out.steps = ResolveSteps(rollout.steps.value_or(std::vector<Step>{}));
    if (rollout.analysis) out.analysis = ResolveAnalysis(*rollout.analysis);
    out.sticky = rollout.sticky.value_or(Sticky{});
    out.preview = rollout.preview.value_or(Preview{});
  }
  if (out.strategy == Strategy::kRolling) {
    out.batch = rollout.batch.value_or(kDefaultBatch);
    out.surge = rollout.surge.value_or(kDefaultSurge);
  }
}

class Resolver {
 public:
  Resolver(const Definition& definition, const ResolveInput& input,
           const std::map<std::string, Service>& services)
      : definition_(definition), input_(input), services_(services) {}

  Result<ResolvedService> Resolve(const std::string& name, const Service& service) const {
    ResolvedService out;
    out.name = name;
    out.kind = service.kind.value_or(Kind::kService);
    const auto digest = input_.image_digests.find(service.image);
    if (digest == input_.image_digests.end())
      return Error(Code::kNotFound,
                   name + " needs image " + service.image + ", which has no digest; build it first");
    out.image = digest->second;
    out.command = service.command.value_or(std::vector<std::string>{});
    out.user = service.user.value_or("");
    out.workdir = service.workdir.value_or("");
    out.environment = service.environment;
    for (const std::string& secret : service.secrets.value_or(std::vector<std::string>{})) {
      const auto version = input_.secret_versions.find(secret);
      if (version == input_.secret_versions.end())
        return Error(Code::kNotFound, name + " needs secret " + secret + ", which has no version");
      out.secrets[secret] = version->second;
    }
    out.uses = TRY(UsesOf(service));
    out.ports = PortsOf(service);
    out.ready = ReadyProbe(service);
    out.live = LiveProbe(service);
    ResolveConfinement(service, out);
    out.stop_signal = service.stop_signal.value_or("");
    out.grace = service.stop_grace_period.value_or(kDefaultGrace);
    const Rollout rollout = service.rollout.value_or(Rollout{});
    out.drain = rollout.drain.value_or(kDefaultDrain);
    out.rollout.strategy = rollout.strategy.value_or(Strategy::kBlueGreen);
    out.rollout.keep_old = rollout.keep_old.value_or(kDefaultKeepOld);
    ResolveStrategy(rollout, out.rollout);
    ResolveVolumes(service, out);
    if (out.rollout.analysis) TRY(SetVersions(out.rollout.analysis->checks));
    if (service.scale) out.scale = ResolveScale(*service.scale);
    if (out.scale && out.scale->queue) TRY(SetVersion(out.scale->queue->source));
    if (!Follows(out.scale) && out.scale && out.scale->spares == 0) out.scale.reset();
    out.max_age = service.max_age.value_or(Milliseconds(0));
    const auto least = static_cast<int>(kDefaultReplicas);
    out.replicas = static_cast<uint32_t>(
        service.replicas.value_or(service.scale ? service.scale->min.value_or(least) : least));
    return out;
  }

  Result<ResolvedJob> Resolve(const std::string& name, const Job& job) const {
    ResolvedJob out;
    out.instance = TRY(Resolve(name, AsService(job)));
    // A run is neither counted nor rolled out.
    out.instance.replicas = 1;
    out.instance.rollout = {};
    out.schedule = job.schedule;
    out.on_release = job.on_release;
    out.concurrency = job.concurrency;
    out.timeout = job.timeout.value_or(kDefaultJobTimeout);
    out.retries = static_cast<uint32_t>(job.retries);
    out.artifacts = job.artifacts;
    std::sort(out.artifacts.begin(), out.artifacts.end());
    return out;
  }

  // The run of a migration's command, as a job.
  Result<ResolvedJob> Resolve(const std::string& name, const Migration& migration) const {
    Job job;
    job.image = migration.image;
    job.command = migration.run;
    job.uses = {migration.endpoint};
    if (!migration.secret.empty()) job.secrets = {migration.secret};
    ResolvedJob out = TRY(Resolve(MigrationJob(name), job));
    out.migrates = true;
    return out;
  }

  ResolvedRoute Resolve(const Route& route) const {
    ResolvedRoute out;
    if (const Result<Listener> listener = Listener::Parse(route.listen); listener) {
      out.listen = route.listen;
      out.listen_address = listener->address;
      out.listen_port = listener->port;
    } else {
      out.host = route.host;
      out.path = route.path.empty() ? "/" : route.path;
    }
    out.service = route.to;
    const Port& port = PortOf(services_.at(route.to), route.port)->second;  // checked by Parse
    out.port = port.number;
    out.protocol = route.protocol.value_or(port.protocol);
    out.tls = route.tls;
    if (route.outside)
      if (const Result<OutsideAddress> server = OutsideAddress::Parse(route.outside->address); server)
        out.outside = {server->host, server->port, static_cast<uint32_t>(route.outside->weight)};
    return out;
  }

 private:
  Result<void> SetVersions(std::vector<ResolvedCheck>& checks) const {
    for (ResolvedCheck& check : checks) TRY(SetVersion(check));
    return {};
  }

  Result<void> SetVersion(ResolvedCheck& check) const {
    if (check.secret.empty()) return {};
    const auto version = input_.secret_versions.find(check.secret);
    if (version == input_.secret_versions.end())
      return Error(Code::kNotFound,
                   "check " + check.name + " needs secret " + check.secret + ", which has no version");
    check.secret_version = version->second;
    return {};
  }

  Result<std::vector<ResolvedUse>> UsesOf(const Service& service) const {
    std::vector<ResolvedUse> uses;
    for (const std::string& name : service.uses.value_or(std::vector<std::string>{})) {
      ResolvedUse use;
      use.name = name;
      if (const auto other = services_.find(name); other != services_.end()) {
        use.ports = PortsOf(other->second);
      } else {
        const EndpointUrl url = TRY(EndpointUrl::Parse(definition_.endpoints.at(name).url));
        use.endpoint = true;
        use.host = url.host;
        use.tls = url.tls;
        use.ports = {{url.scheme, url.port, Protocol::kTcp}};
      }
      uses.push_back(std::move(use));
    }
    std::sort(uses.begin(), uses.end(),
              [](const ResolvedUse& a, const ResolvedUse& b) { return a.name < b.name; });
    return uses;
  }

  static void ResolveConfinement(const Service& service, ResolvedService& out) {
    const Resources resources = service.resources.value_or(Resources{});
    out.limits = {resources.millicpus.value_or(0), resources.memory_bytes.value_or(0),
                  resources.pids.value_or(0)};
    for (const Scratch& scratch : service.scratch.value_or(std::vector<Scratch>{}))
      out.scratch.push_back(
          {scratch.path, scratch.size_bytes.value_or(kDefaultScratchBytes), scratch.exec.value_or(false)});
    std::sort(out.scratch.begin(), out.scratch.end(),
              [](const auto& a, const auto& b) { return a.path < b.path; });
    out.capabilities = service.capabilities.value_or(std::vector<std::string>{});
    std::sort(out.capabilities.begin(), out.capabilities.end());
    out.capabilities.erase(std::unique(out.capabilities.begin(), out.capabilities.end()),
                           out.capabilities.end());
  }

  // Every member has volumes of its own, so there are never two in one place: they are replaced one by one.
  void ResolveVolumes(const Service& service, ResolvedService& out) const {
    if (out.kind != Kind::kStateful) return;
    for (const Mount& mount : service.volumes.value_or(std::vector<Mount>{})) {
      const Volume& volume = definition_.volumes.at(mount.name);
      out.volumes.push_back({mount.name, mount.path, mount.read_only, volume.size_bytes.value_or(0)});
      if (volume.snapshot == Snapshot::kBeforeRollout) out.rollout.snapshot.push_back(mount.name);
    }
    std::sort(out.volumes.begin(), out.volumes.end(),
              [](const auto& a, const auto& b) { return a.path < b.path; });
    std::sort(out.rollout.snapshot.begin(), out.rollout.snapshot.end());
    out.rollout.strategy = Strategy::kRolling;
    out.rollout.batch = 1;
    out.rollout.surge = 0;
  }

  const Definition& definition_;
  const ResolveInput& input_;
  const std::map<std::string, Service>& services_;
};

}  // namespace

Result<std::map<std::string, Service>> ServicesOf(const Definition& definition,
                                                  const std::string& environment) {
  if (!definition.environments.contains(environment))
    return Error(Code::kNotFound, definition.file + " has no environment " + Quoted(environment) +
                                      DidYouMean(environment, NamesOf(definition.environments)));
  std::map<std::string, Service> services = OverlaidServices(definition, environment);
  // `port: 6379` says nothing of how it is spoken to; a route may.
  for (const Route& route : definition.routes) {
    const auto found = services.find(route.to);
    if (route.protocol != Protocol::kTcp || found == services.end() || !found->second.ports) continue;
    for (auto& [name, port] : *found->second.ports)
      if (route.port == name || (route.port.empty() && found->second.ports->size() == 1))
        port.protocol = Protocol::kTcp;
  }
  return services;
}

Result<std::set<std::string>> ImagesNeeded(const Definition& definition, const std::string& environment) {
  std::set<std::string> images;
  for (const auto& service : TRY(ServicesOf(definition, environment))) images.insert(service.second.image);
  for (const auto& job : definition.jobs) images.insert(job.second.image);
  for (const auto& [name, migration] : definition.migrations)
    if (!migration.run.empty()) images.insert(migration.image);
  return images;
}

Result<std::set<std::string>> SecretsNeeded(const Definition& definition, const std::string& environment) {
  std::set<std::string> secrets;
  for (const auto& service : TRY(ServicesOf(definition, environment))) {
    if (service.second.secrets)
      secrets.insert(service.second.secrets->begin(), service.second.secrets->end());
    if (service.second.rollout && service.second.rollout->analysis)
      for (const auto& check : service.second.rollout->analysis->checks)
        if (!check.second.secret.empty()) secrets.insert(check.second.secret);
    const auto& scale = service.second.scale;
    if (scale && scale->target && scale->target->queue && !scale->target->queue->secret.empty())
      secrets.insert(scale->target->queue->secret);
  }
  for (const auto& [name, migration] : definition.migrations)
    if (!migration.secret.empty()) secrets.insert(migration.secret);
  for (const auto& job : definition.jobs)
    secrets.insert(job.second.secrets.begin(), job.second.secrets.end());
  for (const Notify& notify : definition.notify)
    if (!notify.secret.empty()) secrets.insert(notify.secret);
  return secrets;
}

Result<std::vector<ResolvedMigration>> ResolveMigrations(const Definition& definition,
                                                         const ResolveInput& input) {
  std::vector<ResolvedMigration> out;
  for (const auto& [name, migration] : definition.migrations) {
    if (migration.scripts.empty()) continue;
    ResolvedMigration resolved;
    resolved.name = name;
    resolved.url = definition.endpoints.at(migration.endpoint).url;
    if (const auto scripts = input.scripts.find(name); scripts != input.scripts.end())
      resolved.scripts = scripts->second;
    resolved.secret = migration.secret;
    if (!migration.secret.empty()) {
      const auto version = input.secret_versions.find(migration.secret);
      if (version == input.secret_versions.end())
        return Error(Code::kInternal, "no version of the secret " + Quoted(migration.secret) + " was given");
      resolved.secret_version = version->second;
    }
    out.push_back(std::move(resolved));
  }
  return out;
}

ResolvedRules ResolveRules(const Definition& definition, const std::string& environment) {
  const auto counts = [&](const std::vector<std::string>& in) {
    return in.empty() || std::find(in.begin(), in.end(), environment) != in.end();
  };
  ResolvedRules out;
  for (const auto& [name, role] : definition.access) {
    if (!counts(role.in)) continue;
    ResolvedRole& resolved = out.roles[name];
    resolved = {role.may, role.members};
    std::sort(resolved.may.begin(), resolved.may.end());
    if (resolved.members.empty()) resolved.members = {"group:" + name};
  }
  const auto found = definition.environments.find(environment);
  if (found != definition.environments.end() && found->second.approval) {
    out.approval = found->second.approval->role;
    out.approval_within = found->second.approval->within.value_or(kDefaultApprovalTime);
  }
  if (definition.policy)
    for (const Freeze& freeze : definition.policy->freeze)
      if (counts(freeze.in))
        out.freezes.push_back({freeze.from.value_or(WallTime{}), freeze.until.value_or(WallTime{}), freeze.at,
                               freeze.hold.value_or(Milliseconds(0)), freeze.reason});
  return out;
}

Result<Resolved> Resolve(const Definition& definition, const ResolveInput& input) {
  const std::map<std::string, Service> services = TRY(ServicesOf(definition, input.environment));
  if (input.environment != "local" && input.dirty && !input.allow_dirty)
    return Error(Code::kRefused, "the work tree has uncommitted changes, and " + input.environment +
                                     " takes commits only; commit them, or say --allow-dirty on the record");
  Resolved out;
  out.project = definition.project;
  out.environment = input.environment;
  out.commit = input.commit;
  out.dirty = input.dirty;
  const auto environment = definition.environments.find(input.environment);
  if (environment != definition.environments.end()) out.promote_from = environment->second.promote_from;
  const Resolver resolver(definition, input, services);
  for (const auto& [name, service] : services) out.services.push_back(TRY(resolver.Resolve(name, service)));
  for (const auto& [name, job] : definition.jobs) out.jobs.push_back(TRY(resolver.Resolve(name, job)));
  for (const auto& [name, migration] : definition.migrations)
    if (!migration.run.empty()) out.jobs.push_back(TRY(resolver.Resolve(name, migration)));
  std::sort(out.jobs.begin(), out.jobs.end(),
            [](const ResolvedJob& a, const ResolvedJob& b) { return a.instance.name < b.instance.name; });
  for (const Route& route : definition.routes) out.routes.push_back(resolver.Resolve(route));
  // The order in the file means nothing, so it is no difference.
  std::sort(out.routes.begin(), out.routes.end(), [](const ResolvedRoute& a, const ResolvedRoute& b) {
    return std::tie(a.listen_port, a.listen_address, a.host, a.path) <
           std::tie(b.listen_port, b.listen_address, b.host, b.path);
  });
  for (const auto& [name, endpoint] : definition.endpoints)
    out.endpoints.push_back(TRY(ResolveEndpoint(name, endpoint)));
  out.migrations = TRY(ResolveMigrations(definition, input));
  out.rules = ResolveRules(definition, input.environment);
  // A role that does not count here is not waited for here.
  for (ResolvedService& service : out.services)
    for (ResolvedStep& step : service.rollout.steps)
      std::erase_if(step.approve, [&](const auto& entry) { return !out.rules.roles.contains(entry.first); });
  for (const Notify& notify : definition.notify) {
    ResolvedNotify told{notify.webhook, notify.run, notify.on, notify.secret, ""};
    std::sort(told.on.begin(), told.on.end());
    if (!notify.secret.empty()) {
      const auto version = input.secret_versions.find(notify.secret);
      if (version == input.secret_versions.end())
        return Error(Code::kInternal, "no version of the secret " + Quoted(notify.secret) + " was given");
      told.secret_version = version->second;
    }
    out.notify.push_back(std::move(told));
  }
  return out;
}

}  // namespace ingot::definition
