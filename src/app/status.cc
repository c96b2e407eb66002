#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "app/daemon_client.h"
#include "app/lost_things.h"
#include "app/project.h"
#include "app/terminal.h"
#include "app/verbs.h"

namespace ingot::app {

namespace {

std::string State(const std::string& state) {
  if (state == "ready") return Paint(Colour::kGreen, state);
  if (state == "failed" || state == "unhealthy" || state == "exited") return Paint(Colour::kRed, state);
  return Paint(Colour::kYellow, state);
}

const JsonArray& List(const JsonObject& object, std::string_view key) {
  static const JsonArray none;
  const Json* value = object.if_contains(key);
  return value != nullptr && value->is_array() ? value->get_array() : none;
}

std::string Count(const JsonObject& object, std::string_view key) {
  const Json* value = object.if_contains(key);
  return value == nullptr || value->is_null() ? "?" : RenderJson(*value);
}

void ShowInstances(const JsonObject& fleet, const std::string& service, const std::string& role,
                   std::vector<std::vector<std::string>>& table) {
  for (const Json& item : List(fleet, "instances")) {
    if (!item.is_object()) continue;
    const JsonObject& instance = item.get_object();
    std::string age;
    if (auto started = ParseTime(StringOr(instance, "started", "")))
      age = RenderAge(*started, SystemClock().Now());
    const int64_t ready_after = IntOr(instance, "ready_after_ms", -1);
    std::string note = StringOr(instance, "reason", "");
    if (note.empty())
      for (const Json& volume : List(instance, "volumes"))
        if (volume.is_string()) note += (note.empty() ? "has " : ", ") + std::string(volume.get_string());
    const std::string as = role + (BoolOr(instance, "held", false) ? " spare" : "");
    table.push_back({service, StringOr(instance, "name", ""), as,
                     State(StringOr(instance, "state", "unknown")), age,
                     ready_after < 0 ? "" : RenderElapsed(static_cast<double>(ready_after)), note});
  }
}

// "web: 3 + 1 spare", and what is not as it shall be.
void ShowSpares(const JsonObject& service, const std::string& name) {
  const Json* found = service.if_contains("spares");
  if (found == nullptr || !found->is_object()) return;
  const JsonObject& spares = found->get_object();
  const std::string desired = Count(spares, "desired");
  const std::string ready = Count(spares, "ready");
  const std::string reason = StringOr(spares, "reason", "");
  std::string line =
      name + ": " + Count(service, "desired") + " + " + desired + (desired == "1" ? " spare" : " spares");
  if (ready != desired) line += ", of which " + ready + (ready == "1" ? " is ready" : " are ready");
  if (!reason.empty()) line += "; the last one " + reason;
  std::printf("%s\n", line.c_str());
}

// Whether any fleet of its own is still there. Members and workers, and what rolls, are never kept.
bool HasInstances(const JsonObject& status, int64_t revision) {
  const JsonArray fleets = List(status, "fleets");
  return std::any_of(fleets.begin(), fleets.end(), [&](const Json& item) {
    return item.is_object() && IntOr(item.get_object(), "revision", 0) == revision &&
           !List(item.get_object(), "instances").empty();
  });
}

void ShowEnvironment(const JsonObject& status) {
  const Json* active = status.if_contains("active");
  const bool deployed = active != nullptr && !active->is_null();
  std::printf(
      "%s  %s\n", Paint(Colour::kBold, StringOr(status, "environment", "")).c_str(),
      deployed ? ("serves " + Paint(Colour::kGreen, "r" + RenderJson(*active))).c_str() : "serves nothing");
  if (deployed && !BoolOr(status, "verified", true))
    std::printf("%s nobody has said that r%s does what it has to; `ingot rollout verify`\n",
                Paint(Colour::kYellow, "not verified:").c_str(), RenderJson(*active).c_str());
  for (const Json& problem : List(status, "problems"))
    if (problem.is_string())
      std::printf("%s %s\n", Paint(Colour::kRed, "problem:").c_str(), problem.get_string().c_str());
  if (const Json* rollout = status.if_contains("rollout"); rollout != nullptr && rollout->is_object()) {
    const JsonObject& fields = rollout->get_object();
    const std::string waits = StringOr(status, "waits_for", "");
    std::printf("rollout %lld to r%lld: %s%s\n", static_cast<long long>(IntOr(fields, "id", 0)),
                static_cast<long long>(IntOr(fields, "to", 0)), StringOr(fields, "phase", "").c_str(),
                waits.empty() ? "" : (", waits for " + waits).c_str());
  }
  // One that had switched may have been taken back after its client was told that it serves.
  if (const Json* last = status.if_contains("last"); last != nullptr && last->is_object())
    if (const JsonObject& fields = last->get_object(); StringOr(fields, "phase", "") == "reverted")
      std::printf("%s r%lld was taken back: %s\n", Paint(Colour::kYellow, "reverted:").c_str(),
                  static_cast<long long>(IntOr(fields, "to", 0)), StringOr(fields, "reason", "").c_str());
  for (const Json& item : List(status, "revisions")) {
    if (!item.is_object() || StringOr(item.get_object(), "role", "") != "warm") continue;
    const int64_t revision = IntOr(item.get_object(), "revision", 0);
    std::printf("r%lld is warm until %s: `ingot rollback` %s\n", static_cast<long long>(revision),
                StringOr(item.get_object(), "warm_until", "").c_str(),
                HasInstances(status, revision) ? "goes there at once" : "starts its instances again");
  }
  for (const Json& item : List(status, "routes")) {
    if (!item.is_object()) continue;
    const JsonObject& route = item.get_object();
    const std::string listen = StringOr(route, "listen", "");
    const bool http = StringOr(route, "protocol", "") == "http";
    const bool tls = BoolOr(route, "tls", false);
    const std::string scheme = http ? (tls ? "https://" : "http://") : (tls ? "tls " : "tcp ");
    const std::string at = listen.starts_with(":") ? "127.0.0.1" + listen : listen;
    std::string target = StringOr(route, "service", "");
    if (const Json* server = route.if_contains("outside"); server != nullptr && server->is_object())
      target += ", " + std::to_string(IntOr(server->get_object(), "percent", 0)) + " % to " +
                StringOr(server->get_object(), "address", "") + " (outside)";
    std::printf("%s%s → %s\n", scheme.c_str(),
                (listen.empty() ? StringOr(route, "host", "") + StringOr(route, "path", "") : at).c_str(),
                target.c_str());
  }
  std::vector<std::vector<std::string>> table = {
      {"SERVICE", "INSTANCE", "ROLE", "STATE", "AGE", "READY AFTER", ""}};
  for (const Json& item : List(status, "services")) {
    if (!item.is_object()) continue;
    const JsonObject& service = item.get_object();
    const std::string name = StringOr(service, "name", "");
    if (BoolOr(service, "degraded", false))
      std::printf("%s %s: %s of %s ready; %s\n", Paint(Colour::kRed, "degraded:").c_str(), name.c_str(),
                  Count(service, "ready").c_str(), Count(service, "desired").c_str(),
                  StringOr(service, "reason", "").c_str());
    if (const Json* scale = service.if_contains("scale"); scale != nullptr && scale->is_object())
      std::printf("%s\n", StringOr(scale->get_object(), "summary", "").c_str());
    ShowSpares(service, name);
    ShowInstances(service, name, "r" + Count(service, "revision"), table);
    if (List(service, "instances").empty())
      table.push_back(
          {name, "-", "r" + Count(service, "revision"), "0 of " + Count(service, "desired"), "", "", ""});
  }
  for (const Json& item : List(status, "fleets")) {
    if (!item.is_object()) continue;
    const JsonObject& fleet = item.get_object();
    ShowInstances(fleet, StringOr(fleet, "service", ""),
                  "r" + Count(fleet, "revision") + " " + StringOr(fleet, "role", ""), table);
  }
  if (table.size() > 1) std::fputs(("\n" + RenderTable(table)).c_str(), stdout);
}

int Status(Invocation& invocation, bool host) {
  DaemonClient client = host ? DaemonClient(invocation.layout()) : DaemonClient(invocation);
  Result<Json> answer = Error(Code::kInternal, "no answer");
  if (host) {
    answer = client.Call("GET", "/v1/environments");
  } else {
    auto project = ProjectName(invocation);
    if (!project) return Report(invocation, project.error());
    answer = client.Call("GET", EnvironmentPath(*project, invocation.environment));
  }
  if (!answer) return Report(invocation, answer.error());
  if (!answer->is_object())
    return Report(invocation, Error(Code::kInternal, "the daemon's status is not an object"));
  // Another host's store is that host's to look at.
  const auto remote = client.Remote();
  const bool elsewhere = remote && *remote != nullptr;
  const auto lost = elsewhere ? Result<LostReport>(LostReport{}) : LookAtLost(invocation.layout());
  if (invocation.json) {
    answer->as_object()["lost"] = lost && !elsewhere ? ToJson(*lost) : Json(nullptr);
    PrintJson(*answer);
    return kDone;
  }
  if (!lost)
    std::printf("%s whether the store has lost anything: %s\n", Paint(Colour::kYellow, "unknown:").c_str(),
                lost.error().Render().c_str());
  if (lost && !lost->things.empty())
    std::printf("%s; `ingot verify --repair` looks for other copies\n%s",
                Paint(Colour::kRed, "the store has lost").c_str(), RenderLost(*lost).c_str());
  if (!host) {
    ShowEnvironment(answer->get_object());
    return kDone;
  }
  const JsonArray& environments = List(answer->get_object(), "environments");
  if (environments.empty()) std::puts("nothing is deployed on this host");
  for (const Json& environment : environments)
    if (environment.is_object()) ShowEnvironment(environment.get_object());
  return kDone;
}

}  // namespace

void AddStatus(CLI::App& app, Invocation& invocation) {
  auto host = std::make_shared<bool>(false);
  CLI::App* verb = AddVerb(app, invocation, "status", "what serves, what is warm, what is going on",
                           [&invocation, host] { return Status(invocation, *host); });
  AddProjectOptions(*verb, invocation);
  verb->add_flag("--host", *host, "every environment on this host");
}

int ShowStatus(Invocation& invocation) {
  std::error_code ec;
  return Status(invocation, !fs::exists(invocation.file, ec));
}

}  // namespace ingot::app
