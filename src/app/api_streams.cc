// The part of the API that follows: events and logs as JSON lines.
#include "app/api.h"
#include "app/log_files.h"

namespace ingot::app {

namespace {

constexpr const char* kJsonLines = "application/jsonl";
constexpr auto kEventWait = std::chrono::milliseconds(500);
constexpr auto kLogPoll = std::chrono::milliseconds(100);

}  // namespace

Json ToJson(const LogLine& line) {
  return JsonObject{{"time", line.time},
                    {"instance", line.instance.Render()},
                    {"stream", line.stream},
                    {"text", line.text}};
}

Result<void> Api::ChooseLogs(const std::string& of, const Environment& environment, LogQuery& query) {
  // "web-17" is an instance, "web" a service; a service may itself end in a number, then it wins.
  const size_t dash = of.rfind('-');
  const bool numbered = of.find('/') != std::string::npos ||
                        (dash != std::string::npos && dash + 1 < of.size() &&
                         of.find_first_not_of("0123456789", dash + 1) == std::string::npos);
  const bool serves = daemon_.Ask([&](rollout::Controller& controller) {
    const auto active = controller.Active(environment);
    return active && active->revision.FleetOf(of) != nullptr;
  });
  const bool service = !numbered || serves || TRY(HasLogs(daemon_.layout().logs(), environment, of));
  if (service && !serves && !TRY(HasLogs(daemon_.layout().logs(), environment, of)))
    return Error(Code::kNotFound,
                 "no service " + of + " of " + environment.Render() + " has ever written a log");
  (service ? query.service : query.instance) = of;
  return {};
}

Result<void> Api::StreamEvents(const Request& request, Reply& reply, const std::string& environment,
                               bool& streamed) {
  audit::EventQuery query;
  query.environment = environment;
  query.after = TRY(QueryNumber(request, "after", 0));
  const bool follow = QueryFlag(request, "follow");
  streamed = true;
  TRY(reply.Begin(200, kJsonLines));
  uint64_t seen = 0;
  while (true) {
    const std::vector<audit::Event> events = TRY(daemon_.events().Read(query));
    for (const audit::Event& event : events) {
      TRY(reply.Write(RenderJson(audit::ToJson(event)) + "\n"));
      query.after = event.sequence;
    }
    if (!events.empty()) continue;
    if (!follow || reply.Gone()) return reply.End();
    seen = daemon_.WaitForChange(seen, kEventWait);
  }
}

Result<void> Api::StreamLogs(const Request& request, Reply& reply, const Environment& environment,
                             bool& streamed) {
  LogQuery query;
  query.environment = environment;
  if (const auto found = request.query.find("service"); found != request.query.end())
    query.service = found->second;
  if (const auto found = request.query.find("instance"); found != request.query.end())
    query.instance = found->second;
  if (const auto found = request.query.find("of"); found != request.query.end())
    TRY(ChooseLogs(found->second, environment, query));
  const uint64_t tail = TRY(QueryNumber(request, "tail", UINT64_MAX));
  const bool follow = QueryFlag(request, "follow");
  streamed = true;
  TRY(reply.Begin(200, kJsonLines));
  LogReader reader(daemon_.layout().logs(), query);
  std::deque<LogLine> kept;
  while (true) {
    const std::vector<LogLine> lines = TRY(reader.Next());
    if (lines.empty()) break;
    for (const LogLine& line : lines) {
      kept.push_back(line);
      if (kept.size() > tail) kept.pop_front();
    }
    // Without a limit what was read is sent on at once: memory stays bounded by one round.
    if (tail == UINT64_MAX) {
      for (const LogLine& line : kept) TRY(reply.Write(RenderJson(ToJson(line)) + "\n"));
      kept.clear();
    }
  }
  for (const LogLine& line : kept) TRY(reply.Write(RenderJson(ToJson(line)) + "\n"));
  while (follow && !reply.Gone()) {
    for (const LogLine& line : TRY(reader.Next())) TRY(reply.Write(RenderJson(ToJson(line)) + "\n"));
    std::this_thread::sleep_for(kLogPoll);
  }
  return reply.End();
}

}  // namespace ingot::app
