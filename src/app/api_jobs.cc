// The part of the API about jobs and their runs.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "app/api.h"
#include "app/log_files.h"
#include "definition/cron.h"
#include "definition/scalars.h"

namespace ingot::app {

namespace {

constexpr auto kLongestRunWait = std::chrono::hours(24);
constexpr auto kRunWaitStep = std::chrono::milliseconds(500);
constexpr auto kRunLogPoll = std::chrono::milliseconds(20);
constexpr size_t kMostArguments = 1'000;
constexpr size_t kListed = 1'000;
constexpr size_t kPiece = size_t{4} << 20;
constexpr size_t kAboutLimit = 1 << 20;

// As the API tells it: what runs is said by the revision.
Json Shown(const jobs::Run& run) {
  JsonObject out = jobs::ToJson(run).as_object();
  JsonArray arguments;
  for (const std::string& argument : run.spec.arguments) arguments.emplace_back(argument);
  out.erase("spec");
  out["environment"] = run.spec.id.environment().Render();
  out["image"] = run.spec.image.Render();
  out["arguments"] = std::move(arguments);
  return out;
}

Result<jobs::StartRequest> ReadStart(const std::string& body) {
  jobs::StartRequest out;
  if (body.empty()) return out;
  const Json json = TRY(ParseJson(body));
  if (!json.is_object()) return Error(Code::kInvalid, "expected an object with arguments and environment");
  for (const auto& member : json.get_object()) {
    if (member.key() == "arguments") {
      const JsonArray* list = member.value().if_array();
      if (list == nullptr || list->size() > kMostArguments)
        return Error(Code::kInvalid, "arguments: expected at most 1000 strings");
      for (const Json& item : *list) {
        if (!item.is_string() || std::string_view(item.get_string()).find('\0') != std::string_view::npos)
          return Error(Code::kInvalid, "arguments: expected strings");
        out.arguments.emplace_back(item.get_string());
      }
    } else if (member.key() == "environment" && member.value().is_object()) {
      for (const auto& variable : member.value().get_object()) {
        if (!definition::IsEnvironmentKey(variable.key()) || !variable.value().is_string() ||
            std::string_view(variable.value().get_string()).find('\0') != std::string_view::npos)
          return Error(Code::kInvalid, "environment: expected names with string values");
        out.environment[std::string(variable.key())] = std::string(variable.value().get_string());
      }
    } else {
      return Error(Code::kInvalid, "expected arguments and environment, not " + std::string(member.key()));
    }
  }
  return out;
}

// Below a run's artifacts; nothing there is a symbolic link, and none is followed.
Result<Fd> OpenBelow(const fs::path& directory, const std::string& path) {
  Fd at = TRY(OpenFile(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  for (const fs::path& part : fs::path(path).relative_path()) {
    if (part.empty() || part == ".." || part == ".")
      return Error(Code::kInvalid, "path: expected one as the list of artifacts has it");
    Fd next(::openat(at.get(), part.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!next.valid()) return Error(Code::kNotFound, "there is no artifact " + path);
    at = std::move(next);
  }
  return at;
}

}  // namespace

Result<Json> Api::Jobs(const Environment& environment) {
  return daemon_.AskJobs([&](jobs::Controller& controller, rollout::Controller& rollouts) -> Result<Json> {
    const auto active = rollouts.Active(environment);
    if (!active)
      return Error(Code::kNotFound,
                   "nothing serves in " + environment.Render() + "; run `ingot apply` first");
    const WallTime now = SystemClock().Now();
    JsonArray out;
    for (const plan::Job& job : active->revision.jobs) {
      const std::string& name = job.spec.id.service();
      Json next(nullptr);
      if (const auto times = definition::CronTimes::Parse(job.schedule))
        if (const auto at = times->Next(now)) next = RenderTime(*at);
      Json last(nullptr);
      for (const jobs::Run& run : TRY(controller.List(environment, name, 1))) last = Shown(run);
      out.push_back(JsonObject{{"job", name},
                               {"revision", active->revision.number},
                               {"image", job.spec.image.Render()},
                               {"schedule", job.schedule},
                               {"on", job.on_release ? Json("release")
                                      : job.migrates ? Json("migration")
                                                     : Json(nullptr)},
                               {"next", std::move(next)},
                               {"concurrency", definition::NameOf(job.concurrency)},
                               {"timeout_ms", job.timeout.count()},
                               {"retries", job.retries},
                               {"last", std::move(last)}});
    }
    JsonArray runs;
    for (const jobs::Run& run : controller.OpenRuns(environment)) runs.push_back(Shown(run));
    return Json(JsonObject{{"version", 1}, {"jobs", std::move(out)}, {"open", std::move(runs)}});
  });
}

Result<Json> Api::StartRun(const Request& request, const Environment& environment, const std::string& job) {
  jobs::StartRequest start = TRY(ReadStart(request.body));
  start.job = job;
  start.actor = request.peer.name;
  return daemon_.ActOnJobs([&](jobs::Controller& controller, rollout::Controller& rollouts) -> Result<Json> {
    const rollout::EnvironmentState* state = rollouts.State(environment);
    if (state == nullptr || !state->active || state->destroying)
      return Error(Code::kNotFound, "nothing serves in " + environment.Render() +
                                        ", so it has no jobs; run `ingot apply` first");
    return Shown(TRY(controller.Start(environment, state->RevisionOf(*state->active), start)));
  });
}

Result<Json> Api::Runs(const Request& request, const Environment& environment) {
  const auto job = request.query.find("job");
  const uint64_t limit = std::min<uint64_t>(TRY(QueryNumber(request, "limit", 100)), kListed);
  return daemon_.AskJobs([&](jobs::Controller& controller, rollout::Controller&) -> Result<Json> {
    JsonArray runs;
    for (const jobs::Run& run :
         TRY(controller.List(environment, job == request.query.end() ? "" : job->second, limit)))
      runs.push_back(Shown(run));
    return Json(JsonObject{{"version", 1}, {"runs", std::move(runs)}});
  });
}

Result<jobs::Run> Api::FindRun(const Environment& environment, uint64_t run) {
  return daemon_.AskJobs(
      [&](jobs::Controller& controller, rollout::Controller&) { return controller.Find(environment, run); });
}

Result<jobs::Run> Api::WaitForRun(const Environment& environment, uint64_t run) {
  const auto deadline = std::chrono::steady_clock::now() + kLongestRunWait;
  uint64_t seen = 0;
  while (std::chrono::steady_clock::now() < deadline) {
    jobs::Run found = TRY(FindRun(environment, run));
    if (!found.open()) return found;
    seen = daemon_.WaitForChange(seen, kRunWaitStep);
  }
  return Error(Code::kTimeout, "run " + std::to_string(run) + " goes on; `ingot job status` shows it");
}

Result<Json> Api::OneRun(const Request& request, const Environment& environment, uint64_t run) {
  return Shown(TRY(QueryFlag(request, "wait") ? WaitForRun(environment, run) : FindRun(environment, run)));
}

Result<Json> Api::CancelRun(const Request& request, const Environment& environment, uint64_t run) {
  const jobs::Run cancelled = TRY(daemon_.ActOnJobs([&](jobs::Controller& controller, rollout::Controller&) {
    return controller.Cancel(environment, run, request.peer.name);
  }));
  return Shown(QueryFlag(request, "wait") ? TRY(WaitForRun(environment, run)) : cancelled);
}

Result<void> Api::StreamRunLogs(const Request& request, Reply& reply, const Environment& environment,
                                uint64_t run, bool& streamed) {
  jobs::Run found = TRY(FindRun(environment, run));
  const bool follow = QueryFlag(request, "follow");
  streamed = true;
  TRY(reply.Begin(200, "application/jsonl"));
  LogReader reader(daemon_.layout().logs(), {.environment = environment, .only = {{}}});
  while (true) {
    // Before reading: what an ended run has written is there.
    const bool ended = !found.open();
    for (const uint64_t ordinal : found.instances) reader.Add({found.spec.id, ordinal});
    const std::vector<LogLine> lines = TRY(reader.Next());
    for (const LogLine& line : lines) TRY(reply.Write(RenderJson(ToJson(line)) + "\n"));
    if (lines.empty() && (ended || !follow)) return reply.End();
    if (reply.Gone()) return {};
    if (lines.empty()) std::this_thread::sleep_for(kRunLogPoll);
    found = TRY(FindRun(environment, run));
  }
}

Result<Json> Api::Artifacts(const Request& request, Reply& reply, const Environment& environment,
                            uint64_t run, bool& streamed) {
  const jobs::Run found = TRY(FindRun(environment, run));
  if (found.open())
    return Error(Code::kConflict,
                 "run " + std::to_string(run) + " goes on; its artifacts are copied at its end");
  if (found.instances.empty())
    return Error(Code::kNotFound, "run " + std::to_string(run) + " never began, so it has no artifacts");
  const std::string name = found.instance().FileName();
  const fs::path directory = daemon_.layout().artifacts() / name;
  auto about = ReadFile(directory.string() + ".json", kAboutLimit);
  if (!about && about.error().code() == Code::kNotFound)
    return Error(Code::kNotFound, "nothing was kept of run " + std::to_string(run) +
                                      (std::any_of(found.spec.scratch.begin(), found.spec.scratch.end(),
                                                   [](const auto& scratch) { return scratch.kept; })
                                           ? "; whether it left anything is not known"
                                           : ": its job declares no artifacts"));
  if (!about) return std::move(about).error();
  const auto path = request.query.find("path");
  if (path != request.query.end()) {
    Fd file = TRY(OpenBelow(directory, path->second));
    const uint64_t offset = TRY(QueryNumber(request, "offset", 0));
    std::string piece(kPiece, '\0');
    size_t got = 0;
    while (got < piece.size()) {
      const ssize_t n =
          ::pread(file.get(), piece.data() + got, piece.size() - got, static_cast<off_t>(offset + got));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, "read the artifact " + path->second);
      if (n == 0) break;
      got += static_cast<size_t>(n);
    }
    piece.resize(got);
    streamed = true;
    TRY(reply.Send(200, "application/octet-stream", piece));
    return Json(nullptr);
  }
  JsonObject out{{"version", 1}, {"run", run}, {"about", TRY(ParseJson(*about))}};
  JsonArray files;
  std::error_code failed;
  for (fs::recursive_directory_iterator it(directory, failed), end; !failed && it != end;
       it.increment(failed))
    if (it->is_regular_file(failed))
      files.push_back(JsonObject{{"path", "/" + fs::relative(it->path(), directory, failed).string()},
                                 {"size_bytes", it->file_size(failed)}});
  if (failed && failed != std::errc::no_such_file_or_directory)
    return Error(Code::kIo,
                 "cannot list the artifacts of run " + std::to_string(run) + ": " + failed.message());
  out["files"] = std::move(files);
  return Json(std::move(out));
}

}  // namespace ingot::app
