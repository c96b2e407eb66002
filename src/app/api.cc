#include "app/api.h"

#include <unistd.h>

#include <charconv>

#include "app/daemon_client.h"
#include "app/outside_view.h"
#include "app/permit.h"
#include "app/version.h"
#include "base/utf8.h"

namespace ingot::app {

namespace {

int StatusFor(Code code) {
  switch (code) {
    case Code::kInvalid:
      return 400;
    case Code::kPermission:
    case Code::kRefused:
      return 403;
    case Code::kNotFound:
      return 404;
    case Code::kExists:
    case Code::kConflict:
      return 409;
    case Code::kUnsupported:
      return 501;
    case Code::kNoSpace:
      return 507;
    case Code::kTimeout:
      return 504;
    case Code::kUnavailable:
      return 503;
    default:
      return 500;
  }
}

std::vector<std::string> Split(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    if (path.front() == '/') {
      path.remove_prefix(1);
      continue;
    }
    const size_t end = std::min(path.find('/'), path.size());
    parts.emplace_back(path.substr(0, end));
    path.remove_prefix(end);
  }
  return parts;
}

Error NoSuch(const adapters::HttpRequest& request) {
  return Error(Code::kNotFound, "the API has no " + request.method + " " + request.path);
}

}  // namespace

Result<uint64_t> QueryNumber(const adapters::HttpRequest& request, const std::string& name,
                             uint64_t otherwise) {
  const auto found = request.query.find(name);
  if (found == request.query.end()) return otherwise;
  uint64_t value = 0;
  const char* end = found->second.data() + found->second.size();
  const auto [stop, error] = std::from_chars(found->second.data(), end, value);
  if (error != std::errc() || stop != end)
    return Error(Code::kInvalid, name + "=" + found->second + ": expected a whole number");
  return value;
}

Result<std::string> QueryText(const adapters::HttpRequest& request, const std::string& name) {
  constexpr size_t kMostBytes = 1'000;
  const auto found = request.query.find(name);
  if (found == request.query.end()) return std::string();
  if (!IsUtf8(found->second) || found->second.size() > kMostBytes)
    return Error(Code::kInvalid,
                 name + ": expected text in UTF-8 of at most " + std::to_string(kMostBytes) + " bytes");
  return found->second;
}

bool QueryFlag(const adapters::HttpRequest& request, const std::string& name) {
  const auto found = request.query.find(name);
  return found != request.query.end() && found->second != "false" && found->second != "0";
}

bool Api::StreamsBody(const Request& request) {
  const std::vector<std::string> path = Split(request.path);
  return request.method == "POST" && path.size() == 6 && path[0] == "v1" && path[1] == "projects" &&
         path[3] == "environments" && (path[5] == "images" || path[5] == "builds");
}

void Api::Handle(const Request& request, Reply& reply) {
  bool streamed = false;
  auto answer = Route(request, reply, streamed);
  if (streamed) {
    // A stream that broke ends with the reason: without an end its client would wait for ever. Both writes
    // fail when it was the client that went.
    if (answer) return;
    if (reply.Write(RenderJson(ErrorToJson(answer.error())) + "\n"))
      static_cast<void>(reply.End().has_value());
    return;
  }
  const int status = answer ? 200 : StatusFor(answer.error().code());
  const Json body = answer ? std::move(answer).value() : ErrorToJson(answer.error());
  static_cast<void>(reply.Send(status, "application/json", RenderJson(body) + "\n").has_value());
}

Result<Json> Api::Route(const Request& request, Reply& reply, bool& streamed) {
  const std::vector<std::string> path = Split(request.path);
  if (path.empty() || path[0] != "v1")
    return Error(Code::kNotFound, "this daemon speaks version 1 of the API, below /v1");
  if (path.size() >= 5 && path.size() <= 7 && path[1] == "projects" && path[3] == "environments") {
    const Environment environment = TRY(Environment::Parse(path[2] + "/" + path[4]));
    return InEnvironment(request, reply, environment, path.size() > 5 ? path[5] : "",
                         path.size() > 6 ? path[6] : "", streamed);
  }
  return Host(request, reply, path, streamed);
}

Result<Json> Api::Host(const Request& request, Reply& reply, const std::vector<std::string>& path,
                       bool& streamed) {
  const std::string what = path.size() == 2 || (path.size() == 3 && path[1] == "tokens") ? path[1] : "";
  if (!request.peer.root && what != "version")
    return Error(Code::kPermission, "what concerns the whole host is for root alone");
  if (request.method == "GET" && what == "version")
    return Json(
        JsonObject{{"version", kVersion}, {"api", 1}, {"pid", ::getpid()}, {"you", request.peer.name}});
  if (what == "tokens") return Tokens(request, path.size() == 3 ? path[2] : "");
  if (request.method == "GET" && what == "environments") {
    JsonArray environments = TRY(daemon_.Ask([](rollout::Controller& controller) -> Result<JsonArray> {
      JsonArray all;
      for (const Environment& environment : controller.Environments())
        all.push_back(TRY(controller.Status(environment)));
      return all;
    }));
    for (Json& status : environments)
      AddOutsideView(status, request,
                     TRY(Environment::Parse(StringOr(status.get_object(), "environment", ""))));
    return Json(JsonObject{{"environments", std::move(environments)}});
  }
  if (request.method == "GET" && what == "events") {
    TRY(StreamEvents(request, reply, "", streamed));
    return Json(nullptr);
  }
  if (request.method == "POST" && what == "rotate-secrets-key") return RotateSecretsKey(request);
  if (request.method == "DELETE" && what == "host") {
    const bool busy = daemon_.AskJobs([](jobs::Controller& jobs, rollout::Controller& controller) {
      for (const Environment& environment : controller.Environments())
        if (const auto* state = controller.State(environment);
            state != nullptr && (state->active || state->rollout || !jobs.OpenRuns(environment).empty()))
          return true;
      return false;
    });
    if (busy)
      return Error(Code::kRefused, "there are environments that still run; `ingot destroy` them first");
    shut_down_();
    return Json(JsonObject{{"shutting_down", true}});
  }
  return NoSuch(request);
}

Result<void> Api::Permitted(const Request& request, const Environment& environment, const std::string& what) {
  if (request.peer.root) return {};
  return daemon_.Ask([&](rollout::Controller& controller) {
    const rollout::EnvironmentState* state = controller.State(environment);
    const bool deployed = state != nullptr && state->active;
    return Permit(request, environment.Render(), what, deployed ? &state->rules : nullptr);
  });
}

Result<Json> Api::StatusOf(const Request& request, const Environment& environment) {
  Json status =
      TRY(daemon_.Ask([&](rollout::Controller& controller) { return controller.Status(environment); }));
  AddOutsideView(status, request, environment);
  return status;
}

void Api::AddOutsideView(Json& status, const Request& request, const Environment& environment) {
  const WallTime now = SystemClock().Now();
  AddOutsideServers(status, daemon_.router().ServersOf(environment));
  AddCertificates(status, daemon_.issued(), now);
  AddHostCertificates(status, certificates_.Look(), now, request.peer.root);
}

Result<Json> Api::InEnvironment(const Request& request, Reply& reply, const Environment& environment,
                                const std::string& what, const std::string& name, bool& streamed) {
  const std::string& method = request.method;
  TRY(Permitted(request, environment, what));
  if (method == "GET" && what.empty()) return StatusOf(request, environment);
  if (method == "DELETE" && what.empty()) return DestroyEnvironment(request, environment);
  if (method == "GET" && what == "history")
    return daemon_.Ask([&](rollout::Controller& controller) { return controller.History(environment); });
  if (method == "GET" && what == "events") {
    TRY(StreamEvents(request, reply, environment.Render(), streamed));
    return Json(nullptr);
  }
  if (method == "GET" && what == "logs" && request.query.contains("run")) {
    TRY(StreamRunLogs(request, reply, environment, TRY(QueryNumber(request, "run", 0)), streamed));
    return Json(nullptr);
  }
  if (what == "volumes") return VolumeVerbs(request, environment, name);
  if (method == "GET" && what == "jobs" && name.empty()) return Jobs(environment);
  if (method == "POST" && what == "jobs" && !name.empty()) return StartRun(request, environment, name);
  if (method == "GET" && what == "runs" && name.empty()) return Runs(request, environment);
  if ((what == "runs" || what == "artifacts") && !name.empty()) {
    Request numbered = request;
    numbered.query["id"] = name;
    const uint64_t run = TRY(QueryNumber(numbered, "id", 0));
    if (method == "GET" && what == "runs") return OneRun(request, environment, run);
    if (method == "DELETE" && what == "runs") return CancelRun(request, environment, run);
    if (method == "GET") return Artifacts(request, reply, environment, run, streamed);
  }
  if (method == "GET" && what == "logs") {
    TRY(StreamLogs(request, reply, environment, streamed));
    return Json(nullptr);
  }
  if (what == "secrets") return SecretVerbs(request, environment, name);
  if (method == "POST" && what == "images" && name == "lacking") return LackingImages(request);
  if (method == "POST" && what == "objects" && name == "lacking") return LackingObjects(request);
  if (method == "POST" && what == "images" && name.empty()) return ReceiveImages(request, environment);
  if (method == "POST" && what == "images" && name == "describe") return DescribeImage(request, environment);
  if (method == "POST" && what == "images" && (name == "tree" || name == "blob" || name == "read")) {
    TRY(ReadImage(request, reply, environment, name, streamed));
    return Json(nullptr);
  }
  if (method == "GET" && what == "channels" && name.empty()) return Channels(environment);
  if (method == "POST" && what == "promotions" && name.empty()) return Promote(request, environment);
  if (method == "POST" && what == "builds" && name.empty()) {
    TRY(BuildHere(request, reply, environment, streamed));
    return Json(nullptr);
  }
  if (method == "PUT" && what == "scripts" && !name.empty()) return PutScript(request, name);
  if (method == "POST" && what == "migrations" && name == "status")
    return MigrationStatus(request, environment);
  if (method == "POST" && what == "migrations" && name == "run") return RunMigrations(request, environment);
  if (method == "POST" && what == "plan") return Plan(request, environment);
  if (method == "POST" && what == "rollouts" && name.empty())
    return Apply(request, reply, environment, streamed);
  if (method == "GET" && what == "rollouts" && !name.empty()) {
    Request numbered = request;
    numbered.query["id"] = name;
    const uint64_t id = TRY(QueryNumber(numbered, "id", 0));
    return daemon_.Ask([&](rollout::Controller& controller) -> Result<Json> {
      return rollout::ToJson(TRY(controller.FindRollout(environment, id)));
    });
  }
  if (method == "POST" && what == "abort")
    return Change({environment, request.peer.name, rollout::Abort{}}, request, reply, streamed);
  if (method == "POST" && what == "pause")
    return Change({environment, request.peer.name, rollout::Pause{}}, request, reply, streamed);
  if (method == "POST" && what == "resume")
    return Change({environment, request.peer.name, rollout::Resume{}}, request, reply, streamed);
  if (method == "POST" && what == "advance")
    return Change({environment, request.peer.name, rollout::Advance{}}, request, reply, streamed);
  if (method == "POST" && what == "approve") {
    rollout::Approve approve{UserOf(request.peer), TRY(QueryText(request, "note")), {}, {}};
    if (request.query.contains("rollout")) approve.rollout = TRY(QueryNumber(request, "rollout", 0));
    if (request.query.contains("step"))
      approve.step = static_cast<uint32_t>(TRY(QueryNumber(request, "step", 0)));
    return Change({environment, request.peer.name, std::move(approve)}, request, reply, streamed);
  }
  if (method == "GET" && what == "rollout")
    return daemon_.Ask(
        [&](rollout::Controller& controller) { return controller.RolloutStatus(environment); });
  if (method == "POST" && what == "rollback") {
    rollout::Rollback rollback;
    if (const uint64_t to = TRY(QueryNumber(request, "to", 0)); to != 0) rollback.to = to;
    if (const uint64_t from = TRY(QueryNumber(request, "from", 0)); from != 0) rollback.from = from;
    rollback.reason = TRY(QueryText(request, "reason"));
    return Change({environment, request.peer.name, rollback}, request, reply, streamed);
  }
  if (method == "POST" && what == "verified")
    return Change(
        {environment, request.peer.name, rollout::Verified{TRY(QueryNumber(request, "revision", 0))}},
        request, reply, streamed);
  if (method == "POST" && what == "scale" && !name.empty()) {
    const uint64_t replicas = TRY(QueryNumber(request, "replicas", UINT64_MAX));
    if (replicas > rollout::kMaxReplicas)
      return Error(Code::kInvalid, "replicas: expected 0 to " + std::to_string(rollout::kMaxReplicas));
    return Change({environment, request.peer.name, rollout::Scale{name, static_cast<uint32_t>(replicas)}},
                  request, reply, streamed);
  }
  return NoSuch(request);
}

}  // namespace ingot::app
