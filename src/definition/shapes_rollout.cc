// How a service is judged and replaced: health, rollout.
#include <algorithm>

#include "definition/scalars.h"
#include "definition/shapes.h"

namespace ingot::definition {

namespace {

enum class ProbeUse { kReady, kLive };

Shape<Probe> ProbeShape(ProbeUse use) {
  const bool ready = use == ProbeUse::kReady;
  Fields<Probe> fields(ready ? "ready" : "live",
                       ready ? "What an instance has to answer before it gets traffic."
                             : "What an instance has to go on answering; one that does not is replaced.");
  fields.Optional("http", &Probe::http, HttpPath(), "Ask for this path; a status from 200 to 399 is healthy.")
      .Optional("tcp", &Probe::tcp, Truth(), "A connection that is accepted is healthy.")
      .Optional("run", &Probe::run, CommandLine(), "A command inside the instance; exit code 0 is healthy.")
      .Optional("port", &Probe::port, NameText("the name of a port of the service"),
                "The port for http and tcp, by its name; needed when there are several.")
      .Optional("interval", &Probe::interval, Duration(), "From one probe to the next.",
                ready ? "\"5ms\"" : "\"5s\"")
      .Optional("timeout", &Probe::timeout, Duration(), "After it, one probe has failed.", "\"1s\"");
  if (ready) {
    fields.Optional("passes", &Probe::passes, Integer(1, 1000), "Probes in a row that make it ready.", "1")
        .Optional("deadline", &Probe::deadline, Duration(),
                  "From start to ready; after it, the instance has failed and the rollout reverts.",
                  "\"30s\"");
  } else {
    fields.Optional("fails", &Probe::fails, Integer(1, 1000),
                    "Failed probes in a row that make it unhealthy.", "3");
  }
  return fields.ExactlyOneOf({"http", "tcp", "run"})
      .Check([](Reader& reader, const Node&, Probe& probe) {
        if (probe.tcp == false)
          return reader.Fail("tcp: false probes nothing; expected tcp: true or no probe at all");
        if (probe.run && probe.port)
          return reader.Fail("a command has no port; expected port beside http or tcp only");
        return true;
      })
      .ToShape();
}

Shape<Shadow> ShadowShape() {
  Fields<Shadow> fields("shadow",
                        "Requests that are copied to the new fleet; its answers are compared and dropped.");
  fields.Optional("share", &Shadow::share, Percent(), "Of the requests with one of the methods.", "\"100%\"")
      .Required("for", &Shadow::hold, Duration(), "How long; at the end of it the numbers decide.")
      .Optional("differences", &Shadow::differences, Share(),
                "The largest share of answers with another status or body.", "\"1%\"")
      .Optional("errors", &Shadow::errors, Share(),
                "The largest share of copies without an answer: refused, cut, or too late.", "\"1%\"")
      .Optional("least", &Shadow::least, Integer(1, 1'000'000'000),
                "Answers that have to be compared. With fewer the outcome is inconclusive, never a success.",
                "100")
      .Optional("bodies", &Shadow::bodies, Truth(), "false: statuses are compared alone.", "true")
      .Optional("methods", &Shadow::methods,
                ListOf(Word({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}), 1),
                "What is copied. A copy of another method has its effects a second time.",
                "[\"GET\", \"HEAD\", \"OPTIONS\"]")
      .Optional("timeout", &Shadow::timeout, Duration(), "After it, a copy has failed.", "\"5s\"")
      .Check([](Reader& reader, const Node& node, Shadow& shadow) {
        const auto at = [&](std::string_view key) {
          for (const Entry& entry : node.entries)
            if (entry.key == key) return entry.at;
          return node.at;
        };
        if (shadow.share == 0)
          return reader.Fail(at("share"), "a share of nothing shows nothing; expected 1% or more");
        return !shadow.timeout || *shadow.timeout <= Milliseconds(60'000) ||
               reader.Fail(at("timeout"), "expected a timeout of at most 1m");
      });
  return fields.ToShape();
}

Shape<Step> StepShape() {
  Fields<Step> fields("step", "One step of a canary.");
  fields.Optional("weight", &Step::weight, Percent(), "The share of the traffic that the new revision gets.")
      .Optional("shadow", &Step::shadow, ShadowShape(),
                "Copy requests to the new fleet, before any share, and go on when it answers as the old one.")
      .Optional("for", &Step::hold, Duration(), "How long to stay at this weight.")
      .Optional("approve", &Step::approve, NameText("a role of `access`"),
                "Wait until somebody of this role approves (`ingot rollout approve`).")
      .Optional("within", &Step::within, Duration(),
                "How long to wait for it, from when the step could be left; after that the rollout reverts.",
                "\"24h\"")
      .Optional("pause", &Step::pause, Pause(), "Wait this long, or (manual) until `ingot rollout advance`.")
      .ExactlyOneOf({"weight", "shadow", "approve", "pause"})
      .Check([](Reader& reader, const Node&, Step& step) {
        if (step.hold && !step.weight) return reader.Fail("for stands beside weight only");
        return !step.within || !step.approve.empty() || reader.Fail("within stands beside approve only");
      });
  return fields.ToShape();
}

Shape<Sticky> StickyShape() {
  Fields<Sticky> fields("sticky", "What keeps a user on one side while a canary steps.");
  fields
      .Optional("cookie", &Sticky::cookie, CookieName(),
                "A cookie of this name, which the router sets and nobody else uses.")
      .Optional("header", &Sticky::header, HeaderName(),
                "The value of this header; requests without it are dealt by chance.")
      .ExactlyOneOf({"cookie", "header"});
  return fields.ToShape();
}

Shape<Preview> PreviewShape() {
  Fields<Preview> fields("preview", "Which requests reach the new fleet before everybody's do.");
  fields.Optional("cookie", &Preview::cookie, CookieName(), "Those with this cookie.")
      .Optional("header", &Preview::header, HeaderName(), "Those with this header.")
      .Optional("value", &Preview::value,
                TextThat("letters, digits, - and _, at most 64", "^[A-Za-z0-9_-]{1,64}$", IsToken),
                "What it has to hold; whoever knows it sees what is not released yet.")
      .Optional("port", &Preview::port, PortNumber(),
                "All that come to this port of the host; without a release before its switch it answers 503.")
      .Check([](Reader& reader, const Node&, Preview& preview) {
        const bool token = !preview.cookie.empty() || !preview.header.empty();
        if (!preview.cookie.empty() && !preview.header.empty())
          return reader.Fail("\"cookie\" and \"header\" exclude each other");
        if (token && preview.value.empty())
          return reader.Fail("missing key \"value\": what the cookie or header has to hold");
        if (!token && !preview.value.empty()) return reader.Fail("value stands beside cookie or header only");
        return token || preview.port != 0 || reader.Fail("expected cookie, header or port");
      });
  return fields.ToShape();
}

// Steps add up: weights rise, and the last one is everything. Nobody is served before the shadow is over.
bool CheckSteps(Reader& reader, const std::vector<Step>& steps) {
  int last = -1;  // the first may be nothing: a preview
  bool shadow = false;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].shadow) {
      const std::string place = "steps[" + std::to_string(i) + "].shadow";
      if (shadow) return reader.Fail(place + ": there is one already; expected one at most");
      if (last > 0)
        return reader.Fail(place + ": the new fleet serves " + std::to_string(last) +
                           "% by then; expected shadow before the first weight above 0%");
      shadow = true;
      last = std::max(last, 0);
    }
    if (!steps[i].weight) continue;
    if (*steps[i].weight <= last)
      return reader.Fail("steps[" + std::to_string(i) + "].weight is " + std::to_string(*steps[i].weight) +
                         "%; expected more than the " + std::to_string(last) + "% before it");
    last = *steps[i].weight;
  }
  if (last != 100 || !steps.back().weight)
    return reader.Fail("the steps end at " + std::to_string(std::max(last, 0)) +
                       "%; expected weight: 100% as the last step");
  if (steps.back().hold)
    return reader.Fail(
        "steps[" + std::to_string(steps.size() - 1) +
        "].for: with weight: 100% the rollout is over; keep_old says how long the old fleet stays");
  return true;
}

}  // namespace

Shape<Health> HealthShape() {
  Fields<Health> fields("health", "How an instance is judged.");
  fields
      .Optional("ready", &Health::ready, ProbeShape(ProbeUse::kReady),
                "The gate before traffic. Without it: a connection to the first port, or for a service "
                "without ports "
                "that its process runs.")
      .Optional("live", &Health::live, ProbeShape(ProbeUse::kLive),
                "The watch afterwards. Without it: that its process runs.");
  return fields.ToShape();
}

Shape<Rollout> RolloutShape() {
  Fields<Rollout> fields("rollout", "How a new revision of the service replaces the old one.");
  fields
      .Optional(
          "strategy", &Rollout::strategy,
          Choice<Strategy>({{"blue-green", Strategy::kBlueGreen},
                            {"rolling", Strategy::kRolling},
                            {"canary", Strategy::kCanary},
                            {"recreate", Strategy::kRecreate}}),
          "All at once (blue-green), in batches (rolling), in steps of traffic (canary), or the old first "
          "(recreate).",
          "\"blue-green\"")
      .Optional("keep_old", &Rollout::keep_old, Duration(Milliseconds(0)),
                "How long the old fleet stays warm, so that a rollback is one switch.", "\"10m\"")
      .Optional("drain", &Rollout::drain, Duration(Milliseconds(0)),
                "The longest wait for requests in flight before an instance is stopped.", "\"5s\"")
      .Optional("steps", &Rollout::steps, ListOf(StepShape(), 1), "The steps of a canary.")
      .Optional("analysis", &Rollout::analysis, AnalysisShape(), "What each step of a canary is judged by.")
      .Optional("sticky", &Rollout::sticky, StickyShape(),
                "How a user stays on one side of a canary. Without it each request is dealt by chance.")
      .Optional("preview", &Rollout::preview, PreviewShape(),
                "Canary: which requests reach the new fleet in any step, also in one that gives it nothing.")
      .Optional("batch", &Rollout::batch, Count(1, 1000),
                "Rolling: how many instances are replaced at a time.", "1")
      .Optional("surge", &Rollout::surge, Count(0, 1000),
                "Rolling: how many instances there may be beyond the count.", "1")
      .Check([](Reader& reader, const Node&, Rollout& rollout) {
        return !rollout.steps || CheckSteps(reader, *rollout.steps);
      });
  return fields.ToShape();
}

}  // namespace ingot::definition
