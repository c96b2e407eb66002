#include "app/rollout_view.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>

#include "app/daemon_client.h"
#include "app/terminal.h"

namespace ingot::app {

namespace {

std::atomic<bool> goes_on = false;  // a rollout was accepted, and needs this process no longer

void OnInterrupt(int number) {
  constexpr std::string_view kText =
      "\nthe rollout goes on: `ingot rollout status` shows it, `ingot rollout abort` takes it back\n";
  if (goes_on) static_cast<void>(!::write(STDERR_FILENO, kText.data(), kText.size()));
  ::signal(number, SIG_DFL);
  ::raise(number);
}

class View {
 public:
  View(Invocation& invocation, std::chrono::steady_clock::time_point begin)
      : invocation_(invocation), begin_(begin), progress_(invocation.json) {}

  bool OnLine(std::string_view line) {
    auto json = ParseJson(line);
    if (!json || !json->is_object()) return true;
    const JsonObject& object = json->get_object();
    if (const Json* event = object.if_contains("event"); event != nullptr && event->is_object())
      OnEvent(event->get_object());
    for (const char* key : {"accepted", "rollout"})
      if (const Json* value = object.if_contains(key)) last_[key] = *value;
    if (StringOr(Member("accepted"), "accepted", "") == "rollout") goes_on = true;
    return true;
  }

  void Clear() { progress_.Clear(); }

  int Finish(const std::function<int(JsonObject& last)>& then) {
    progress_.Clear();
    const double ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin_).count();
    const JsonObject accepted = Member("accepted");
    const JsonObject rollout = Member("rollout");
    const bool reverted = StringOr(rollout, "phase", "") == "reverted";
    if (invocation_.json) {
      last_["elapsed_ms"] = static_cast<int64_t>(ms);
      const int code = reverted ? kReverted : then ? then(last_) : kDone;
      PrintJson(last_);
      return code;
    }
    const std::string kind = StringOr(accepted, "accepted", "");
    const std::string revision = "r" + std::to_string(IntOr(accepted, "revision", 0));
    if (reverted) {
      std::fflush(stdout);
      std::fprintf(stderr, "%s %s\n", Paint(Colour::kRed, "reverted:").c_str(),
                   StringOr(rollout, "reason", "no reason was recorded").c_str());
      std::fprintf(stderr, "what served before serves still; `ingot events` and `ingot logs` tell more\n");
      return kReverted;
    }
    if (rollout.empty()) {
      std::printf("%s\n", kind == "nothing" ? "nothing to do" : "done");
    } else {
      std::printf("%s serves all traffic after %s\n", Paint(Colour::kGreen, revision).c_str(),
                  RenderElapsed(ms).c_str());
    }
    std::fflush(stdout);
    return then ? then(last_) : kDone;
  }

 private:
  JsonObject Member(const char* key) const {
    const Json* value = last_.if_contains(key);
    return value != nullptr && value->is_object() ? value->get_object() : JsonObject();
  }

  void OnEvent(const JsonObject& event) {
    const std::string kind = StringOr(event, "kind", "");
    const Json* detail = event.if_contains("detail");
    const JsonObject none;
    const JsonObject& fields = detail != nullptr && detail->is_object() ? detail->get_object() : none;
    const double ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin_).count();
    std::string text = kind;
    if (kind.starts_with("rollout.")) text = kind.substr(8);
    if (kind == "rollout.step") text.clear();  // its summary says so
    for (const char* key : {"instance", "service", "script", "summary", "reason"})
      if (const std::string value = StringOr(fields, key, ""); !value.empty())
        text += (text.empty() ? "" : " ") + value;
    if (kind.starts_with("instance.")) {
      progress_.Live(text);
    } else {
      progress_.Line(Paint(Colour::kDim, RenderElapsed(ms)) + "  " + text);
    }
  }

  Invocation& invocation_;
  std::chrono::steady_clock::time_point begin_;
  Progress progress_;
  JsonObject last_;
};

}  // namespace

int FollowChange(Invocation& invocation, DaemonClient& client, const std::string& target,
                 const std::string& body, const std::function<int(JsonObject& last)>& then) {
  View view(invocation, std::chrono::steady_clock::now());
  for (const int number : {SIGINT, SIGTERM}) ::signal(number, OnInterrupt);
  const std::string streamed = target + (target.find('?') == std::string::npos ? "?" : "&") + "stream=1";
  auto done =
      client.Stream("POST", streamed, body, [&view](std::string_view line) { return view.OnLine(line); });
  if (!done) {
    view.Clear();
    return Report(invocation, done.error());
  }
  goes_on = false;
  return view.Finish(then);
}

}  // namespace ingot::app
