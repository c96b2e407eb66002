// ingot job: runs of the jobs of an environment.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "app/daemon_client.h"
#include "app/job_artifacts.h"
#include "app/project.h"
#include "app/terminal.h"
#include "app/verbs.h"

namespace ingot::app {

namespace {

// As timeout(1) and the shells have them; a command's own code is passed on.
constexpr int kRunTimedOut = 124;
constexpr int kCouldNotRun = 125;
constexpr int kRunCancelled = 130;

struct JobOptions {
  std::string job;
  uint64_t run = 0;
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  std::string directory;
  bool detach = false;
  bool follow = false;
  bool wait = false;
};

Result<std::string> RunTarget(const Invocation& invocation, const std::string& rest) {
  return EnvironmentPath(TRY(ProjectName(invocation)), invocation.environment, rest);
}

std::string RunPath(const char* what, uint64_t run) {
  return std::string("/") + what + "/" + std::to_string(run);
}

int ExitCodeOf(const JsonObject& run) {
  const std::string outcome = StringOr(run, "outcome", "");
  if (outcome == "succeeded") return kDone;
  if (outcome == "timed_out") return kRunTimedOut;
  if (outcome == "cancelled") return kRunCancelled;
  const int64_t code = IntOr(run, "exit_code", kCouldNotRun);
  return outcome == "failed" && code > 0 && code < 256 ? static_cast<int>(code) : kCouldNotRun;
}

std::string StateOf(const JsonObject& run) {
  const std::string phase = StringOr(run, "phase", "");
  const std::string outcome = StringOr(run, "outcome", "");
  if (phase != "ended") return phase;
  std::string out = outcome;
  if (outcome == "failed")
    if (const Json* code = run.if_contains("exit_code"); code != nullptr && !code->is_null())
      out += " (" + RenderJson(*code) + ")";
  return out;
}

Colour ColourOf(const JsonObject& run) {
  const std::string outcome = StringOr(run, "outcome", "");
  if (StringOr(run, "phase", "") != "ended") return Colour::kBlue;
  return outcome == "succeeded" ? Colour::kGreen : Colour::kRed;
}

void PrintRun(const JsonObject& run) {
  std::printf("run %lld of %s (r%lld) by %s: %s\n", static_cast<long long>(IntOr(run, "run", 0)),
              StringOr(run, "job", "").c_str(), static_cast<long long>(IntOr(run, "revision", 0)),
              StringOr(run, "actor", "").c_str(), Paint(ColourOf(run), StateOf(run)).c_str());
  const auto line = [&](const char* name, const std::string& value) {
    if (!value.empty()) std::printf("  %-10s %s\n", name, value.c_str());
  };
  line("due", StringOr(run, "due", ""));
  if (const int64_t rollout = IntOr(run, "rollout", 0); rollout > 0)
    line("release", "rollout " + std::to_string(rollout));
  line("created", StringOr(run, "created", ""));
  line("started", StringOr(run, "started", ""));
  line("ended", StringOr(run, "ended", ""));
  line("attempts", std::to_string(IntOr(run, "attempts", 0)));
  line("reason", StringOr(run, "reason", ""));
  if (StringOr(run, "phase", "") == "queued") line("not before", StringOr(run, "not_before", ""));
}

int ShowRun(const Invocation& invocation, const Result<Json>& answer) {
  return ShowAnswer(invocation, answer, PrintRun);
}

Result<void> StreamLogs(const Invocation& invocation, DaemonClient& client, uint64_t run, bool follow,
                        bool with_times) {
  const std::string target =
      TRY(RunTarget(invocation, "/logs?run=" + std::to_string(run) + (follow ? "&follow=1" : "")));
  return client.Stream("GET", target, "", [&](std::string_view line) {
    if (invocation.json) {
      std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
      return std::fflush(stdout) == 0;
    }
    auto json = ParseJson(line);
    if (!json || !json->is_object()) return true;
    const JsonObject& fields = json->get_object();
    FILE* to = StringOr(fields, "stream", "") == "stderr" ? stderr : stdout;
    if (with_times) std::fprintf(to, "%s ", Paint(Colour::kDim, StringOr(fields, "time", "")).c_str());
    std::fprintf(to, "%s\n", StringOr(fields, "text", "").c_str());
    return std::fflush(to) == 0;
  });
}

Result<Json> Begin(const Invocation& invocation, DaemonClient& client, const JobOptions& options) {
  JsonArray arguments;
  for (const std::string& argument : options.arguments) arguments.emplace_back(argument);
  JsonObject environment;
  for (const std::string& pair : options.environment) {
    const size_t equals = pair.find('=');
    if (equals == 0 || equals == std::string::npos)
      return Error(Code::kInvalid, "\"" + pair + "\": expected NAME=VALUE");
    environment[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  const Json body = JsonObject{{"arguments", std::move(arguments)}, {"environment", std::move(environment)}};
  return client.Call("POST", TRY(RunTarget(invocation, "/jobs/" + adapters::PercentEncode(options.job))),
                     &body);
}

int RunJob(Invocation& invocation, const JobOptions& options) {
  DaemonClient client(invocation);
  auto begun = Begin(invocation, client, options);
  if (!begun || !begun->is_object() || options.detach) return ShowRun(invocation, begun);
  const auto run = static_cast<uint64_t>(IntOr(begun->get_object(), "run", 0));
  if (!invocation.json) {
    std::fprintf(stderr, "%s\n",
                 Paint(Colour::kDim, "run " + std::to_string(run) + " of " + options.job).c_str());
    if (auto streamed = StreamLogs(invocation, client, run, true, false); !streamed)
      return Report(invocation, streamed.error());
  }
  auto target = RunTarget(invocation, RunPath("runs", run) + "?wait=1");
  auto ended = target ? client.Call("GET", *target) : Result<Json>(target.error());
  if (!ended || !ended->is_object()) return ShowRun(invocation, ended);
  const JsonObject& document = ended->get_object();
  if (invocation.json)
    PrintJson(*ended);
  else if (const std::string reason = StringOr(document, "reason", ""); !reason.empty())
    std::fprintf(stderr, "%s: %s\n", Paint(ColourOf(document), StateOf(document)).c_str(), reason.c_str());
  return ExitCodeOf(document);
}

int ListJobs(Invocation& invocation, const JobOptions& options) {
  DaemonClient client(invocation);
  auto jobs_path = RunTarget(invocation, "/jobs");
  if (!jobs_path) return Report(invocation, jobs_path.error());
  auto jobs = client.Call("GET", *jobs_path);
  if (!jobs) return Report(invocation, jobs.error());
  auto runs = client.Call(
      "GET",
      *RunTarget(invocation,
                 "/runs?limit=20" +
                     (options.job.empty() ? std::string() : "&job=" + adapters::PercentEncode(options.job))));
  if (!runs) return Report(invocation, runs.error());
  if (!jobs->is_object() || !runs->is_object() || !jobs->get_object().contains("jobs") ||
      !runs->get_object().contains("runs"))
    return Report(invocation, Error(Code::kInternal, "the daemon's answer is not what was asked for"));
  if (invocation.json) {
    JsonObject both = jobs->get_object();
    both["runs"] = runs->get_object().at("runs");
    PrintJson(both);
    return kDone;
  }
  std::vector<std::vector<std::string>> table = {{"JOB", "SCHEDULE", "NEXT", "LAST"}};
  for (const Json& item : jobs->get_object().at("jobs").as_array()) {
    const JsonObject& job = item.as_object();
    if (!options.job.empty() && StringOr(job, "job", "") != options.job) continue;
    const Json* last = job.if_contains("last");
    const bool ran = last != nullptr && last->is_object();
    std::string when = StringOr(job, "schedule", "");
    if (!StringOr(job, "on", "").empty()) when += (when.empty() ? "on " : ", on ") + StringOr(job, "on", "");
    table.push_back({StringOr(job, "job", ""), when, StringOr(job, "next", ""),
                     ran ? Paint(ColourOf(last->get_object()), StateOf(last->get_object())) : "-"});
  }
  std::fputs(RenderTable(table).c_str(), stdout);
  std::vector<std::vector<std::string>> shown = {
      {"RUN", "JOB", "REVISION", "STATE", "BY", "CREATED", "REASON"}};
  for (const Json& item : runs->get_object().at("runs").as_array()) {
    const JsonObject& run = item.as_object();
    shown.push_back({std::to_string(IntOr(run, "run", 0)), StringOr(run, "job", ""),
                     "r" + std::to_string(IntOr(run, "revision", 0)), Paint(ColourOf(run), StateOf(run)),
                     StringOr(run, "actor", ""), StringOr(run, "created", ""), StringOr(run, "reason", "")});
  }
  if (shown.size() > 1) std::printf("\n%s", RenderTable(shown).c_str());
  return kDone;
}

int OneRun(Invocation& invocation, const JobOptions& options, const char* method) {
  DaemonClient client(invocation);
  auto target = RunTarget(invocation, RunPath("runs", options.run) + (options.wait ? "?wait=1" : ""));
  return ShowRun(invocation, target ? client.Call(method, *target) : Result<Json>(target.error()));
}

int ShowRunLogs(Invocation& invocation, const JobOptions& options) {
  DaemonClient client(invocation);
  auto done = StreamLogs(invocation, client, options.run, options.follow, true);
  return done ? static_cast<int>(kDone) : Report(invocation, done.error());
}

int GetArtifacts(Invocation& invocation, const JobOptions& options) {
  DaemonClient client(invocation);
  auto target = RunTarget(invocation, RunPath("artifacts", options.run));
  auto copied = target ? CopyArtifacts(client, *target, options.directory) : Result<Json>(target.error());
  if (!copied) return Report(invocation, copied.error());
  if (invocation.json) {
    PrintJson(*copied);
    return kDone;
  }
  const JsonObject& about = copied->get_object();
  std::printf("%lld files, %lld bytes in %s\n", static_cast<long long>(IntOr(about, "files", 0)),
              static_cast<long long>(IntOr(about, "size_bytes", 0)), options.directory.c_str());
  for (const Json& what : about.at("left_out").as_array())
    std::fprintf(stderr, "%s %s\n", Paint(Colour::kYellow, "left out:").c_str(), what.as_string().c_str());
  return kDone;
}

}  // namespace

void AddJob(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<JobOptions>();
  CLI::App* job = app.add_subcommand("job", "run the jobs of an environment, and see what became of them");
  job->require_subcommand(1);
  const auto add = [&](const char* name, const char* about, std::function<int()> run) {
    CLI::App* verb = AddVerb(*job, invocation, name, about, std::move(run));
    AddProjectOptions(*verb, invocation);
    return verb;
  };
  const auto needs_run = [&](CLI::App* verb) {
    verb->add_option("run", options->run, "its number")->required();
  };

  CLI::App* run = add("run", "run a job now, in a fresh instance; show what it writes",
                      [&invocation, options] { return RunJob(invocation, *options); });
  run->add_option("job", options->job, "a job of what serves")->required();
  run->add_option("arguments", options->arguments, "after --: appended to its command");
  run->add_option("--env", options->environment, "NAME=VALUE, for this run")->take_all()->expected(1);
  run->add_flag("-d,--detach", options->detach, "do not wait for its end");
  run->footer(
      "Exit codes: those of the command; 124 it took too long, 125 it could not be run or nobody saw how it\n"
      "ended, 130 it was cancelled. The run goes on when this program is ended.");

  CLI::App* list = add("ls", "jobs with their schedules, and the newest runs",
                       [&invocation, options] { return ListJobs(invocation, *options); });
  list->add_option("job", options->job, "only of this job");

  CLI::App* status =
      add("status", "one run", [&invocation, options] { return OneRun(invocation, *options, "GET"); });
  needs_run(status);
  status->add_flag("-w,--wait", options->wait, "wait for its end");

  CLI::App* cancel = add("cancel", "end a run: it is not repeated",
                         [&invocation, options] { return OneRun(invocation, *options, "DELETE"); });
  needs_run(cancel);
  cancel->add_flag("-w,--wait", options->wait, "wait until nothing of it is left");

  CLI::App* logs = add("logs", "what a run wrote, all its attempts",
                       [&invocation, options] { return ShowRunLogs(invocation, *options); });
  needs_run(logs);
  logs->add_flag("-F,--follow", options->follow, "until it has ended");

  CLI::App* artifacts = add("artifacts", "copy what a run left in its artifacts",
                            [&invocation, options] { return GetArtifacts(invocation, *options); });
  needs_run(artifacts);
  artifacts->add_option("directory", options->directory, "a new or empty directory")->required();
}

}  // namespace ingot::app
