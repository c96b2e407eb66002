#include "definition/resolved.h"

#include <functional>

namespace ingot::definition {

namespace {

template <typename T>
JsonArray Array(const std::vector<T>& items, const std::function<Json(const T&)>& one) {
  JsonArray out;
  for (const T& item : items) out.push_back(one(item));
  return out;
}

Json AsJson(const std::string& text) {
  return Json(text);
}

JsonArray Texts(const std::vector<std::string>& items) {
  return Array<std::string>(items, AsJson);
}

JsonObject Texts(const std::map<std::string, std::string>& items) {
  JsonObject out;
  for (const auto& [name, value] : items) out[name] = value;
  return out;
}

Json ToJson(const ResolvedPort& port) {
  return JsonObject{{"name", port.name}, {"port", port.number}, {"protocol", NameOf(port.protocol)}};
}

Json ToJson(const ResolvedUse& use) {
  JsonObject out{{"name", use.name},
                 {"kind", use.endpoint ? "endpoint" : "service"},
                 {"ports", Array<ResolvedPort>(use.ports, [](const auto& port) { return ToJson(port); })}};
  if (use.endpoint) {
    out["host"] = use.host;
    out["tls"] = use.tls;
  }
  return out;
}

std::string_view NameOf(ResolvedProbe::Kind kind) {
  switch (kind) {
    case ResolvedProbe::Kind::kNone:
      return "none";
    case ResolvedProbe::Kind::kHttp:
      return "http";
    case ResolvedProbe::Kind::kTcp:
      return "tcp";
    case ResolvedProbe::Kind::kRun:
      return "run";
  }
  return "";
}

JsonObject ProbeToJson(const ResolvedProbe& probe) {
  using Kind = ResolvedProbe::Kind;
  JsonObject out{{"kind", NameOf(probe.kind)}};
  if (probe.kind == Kind::kNone) return out;
  if (probe.kind == Kind::kHttp) out["path"] = probe.path;
  if (probe.kind == Kind::kRun) out["command"] = Texts(probe.command);
  if (probe.kind != Kind::kRun) out["port"] = probe.port;
  out["interval_ms"] = probe.interval.count();
  out["timeout_ms"] = probe.timeout.count();
  return out;
}

Json ReadyToJson(const ResolvedProbe& probe) {
  JsonObject out = ProbeToJson(probe);
  if (probe.kind == ResolvedProbe::Kind::kNone) return out;
  out["passes"] = probe.passes;
  out["deadline_ms"] = probe.deadline.count();
  return out;
}

Json LiveToJson(const ResolvedProbe& probe) {
  JsonObject out = ProbeToJson(probe);
  if (probe.kind != ResolvedProbe::Kind::kNone) out["fails"] = probe.fails;
  return out;
}

Json ToJson(const ResolvedScratch& scratch) {
  return JsonObject{{"path", scratch.path}, {"size_bytes", scratch.size_bytes}, {"exec", scratch.exec}};
}

Json ToJson(const ResolvedVolume& volume) {
  return JsonObject{{"name", volume.name},
                    {"path", volume.path},
                    {"read_only", volume.read_only},
                    {"size_bytes", volume.size_bytes}};
}

Json ToJson(const ResolvedRoute& route) {
  JsonObject out{{"service", route.service},
                 {"port", route.port},
                 {"protocol", NameOf(route.protocol)},
                 {"tls", route.tls}};
  if (!route.listen.empty()) {
    out["listen"] = route.listen;
  } else {
    out["host"] = route.host;
    out["path"] = route.path;
  }
  if (route.outside)
    out["outside"] = JsonObject{
        {"host", route.outside->host}, {"port", route.outside->port}, {"percent", route.outside->percent}};
  return out;
}

Json ToJson(const ResolvedEndpoint& endpoint) {
  return JsonObject{{"name", endpoint.name}, {"url", endpoint.url},
                    {"host", endpoint.host}, {"port", endpoint.port},
                    {"tls", endpoint.tls},   {"check", endpoint.check_tcp ? "tcp" : "none"}};
}

Json ToJson(const Bound& bound) {
  return JsonObject{{"below", bound.value}, {"or_equal", bound.or_equal}};
}

std::string_view NameOf(ResolvedCheck::Kind kind) {
  return kind == ResolvedCheck::Kind::kPrometheus ? "prometheus"
         : kind == ResolvedCheck::Kind::kHttp     ? "http"
                                                  : "run";
}

Json ToJson(const ResolvedCheck& check) {
  using Kind = ResolvedCheck::Kind;
  JsonObject out{{"name", check.name},
                 {"kind", NameOf(check.kind)},
                 {"interval_ms", check.interval.count()},
                 {"timeout_ms", check.timeout.count()},
                 {"fails", check.fails}};
  if (check.kind == Kind::kRun) {
    out["command"] = Texts(check.command);
    return out;
  }
  out["url"] = check.url;
  if (check.kind == Kind::kHttp) {
    out["status"] = check.status;
  } else {
    out["query"] = check.query;
    out["success_condition"] = check.condition.Render();
  }
  if (!check.secret.empty()) out["secret"] = JsonObject{{check.secret, check.secret_version}};
  return out;
}

Json ToJson(const ResolvedAnalysis& analysis) {
  JsonObject latency;
  for (const auto& [percentile, bound] : analysis.latency)
    latency["p" + std::to_string(percentile)] = ToJson(bound);
  JsonObject out{{"error_rate", analysis.error_rate ? ToJson(*analysis.error_rate) : Json(nullptr)},
                 {"latency_ms", std::move(latency)},
                 {"min_requests", analysis.min_requests},
                 {"confidence", analysis.confidence}};
  if (analysis.checks.empty()) return out;
  out["router"] = analysis.router;
  out["checks"] = Array<ResolvedCheck>(analysis.checks, [](const auto& check) { return ToJson(check); });
  return out;
}

// What a strategy does not have is left out, so that documents of before it existed are the same.
Json ToJson(const ResolvedRollout& rollout) {
  JsonObject out{{"strategy", NameOf(rollout.strategy)}, {"keep_old_ms", rollout.keep_old.count()}};
  if (rollout.strategy == Strategy::kCanary) {
    out["steps"] = Array<ResolvedStep>(rollout.steps, [](const ResolvedStep& step) {
      JsonObject item{{"percent", step.percent}, {"hold_ms", step.hold.count()}, {"manual", step.manual}};
      if (!step.approve.empty()) {
        JsonObject approve;
        for (const auto& [role, within] : step.approve) approve[role] = within.count();
        item["approve"] = std::move(approve);
      }
      if (step.shadow) item["shadow"] = ToJson(*step.shadow);
      return item;
    });
    out["analysis"] = rollout.analysis ? ToJson(*rollout.analysis) : Json(nullptr);
    out["sticky"] = JsonObject{{"cookie", rollout.sticky.cookie}, {"header", rollout.sticky.header}};
    if (const Preview& preview = rollout.preview; preview != Preview{}) {
      JsonObject object{{"cookie", preview.cookie}, {"header", preview.header}, {"value", preview.value}};
      if (preview.port != 0) object["port"] = preview.port;
      out["preview"] = std::move(object);
    }
  }
  if (rollout.strategy == Strategy::kRolling) {
    out["batch"] = rollout.batch;
    out["surge"] = rollout.surge;
    if (!rollout.snapshot.empty()) out["snapshot"] = Texts(rollout.snapshot);
  }
  return out;
}

// Everything by which a fleet is known.
JsonObject Identity(const ResolvedService& service) {
  return {{"name", service.name},
          {"kind", NameOf(service.kind)},
          {"image", service.image.Render()},
          {"command", Texts(service.command)},
          {"user", service.user},
          {"workdir", service.workdir},
          {"environment", Texts(service.environment)},
          {"secrets", Texts(service.secrets)},
          {"uses", Array<ResolvedUse>(service.uses, [](const auto& use) { return ToJson(use); })},
          {"ports", Array<ResolvedPort>(service.ports, [](const auto& port) { return ToJson(port); })},
          {"ready", ReadyToJson(service.ready)},
          {"live", LiveToJson(service.live)},
          {"limits", JsonObject{{"millicpus", service.limits.millicpus},
                                {"memory_bytes", service.limits.memory_bytes},
                                {"pids", service.limits.pids}}},
          {"scratch", Array<ResolvedScratch>(service.scratch, [](const auto& s) { return ToJson(s); })},
          {"capabilities", Texts(service.capabilities)},
          {"volumes", Array<ResolvedVolume>(service.volumes, [](const auto& v) { return ToJson(v); })},
          {"stop_signal", service.stop_signal},
          {"grace_ms", service.grace.count()},
          {"drain_ms", service.drain.count()}};
}

}  // namespace

Json ToJson(const ResolvedShadow& shadow) {
  return JsonObject{{"share", shadow.share},
                    {"differences", shadow.differences},
                    {"errors", shadow.errors},
                    {"least", shadow.least},
                    {"bodies", shadow.bodies},
                    {"methods", Texts(shadow.methods)},
                    {"timeout_ms", shadow.timeout.count()}};
}

Json ToJson(const ResolvedScale& scale) {
  JsonObject out{{"min", scale.min},           {"max", scale.max},
                 {"cpu", scale.cpu},           {"memory", scale.memory},
                 {"requests", scale.requests}, {"cooldown_ms", scale.cooldown.count()}};
  if (!scale.schedules.empty())
    out["schedules"] = Array<ResolvedSchedule>(scale.schedules, [](const ResolvedSchedule& one) {
      return JsonObject{{"at", one.at}, {"min", one.min}, {"max", one.max}};
    });
  if (scale.queue)
    out["queue"] = JsonObject{{"source", ToJson(scale.queue->source)}, {"each", scale.queue->each}};
  if (scale.spares > 0) out["spares"] = scale.spares;
  return out;
}

Json ToJson(const ResolvedService& service) {
  JsonObject out = Identity(service);
  out["replicas"] = service.replicas;
  out["rollout"] = ToJson(service.rollout);
  if (service.scale) out["scale"] = ToJson(*service.scale);
  if (service.max_age > Milliseconds(0)) out["max_age_ms"] = service.max_age.count();
  return out;
}

Json ToJson(const ResolvedJob& job) {
  JsonObject out = Identity(job.instance);
  out["schedule"] = job.schedule;
  if (job.on_release) out["on"] = "release";
  if (job.migrates) out["on"] = "migration";
  out["concurrency"] = NameOf(job.concurrency);
  out["timeout_ms"] = job.timeout.count();
  out["retries"] = job.retries;
  out["artifacts"] = Texts(job.artifacts);
  return out;
}

Json ToJson(const ResolvedNotify& notify) {
  JsonObject out{{"on", Texts(notify.on)}};
  if (notify.webhook.empty()) {
    out["command"] = Texts(notify.command);
  } else {
    out["webhook"] = notify.webhook;
  }
  if (!notify.secret.empty()) out["secret"] = JsonObject{{notify.secret, notify.secret_version}};
  return out;
}

Json ToJson(const ResolvedMigration& migration) {
  JsonArray scripts;
  for (const migrate::Script& script : migration.scripts)
    scripts.push_back(JsonObject{{"version", script.version},
                                 {"name", script.name},
                                 {"stage", migrate::StageName(script.stage)},
                                 {"checksum", script.checksum},
                                 {"file", script.file}});
  JsonObject out{{"name", migration.name}, {"url", migration.url}, {"scripts", std::move(scripts)}};
  if (!migration.secret.empty()) out["secret"] = JsonObject{{migration.secret, migration.secret_version}};
  return out;
}

namespace {

JsonArray MigrationsToJson(const std::vector<ResolvedMigration>& migrations) {
  return Array<ResolvedMigration>(migrations, [](const auto& migration) { return ToJson(migration); });
}

}  // namespace

Json ToJson(const Resolved& resolved) {
  JsonObject out{
      {"version", 1},
      {"project", resolved.project},
      {"environment", resolved.environment},
      {"commit", resolved.commit},
      {"dirty", resolved.dirty},
      {"services", Array<ResolvedService>(resolved.services, [](const auto& s) { return ToJson(s); })},
      {"routes", Array<ResolvedRoute>(resolved.routes, [](const auto& route) { return ToJson(route); })},
      {"endpoints", Array<ResolvedEndpoint>(resolved.endpoints, [](const auto& e) { return ToJson(e); })}};
  // Not written when there is none, so that documents of before this was known are as they were.
  if (!resolved.jobs.empty())
    out["jobs"] = Array<ResolvedJob>(resolved.jobs, [](const auto& job) { return ToJson(job); });
  if (!resolved.notify.empty())
    out["notify"] = Array<ResolvedNotify>(resolved.notify, [](const auto& notify) { return ToJson(notify); });
  if (!resolved.migrations.empty()) out["migrations"] = MigrationsToJson(resolved.migrations);
  if (!resolved.rules.Empty()) out["rules"] = ToJson(resolved.rules);
  if (!resolved.promote_from.empty()) out["promote_from"] = resolved.promote_from;
  return out;
}

oci::Digest FleetDigest(const ResolvedService& service) {
  return oci::Digest::Of(RenderCanonical(Identity(service)));
}

oci::Digest FleetDigest(const ResolvedJob& job) {
  return oci::Digest::Of(RenderCanonical(JsonObject{{"job", Identity(job.instance)}}));
}

oci::Digest RevisionDigest(const Resolved& resolved) {
  JsonObject fleets;
  for (const ResolvedService& service : resolved.services)
    fleets[service.name] = FleetDigest(service).Render();
  JsonObject identity{
      {"fleets", std::move(fleets)},
      {"routes", Array<ResolvedRoute>(resolved.routes, [](const auto& route) { return ToJson(route); })}};
  if (!resolved.migrations.empty()) identity["migrations"] = MigrationsToJson(resolved.migrations);
  if (!resolved.jobs.empty())
    identity["jobs"] = Array<ResolvedJob>(resolved.jobs, [](const auto& job) { return ToJson(job); });
  return oci::Digest::Of(RenderCanonical(identity));
}

}  // namespace ingot::definition
