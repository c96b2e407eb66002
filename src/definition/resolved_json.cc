// The way back: JSON → Resolved. The document comes over the API, so nothing in it is believed.
#include <algorithm>
#include <set>

#include "definition/cron.h"
#include "definition/defaults.h"
#include "definition/endpoint_url.h"
#include "definition/event_names.h"
#include "definition/listener.h"
#include "definition/outside_address.h"
#include "definition/problem.h"
#include "definition/reading.h"
#include "definition/resolved.h"
#include "definition/scalars.h"
#include "definition/scale_bounds.h"

namespace ingot::definition {

namespace {

Result<Protocol> ReadProtocol(const Reading& json) {
  return json.OneOf<Protocol>("protocol", {{"http", Protocol::kHttp}, {"tcp", Protocol::kTcp}});
}

bool IsPortName(std::string_view text) {  // or the scheme of an endpoint's URL
  return !text.empty() && text.size() <= 40 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789+-.") == std::string_view::npos;
}

Result<ResolvedPort> ReadPort(const Reading& json) {
  ResolvedPort port;
  port.name = TRY(json.Text("name", IsPortName));
  port.number = TRY(json.Port("port"));
  port.protocol = TRY(ReadProtocol(json));
  return port;
}

bool IsHostOrAddress(std::string_view text) {
  return IsHostName(text) || IsOutsideHost(text) ||
         Listener::Parse("[" + std::string(text.substr(0, 64)) + "]:1").has_value();
}

Result<ResolvedUse> ReadUse(const Reading& json) {
  ResolvedUse use;
  use.name = TRY(json.Text("name", IsName));
  use.endpoint = TRY(json.OneOf<bool>("kind", {{"service", false}, {"endpoint", true}}));
  use.ports = TRY(json.List<ResolvedPort>("ports", ReadPort));
  if (use.ports.empty()) return json.Bad("ports", "at least one");
  if (use.endpoint) {
    use.host = TRY(json.Text("host", IsHostOrAddress));
    use.tls = TRY(json.Bool("tls"));
  }
  return use;
}

Result<ResolvedProbe> ReadProbe(const Reading& json) {
  using Kind = ResolvedProbe::Kind;
  ResolvedProbe probe;
  probe.kind = TRY(json.OneOf<Kind>(
      "kind", {{"none", Kind::kNone}, {"http", Kind::kHttp}, {"tcp", Kind::kTcp}, {"run", Kind::kRun}}));
  if (probe.kind == Kind::kNone) return probe;
  if (probe.kind == Kind::kHttp) probe.path = TRY(json.Text("path", IsHttpPath));
  if (probe.kind == Kind::kRun) {
    probe.command = TRY(json.Texts("command"));
    if (probe.command.empty()) return json.Bad("command", "a program");
  } else {
    probe.port = TRY(json.Port("port"));
  }
  probe.interval = TRY(json.Ms("interval_ms"));
  probe.timeout = TRY(json.Ms("timeout_ms"));
  return probe;
}

Result<ResolvedProbe> ReadReady(const Reading& json) {
  ResolvedProbe probe = TRY(ReadProbe(json));
  if (probe.kind == ResolvedProbe::Kind::kNone) return probe;
  probe.passes = static_cast<int>(TRY(json.Int("passes", 1, 1000)));
  probe.deadline = TRY(json.Ms("deadline_ms"));
  return probe;
}

Result<ResolvedProbe> ReadLive(const Reading& json) {
  ResolvedProbe probe = TRY(ReadProbe(json));
  if (probe.kind != ResolvedProbe::Kind::kNone)
    probe.fails = static_cast<int>(TRY(json.Int("fails", 1, 1000)));
  return probe;
}

Result<ResolvedScratch> ReadScratch(const Reading& json) {
  ResolvedScratch scratch;
  scratch.path = TRY(json.Text("path", IsAbsolutePath));
  scratch.size_bytes = static_cast<uint64_t>(TRY(json.Int("size_bytes", 1, kMostBytes)));
  scratch.exec = TRY(json.Bool("exec"));
  return scratch;
}

Result<ResolvedVolume> ReadVolume(const Reading& json) {
  ResolvedVolume volume;
  volume.name = TRY(json.Text("name", IsName));
  volume.path = TRY(json.Text("path", IsAbsolutePath));
  volume.read_only = TRY(json.Bool("read_only"));
  volume.size_bytes = static_cast<uint64_t>(TRY(json.Int("size_bytes", 0, INT64_MAX)));
  return volume;
}

Result<ResolvedLimits> ReadLimits(const Reading& json) {
  ResolvedLimits limits;
  limits.millicpus = static_cast<uint32_t>(TRY(json.Int("millicpus", 0, 1'024'000)));
  limits.memory_bytes = static_cast<uint64_t>(TRY(json.Int("memory_bytes", 0, kMostBytes)));
  limits.pids = static_cast<uint32_t>(TRY(json.Int("pids", 0, 4'194'304)));
  return limits;
}

bool IsMethod(std::string_view text) {
  return text == "GET" || text == "HEAD" || text == "OPTIONS" || text == "POST" || text == "PUT" ||
         text == "PATCH" || text == "DELETE";
}

Result<ResolvedShadow> ReadShadow(const Reading& json) {
  ResolvedShadow shadow;
  shadow.share = static_cast<uint32_t>(TRY(json.Int("share", 1, 100)));
  shadow.differences = static_cast<uint32_t>(TRY(json.Int("differences", 0, 10'000)));
  shadow.errors = static_cast<uint32_t>(TRY(json.Int("errors", 0, 10'000)));
  shadow.least = static_cast<uint32_t>(TRY(json.Int("least", 1, 1'000'000'000)));
  shadow.bodies = TRY(json.Bool("bodies"));
  shadow.methods = TRY(json.Texts("methods", IsMethod));
  if (shadow.methods.empty()) return json.Bad("methods", "what is copied");
  shadow.timeout = Milliseconds(TRY(json.Int("timeout_ms", 1, 60'000)));
  return shadow;
}

Result<ResolvedStep> ReadStep(const Reading& json) {
  ResolvedStep step;
  step.percent = static_cast<uint32_t>(TRY(json.Int("percent", 0, 99)));
  step.hold = TRY(json.Ms("hold_ms"));
  step.manual = TRY(json.Bool("manual"));
  if (json.Has("approve")) step.approve = TRY(json.MsMap("approve", IsName));
  if (json.Has("shadow")) {
    if (step.percent != 0) return json.Bad("shadow", "a step of 0 percent");
    step.shadow = TRY(ReadShadow(TRY(json.Object("shadow"))));
  }
  return step;
}

Result<Bound> ReadBound(const Reading& json) {
  Bound bound;
  bound.value = TRY(json.Int("below", 0, kMostMs));
  bound.or_equal = TRY(json.Bool("or_equal"));
  return bound;
}

bool IsHttpUrl(std::string_view text) {
  const Result<EndpointUrl> url = EndpointUrl::Parse(text);
  return url && (url->scheme == "http" || url->scheme == "https");
}

Result<ResolvedCheck> ReadCheck(const Reading& json) {
  using Kind = ResolvedCheck::Kind;
  ResolvedCheck check;
  check.name = TRY(json.Text("name", IsName));
  check.kind = TRY(json.OneOf<Kind>(
      "kind", {{"prometheus", Kind::kPrometheus}, {"http", Kind::kHttp}, {"run", Kind::kRun}}));
  check.interval = Milliseconds(TRY(json.Int("interval_ms", 1, kMostMs)));
  check.timeout = Milliseconds(TRY(json.Int("timeout_ms", 1, kMostMs)));
  check.fails = static_cast<int>(TRY(json.Int("fails", 1, 1000)));
  if (check.kind == Kind::kRun) {
    check.command = TRY(json.Texts("command"));
    if (check.command.empty()) return json.Bad("command", "a program");
    return check;
  }
  check.url = TRY(json.Text("url", IsHttpUrl));
  if (check.kind == Kind::kHttp) {
    check.status = static_cast<int>(TRY(json.Int("status", 0, 599)));
  } else {
    check.query = TRY(json.Text("query"));
    const Result<Condition> condition = Condition::Parse(TRY(json.Text("success_condition")));
    if (!condition) return json.Bad("success_condition", "a condition such as \"< 0.01\"");
    check.condition = *condition;
  }
  if (!json.Has("secret")) return check;
  const auto secret = TRY(json.Map("secret", IsSecretName));
  if (secret.size() != 1) return json.Bad("secret", "one name and its version");
  check.secret = secret.begin()->first;
  check.secret_version = secret.begin()->second;
  return check;
}

Result<ResolvedAnalysis> ReadAnalysis(const Reading& json) {
  ResolvedAnalysis analysis;
  if (json.IsObject("error_rate")) analysis.error_rate = TRY(ReadBound(TRY(json.Object("error_rate"))));
  const Reading latency = TRY(json.Object("latency_ms"));
  for (const uint32_t percentile : {50u, 90u, 95u, 99u}) {
    const std::string key = "p" + std::to_string(percentile);
    if (latency.Has(key)) analysis.latency[percentile] = TRY(ReadBound(TRY(latency.Object(key))));
  }
  analysis.min_requests = static_cast<uint32_t>(TRY(json.Int("min_requests", 1, 1'000'000'000)));
  analysis.confidence = static_cast<uint32_t>(TRY(json.Int("confidence", 5'000, 9'999)));
  if (!json.Has("checks")) return analysis;
  analysis.router = TRY(json.Bool("router"));
  analysis.checks = TRY(json.List<ResolvedCheck>("checks", ReadCheck));
  for (size_t i = 1; i < analysis.checks.size(); ++i)
    if (analysis.checks[i].name <= analysis.checks[i - 1].name) return json.Bad("checks", "names that rise");
  if (!analysis.router && analysis.checks.empty()) return json.Bad("checks", "something to judge by");
  return analysis;
}

Result<ResolvedRollout> ReadRollout(const Reading& json) {
  ResolvedRollout rollout;
  rollout.strategy = TRY(json.OneOf<Strategy>("strategy", {{"blue-green", Strategy::kBlueGreen},
                                                           {"rolling", Strategy::kRolling},
                                                           {"canary", Strategy::kCanary},
                                                           {"recreate", Strategy::kRecreate}}));
  rollout.keep_old = TRY(json.Ms("keep_old_ms"));
  if (rollout.strategy == Strategy::kCanary) {
    rollout.steps = TRY(json.List<ResolvedStep>("steps", ReadStep));
    for (size_t i = 1; i < rollout.steps.size(); ++i)
      // A shadow and what comes before it have none.
      if (rollout.steps[i].percent < rollout.steps[i - 1].percent + (rollout.steps[i].percent > 0 ? 1 : 0))
        return json.Bad("steps", "weights that rise");
    if (std::count_if(rollout.steps.begin(), rollout.steps.end(),
                      [](const ResolvedStep& step) { return step.shadow.has_value(); }) > 1)
      return json.Bad("steps", "one shadow at most");
    if (json.IsObject("analysis")) rollout.analysis = TRY(ReadAnalysis(TRY(json.Object("analysis"))));
    const Reading sticky = TRY(json.Object("sticky"));
    rollout.sticky.cookie = TRY(sticky.Text("cookie", OrEmpty<IsToken>));
    rollout.sticky.header = TRY(sticky.Text("header", OrEmpty<IsToken>));
    if (!rollout.sticky.cookie.empty() && !rollout.sticky.header.empty())
      return json.Bad("sticky", "a cookie or a header");
    if (json.Has("preview")) {
      const Reading preview = TRY(json.Object("preview"));
      rollout.preview.cookie = TRY(preview.Text("cookie", OrEmpty<IsToken>));
      rollout.preview.header = TRY(preview.Text("header", OrEmpty<IsToken>));
      rollout.preview.value = TRY(preview.Text("value", OrEmpty<IsToken>));
      if (preview.Has("port"))
        rollout.preview.port = static_cast<uint16_t>(TRY(preview.Int("port", 1, 65'535)));
      const bool token = !rollout.preview.cookie.empty() || !rollout.preview.header.empty();
      if ((!rollout.preview.cookie.empty() && !rollout.preview.header.empty()) ||
          token == rollout.preview.value.empty() || (!token && rollout.preview.port == 0))
        return json.Bad("preview", "a cookie or a header, or a port");
    }
  }
  if (rollout.strategy == Strategy::kRolling) {
    rollout.batch = static_cast<uint32_t>(TRY(json.Int("batch", 1, 1000)));
    rollout.surge = static_cast<uint32_t>(TRY(json.Int("surge", 0, 1000)));
    if (json.Has("snapshot")) rollout.snapshot = TRY(json.Texts("snapshot", IsName));
  }
  return rollout;
}

bool IsCron(std::string_view text) {
  return CheckCron(text).has_value();
}

Result<ResolvedSchedule> ReadSchedule(const Reading& json) {
  ResolvedSchedule schedule;
  schedule.at = TRY(json.Text("at", IsCron));
  schedule.min = static_cast<uint32_t>(TRY(json.Int("min", 1, 1000)));
  schedule.max = static_cast<uint32_t>(TRY(json.Int("max", schedule.min, 1000)));
  return schedule;
}

Result<ResolvedScale> ReadScale(const Reading& json) {
  ResolvedScale scale;
  scale.min = static_cast<uint32_t>(TRY(json.Int("min", 1, 1000)));
  scale.max = static_cast<uint32_t>(TRY(json.Int("max", scale.min, 1000)));
  scale.cpu = static_cast<uint32_t>(TRY(json.Int("cpu", 0, 100)));
  scale.memory = static_cast<uint32_t>(TRY(json.Int("memory", 0, 100)));
  scale.requests = static_cast<uint32_t>(TRY(json.Int("requests", 0, 1'000'000)));
  scale.cooldown = TRY(json.Ms("cooldown_ms"));
  if (json.Has("schedules")) scale.schedules = TRY(json.List<ResolvedSchedule>("schedules", ReadSchedule));
  if (json.Has("queue")) {
    const Reading queue = TRY(json.Object("queue"));
    scale.queue = ResolvedQueue{TRY(ReadCheck(TRY(queue.Object("source")))),
                                static_cast<uint32_t>(TRY(queue.Int("each", 1, 1'000'000'000)))};
    if (scale.queue->source.kind == ResolvedCheck::Kind::kHttp) return queue.Bad("source", "a number");
  }
  if (json.Has("spares")) scale.spares = static_cast<uint32_t>(TRY(json.Int("spares", 0, 100)));
  if (!Follows(scale) && scale.spares == 0) return json.Bad("cpu", "a target");
  return scale;
}

// All but how many and how replaced.
Result<ResolvedService> ReadIdentity(const Reading& json) {
  ResolvedService out;
  out.name = TRY(json.Text("name", IsName));
  out.kind = TRY(json.OneOf<Kind>(
      "kind", {{"service", Kind::kService}, {"worker", Kind::kWorker}, {"stateful", Kind::kStateful}}));
  const Result<oci::Digest> image = oci::Digest::Parse(TRY(json.Text("image")));
  if (!image) return json.Bad("image", "a digest");
  out.image = *image;
  out.command = TRY(json.Texts("command"));
  out.user = TRY(json.Text("user", OrEmpty<IsUser>));
  out.workdir = TRY(json.Text("workdir", OrEmpty<IsAbsolutePath>));
  out.environment = TRY(json.Map("environment", IsEnvironmentKey));
  out.secrets = TRY(json.Map("secrets", IsSecretName));
  out.uses = TRY(json.List<ResolvedUse>("uses", ReadUse));
  out.ports = TRY(json.List<ResolvedPort>("ports", ReadPort));
  out.ready = TRY(ReadReady(TRY(json.Object("ready"))));
  out.live = TRY(ReadLive(TRY(json.Object("live"))));
  out.limits = TRY(ReadLimits(TRY(json.Object("limits"))));
  out.scratch = TRY(json.List<ResolvedScratch>("scratch", ReadScratch));
  out.capabilities = TRY(json.Texts("capabilities", IsCapability));
  out.volumes = TRY(json.List<ResolvedVolume>("volumes", ReadVolume));
  if ((out.kind == Kind::kStateful) == out.volumes.empty())
    return json.Bad("volumes", "volumes of a stateful service, and of no other");
  out.stop_signal = TRY(json.Text("stop_signal", OrEmpty<IsSignal>));
  out.grace = TRY(json.Ms("grace_ms"));
  out.drain = TRY(json.Ms("drain_ms"));
  return out;
}

Result<ResolvedService> ReadService(const Reading& json) {
  ResolvedService out = TRY(ReadIdentity(json));
  out.replicas = static_cast<uint32_t>(TRY(json.Int("replicas", 0, 1000)));
  out.rollout = TRY(ReadRollout(TRY(json.Object("rollout"))));
  // Two at once would have one volume.
  const ResolvedRollout& rollout = out.rollout;
  const bool by_one = rollout.strategy == Strategy::kRolling && rollout.batch == 1 && rollout.surge == 0;
  if (out.kind == Kind::kStateful && !by_one)
    return json.Bad("rollout", "a stateful service to roll by one, without a surge");
  for (const std::string& name : rollout.snapshot)
    if (std::none_of(out.volumes.begin(), out.volumes.end(),
                     [&](const ResolvedVolume& volume) { return volume.name == name; }))
      return json.Bad("rollout", "snapshots of its own volumes");
  if (json.IsObject("scale")) out.scale = TRY(ReadScale(TRY(json.Object("scale"))));
  if (!json.Has("max_age_ms")) return out;
  out.max_age = TRY(json.Ms("max_age_ms"));
  if (out.max_age < kLeastMaxAge || out.kind == Kind::kStateful)
    return json.Bad("max_age_ms", "10 s or more");
  return out;
}

Result<ResolvedJob> ReadJob(const Reading& json) {
  ResolvedJob job;
  job.instance = TRY(ReadIdentity(json));
  if (job.instance.kind != Kind::kWorker || !job.instance.ports.empty())
    return json.Bad("kind", "a worker without a port");
  job.schedule = TRY(json.Text("schedule", OrEmpty<IsCron>));
  if (json.Has("on")) {
    job.migrates = TRY(json.OneOf<bool>("on", {{"release", false}, {"migration", true}}));
    job.on_release = !job.migrates;
  }
  job.concurrency = TRY(json.OneOf<Concurrency>("concurrency", {{"forbid", Concurrency::kForbid},
                                                                {"allow", Concurrency::kAllow},
                                                                {"replace", Concurrency::kReplace}}));
  job.timeout = TRY(json.Ms("timeout_ms"));
  job.retries = static_cast<uint32_t>(TRY(json.Int("retries", 0, 100)));
  job.artifacts = TRY(json.Texts("artifacts", IsAbsolutePath));
  for (const std::string& path : job.artifacts)
    if (std::none_of(job.instance.scratch.begin(), job.instance.scratch.end(),
                     [&](const ResolvedScratch& scratch) { return scratch.path == path; }))
      return json.Bad("artifacts", "paths of its scratch");
  return job;
}

Result<ResolvedRoute> ReadRoute(const Reading& json) {
  ResolvedRoute route;
  if (json.Has("listen")) {
    route.listen = TRY(json.Text("listen"));
    const Result<Listener> listener = Listener::Parse(route.listen);
    if (!listener || listener->Render() != route.listen)
      return json.Bad("listen", "a listener such as \":8000\"");
    route.listen_address = listener->address;
    route.listen_port = listener->port;
  } else {
    route.host = TRY(json.Text("host", [](std::string_view text) {
      return IsHostName(text.starts_with("*.") ? text.substr(2) : text);
    }));
    route.path = TRY(json.Text("path", IsHttpPath));
  }
  route.service = TRY(json.Text("service", IsName));
  route.port = TRY(json.Port("port"));
  route.protocol = TRY(ReadProtocol(json));
  route.tls = TRY(json.Bool("tls"));
  if (!json.Has("outside")) return route;
  const Reading outside = TRY(json.Object("outside"));
  if (route.protocol != Protocol::kHttp) return json.Bad("outside", "none beside tcp");
  route.outside = {TRY(outside.Text("host", IsOutsideHost)), TRY(outside.Port("port")),
                   static_cast<uint32_t>(TRY(outside.Int("percent", 0, 100)))};
  return route;
}

Result<ResolvedEndpoint> ReadEndpoint(const Reading& json) {
  ResolvedEndpoint endpoint;
  endpoint.name = TRY(json.Text("name", IsName));
  endpoint.url = TRY(json.Text("url"));
  const Result<EndpointUrl> url = EndpointUrl::Parse(endpoint.url);
  if (!url) return json.Bad("url", "a URL");
  endpoint.host = url->host;
  endpoint.port = url->port;
  endpoint.tls = url->tls;
  endpoint.check_tcp = TRY(json.OneOf<bool>("check", {{"none", false}, {"tcp", true}}));
  return endpoint;
}

Result<ResolvedNotify> ReadNotify(const Reading& json) {
  ResolvedNotify notify;
  notify.on =
      TRY(json.Texts("on", [](std::string_view text) { return text == "drift" || IsEventName(text); }));
  if (json.Has("webhook")) {
    notify.webhook = TRY(json.Text("webhook"));
    const Result<EndpointUrl> url = EndpointUrl::Parse(notify.webhook);
    if (!url || (url->scheme != "http" && url->scheme != "https"))
      return json.Bad("webhook", "a URL of http or https");
  } else {
    notify.command = TRY(json.Texts("command"));
    if (notify.command.empty()) return json.Bad("command", "a program");
  }
  if (json.Has("secret")) {
    const auto secret = TRY(json.Map("secret", IsSecretName));
    if (secret.size() != 1) return json.Bad("secret", "one name with its version");
    notify.secret = secret.begin()->first;
    notify.secret_version = secret.begin()->second;
  }
  return notify;
}

Result<migrate::Script> ReadScript(const Reading& json) {
  migrate::Script script;
  script.file = TRY(json.Text("file"));
  // Its name says the rest, and has to.
  const auto named = migrate::ParseScriptName(script.file.substr(script.file.rfind('/') + 1));
  if (!named) return json.Bad("file", "the path of NNN_name.sql");
  script.version = static_cast<uint64_t>(TRY(json.Int("version", 1, INT64_MAX)));
  script.name = TRY(json.Text("name"));
  script.stage = TRY(json.OneOf<migrate::Stage>(
      "stage", {{"expand", migrate::Stage::kExpand}, {"contract", migrate::Stage::kContract}}));
  script.checksum = TRY(json.Text("checksum", [](std::string_view text) {
    return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  }));
  if (named->version != script.version || named->name != script.name || named->stage != script.stage)
    return json.Bad("file", "the name of the same version, name and stage");
  return script;
}

Result<ResolvedMigration> ReadMigration(const Reading& json) {
  ResolvedMigration migration;
  migration.name = TRY(json.Text("name", IsName));
  migration.url = TRY(json.Text("url"));
  const Result<EndpointUrl> url = EndpointUrl::Parse(migration.url);
  if (!url || (url->scheme != "postgres" && url->scheme != "postgresql" && url->scheme != "sqlite"))
    return json.Bad("url", "a URL of postgres or sqlite");
  if (json.Has("secret")) {
    const auto secret = TRY(json.Map("secret", IsSecretName));
    if (secret.size() != 1) return json.Bad("secret", "one name with its version");
    migration.secret = secret.begin()->first;
    migration.secret_version = secret.begin()->second;
  }
  migration.scripts = TRY(json.List<migrate::Script>("scripts", ReadScript));
  for (size_t i = 1; i < migration.scripts.size(); ++i)
    if (migration.scripts[i - 1].version >= migration.scripts[i].version)
      return json.Bad("scripts", "scripts in the order of their versions");
  return migration;
}

// What the parts promise each other.
Result<void> CheckReferences(const Resolved& resolved) {
  std::map<std::string_view, const ResolvedService*> services;
  for (const ResolvedService& service : resolved.services) services[service.name] = &service;
  if (services.size() != resolved.services.size())
    return Error(Code::kInvalid, "services: expected each name once");
  const auto check_uses = [&](const std::string& path, const ResolvedService& asker) -> Result<void> {
    for (const ResolvedUse& use : asker.uses) {
      const auto used = services.find(use.name);
      if (!use.endpoint && (used == services.end() || used->second->ports != use.ports))
        return Error(Code::kInvalid,
                     path + asker.name + ".uses: expected the ports of a service, not " + Quoted(use.name));
    }
    return {};
  };
  for (const ResolvedService& service : resolved.services) TRY(check_uses("services.", service));
  std::set<std::string_view> volumes;
  for (const ResolvedService& service : resolved.services)
    for (const ResolvedVolume& volume : service.volumes)
      if (!volumes.insert(volume.name).second)
        return Error(Code::kInvalid, "services." + service.name +
                                         ".volumes: expected each volume once, not a second " +
                                         Quoted(volume.name));
  std::set<std::string_view> jobs;
  for (const ResolvedJob& job : resolved.jobs) {
    TRY(check_uses("jobs.", job.instance));
    if (services.contains(job.instance.name) || !jobs.insert(job.instance.name).second)
      return Error(Code::kInvalid, "jobs: expected each name once, and none of a service");
  }
  for (const ResolvedRoute& route : resolved.routes) {
    const auto target = services.find(route.service);
    const bool found = target != services.end() &&
                       std::any_of(target->second->ports.begin(), target->second->ports.end(),
                                   [&](const ResolvedPort& port) { return port.number == route.port; });
    if (!found)
      return Error(Code::kInvalid, "routes: expected a port of a service, not " + Quoted(route.service));
  }
  return {};
}

}  // namespace

Result<Resolved> ResolvedFromJson(const Json& document) {
  const Reading json = TRY(Reading::Of(document, ""));
  const int64_t version = TRY(json.Int("version", 1, INT32_MAX));
  if (version != 1)
    return Error(Code::kUnsupported,
                 "a resolved definition of version " + std::to_string(version) +
                     "; this Ingot reads version 1, so use the same version on both ends");
  Resolved out;
  out.project = TRY(json.Text("project", IsName));
  out.environment = TRY(json.Text("environment", IsName));
  out.commit = TRY(json.Text("commit"));
  out.dirty = TRY(json.Bool("dirty"));
  if (document.as_object().contains("notify"))
    out.notify = TRY(json.List<ResolvedNotify>("notify", ReadNotify));
  if (document.as_object().contains("migrations"))
    out.migrations = TRY(json.List<ResolvedMigration>("migrations", ReadMigration));
  if (const Json* rules = document.as_object().if_contains("rules"); rules != nullptr)
    out.rules = TRY(RulesFromJson(*rules));
  if (document.as_object().contains("promote_from"))
    out.promote_from = TRY(json.Text("promote_from", IsName));
  out.services = TRY(json.List<ResolvedService>("services", ReadService));
  if (document.as_object().contains("jobs")) out.jobs = TRY(json.List<ResolvedJob>("jobs", ReadJob));
  out.routes = TRY(json.List<ResolvedRoute>("routes", ReadRoute));
  out.endpoints = TRY(json.List<ResolvedEndpoint>("endpoints", ReadEndpoint));
  TRY(CheckReferences(out));
  // A member that this version does not know would be lost on the way, and with it what somebody meant by it.
  if (RenderCanonical(ToJson(out)) != RenderCanonical(document))
    return Error(Code::kInvalid, "a resolved definition with members that version 1 does not have");
  return out;
}

Result<ResolvedMigration> MigrationFromJson(const Json& json) {
  return ReadMigration(TRY(Reading::Of(json, "migration")));
}

Result<ResolvedScale> ScaleFromJson(const Json& json) {
  return ReadScale(TRY(Reading::Of(json, "scale")));
}

Result<ResolvedNotify> NotifyFromJson(const Json& json) {
  return ReadNotify(TRY(Reading::Of(json, "notify")));
}

}  // namespace ingot::definition
