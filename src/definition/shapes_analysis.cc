// What a canary is judged by: bounds on what the router counts, and checks of others.
#include "definition/endpoint_url.h"
#include "definition/promql.h"
#include "definition/scalars.h"
#include "definition/shapes.h"

namespace ingot::definition {

namespace {

constexpr size_t kMostChecks = 20;
constexpr Milliseconds kLeastInterval{100};
constexpr Milliseconds kMostTimeout{600'000};

// Text that `check` has nothing against.
Shape<std::string> CheckedText(std::string what, std::string pattern,
                               Result<void> (*check)(std::string_view)) {
  Shape<std::string> shape =
      TextThat(std::move(what), std::move(pattern), [](std::string_view) { return true; });
  const auto read = shape.read;
  shape.read = [read, check](Reader& reader, const Node& node, std::string& out) {
    if (!read(reader, node, out)) return false;
    const Result<void> good = check(out);
    return good || reader.Fail(node, good.error().message());
  };
  return shape;
}

Result<void> CheckHttpUrl(std::string_view text) {
  const Result<EndpointUrl> url = EndpointUrl::Parse(text);
  if (!url) return Error(Code::kInvalid, url.error().message());
  if (url->scheme != "http" && url->scheme != "https")
    return Error(Code::kInvalid, "expected a URL of https or http, not " + Quoted(text));
  return {};
}

Result<void> CheckPrometheusUrl(std::string_view text) {
  TRY(CheckHttpUrl(text));
  if (text.find_first_of("?#") != std::string_view::npos)
    return Error(Code::kInvalid, "expected where a Prometheus is, such as http://127.0.0.1:9090, not " +
                                     Quoted(text) + "; what it is asked stands in query");
  return {};
}

Shape<Condition> ConditionShape() {
  const Shape<std::string> text =
      TextThat("a condition such as \"< 0.01\"", "^([<>]=?|[=!]=) *[+-]?[0-9.]+([eE][+-]?[0-9]+)?$",
               [](std::string_view) { return true; });
  Shape<Condition> shape;
  shape.what = text.what;
  shape.read = [text](Reader& reader, const Node& node, Condition& out) {
    std::string written;
    if (!text.read(reader, node, written)) return false;
    const Result<Condition> condition = Condition::Parse(written);
    if (!condition) return reader.Fail(node, condition.error().message());
    out = *condition;
    return true;
  };
  shape.schema = text.schema;
  return shape;
}

// What is sent there cannot be read on the way.
bool IsSecure(const std::string& text) {
  const Result<EndpointUrl> url = EndpointUrl::Parse(text);
  return url && (url->tls || url->host == "localhost" || url->host.starts_with("127.") || url->host == "::1");
}

// The place of a key that is there.
Position PlaceOf(const Node& node, std::string_view key) {
  for (const Entry& entry : node.entries)
    if (entry.key == key) return entry.at;
  return node.at;
}

// A key that only means something beside another one.
bool OnlyBeside(Reader& reader, const Node& node, bool written, const char* key, bool fits,
                const char* what) {
  return !written || fits ||
         reader.Fail(PlaceOf(node, key), std::string(key) + " stands beside " + what + " only");
}

// Of what is measured, and how often.
bool CheckSource(Reader& reader, const Node& node, const AnalysisCheck& check) {
  const bool prometheus = !check.prometheus.empty();
  const bool http = !check.http.empty();
  bool good = OnlyBeside(reader, node, !check.query.empty(), "query", prometheus, "prometheus");
  good &=
      OnlyBeside(reader, node, !check.secret.empty(), "secret", prometheus || http, "prometheus and http");
  if ((prometheus || http) && !check.secret.empty() && !IsSecure(prometheus ? check.prometheus : check.http))
    good = reader.Fail(PlaceOf(node, "secret"), "a secret is sent by https only, or to this host itself");
  if (prometheus && check.query.empty())
    good = reader.Fail("missing key \"query\": what the Prometheus is asked");
  if (check.interval && *check.interval < kLeastInterval)
    good = reader.Fail(PlaceOf(node, "interval"), "expected an interval of at least 100ms");
  if (check.timeout && *check.timeout > kMostTimeout)
    good = reader.Fail(PlaceOf(node, "timeout"), "expected a timeout of at most 10m");
  return good;
}

bool CheckCheck(Reader& reader, const Node& node, AnalysisCheck& check) {
  const bool prometheus = !check.prometheus.empty();
  bool good = CheckSource(reader, node, check);
  good &= OnlyBeside(reader, node, check.success_condition.has_value(), "success_condition", prometheus,
                     "prometheus");
  good &= OnlyBeside(reader, node, check.status.has_value(), "status", !check.http.empty(), "http");
  if (prometheus && !check.success_condition)
    good = reader.Fail("missing key \"success_condition\": what the answer has to be, such as \"< 0.01\"");
  return good;
}

Shape<AnalysisCheck> AnalysisCheckShape() {
  Fields<AnalysisCheck> fields(
      "analysis_check", "A measurement that is made again and again while a step of the canary goes on.");
  fields
      .Optional("prometheus", &AnalysisCheck::prometheus,
                CheckedText("the URL of a Prometheus", "^https?://[^?#]+$", CheckPrometheusUrl),
                "The URL of a Prometheus, or of what speaks its API.")
      .Optional("query", &AnalysisCheck::query, CheckedText("a query in PromQL", "", CheckPromql),
                "What it is asked: an instant query whose answer is one number.")
      .Optional("success_condition", &AnalysisCheck::success_condition, ConditionShape(),
                "What that number has to be: <, <=, >, >=, == or != and a number.")
      .Optional("http", &AnalysisCheck::http, CheckedText("a URL", "^https?://", CheckHttpUrl),
                "A URL that is asked for with GET.")
      .Optional("status", &AnalysisCheck::status, Integer(100, 599),
                "The status that is a success; any from 200 to 299 if not given.")
      .Optional("run", &AnalysisCheck::run, CommandLine(),
                "A command on the daemon's host: exit code 0 is a success, 1 a failure.")
      .Optional("secret", &AnalysisCheck::secret, NameText("the name of a secret"),
                "A bearer token, or USER:PASSWORD, that the request is authorised with.")
      .Optional("interval", &AnalysisCheck::interval, Duration(),
                "From the begin of one measurement to that of the next; the first is made at once.",
                "\"10s\"")
      .Optional("timeout", &AnalysisCheck::timeout, Duration(), "After it, one measurement is inconclusive.",
                "\"10s\"")
      .Optional("fails", &AnalysisCheck::fails, Integer(1, 1000),
                "Failed measurements in a row that fail the step.", "1")
      .ExactlyOneOf({"prometheus", "http", "run"})
      .Check(CheckCheck);
  return fields.ToShape();
}

}  // namespace

Shape<ScaleQueue> ScaleQueueShape() {
  Fields<ScaleQueue> fields(
      "scale_queue", "A number that is not the instances' own: so many are needed that each has its part.");
  fields
      .Optional("prometheus", &ScaleQueue::prometheus,
                CheckedText("the URL of a Prometheus", "^https?://[^?#]+$", CheckPrometheusUrl),
                "The URL of a Prometheus, or of what speaks its API.")
      .Optional("query", &ScaleQueue::query, CheckedText("a query in PromQL", "", CheckPromql),
                "What it is asked: an instant query whose answer is one number.")
      .Optional("run", &ScaleQueue::run, CommandLine(),
                "A command on the daemon's host; the last line that it prints is the number.")
      .Optional("secret", &ScaleQueue::secret, NameText("the name of a secret"),
                "A bearer token, or USER:PASSWORD, that the request is authorised with.")
      .Required("each", &ScaleQueue::each, Integer(1, 1'000'000'000), "How much of it one instance takes.")
      .Optional("interval", &ScaleQueue::interval, Duration(), "From one measurement to the next.", "\"10s\"")
      .Optional("timeout", &ScaleQueue::timeout, Duration(), "After it, a measurement has failed.", "\"10s\"")
      .ExactlyOneOf({"prometheus", "run"})
      .Check([](Reader& reader, const Node& node, ScaleQueue& queue) {
        return CheckSource(reader, node, SourceOf(queue));
      });
  return fields.ToShape();
}

Shape<Analysis> AnalysisShape() {
  Fields<Analysis> fields("analysis", "What the new revision has to keep to; broken, the rollout reverts.");
  fields
      .Optional(
          "error_rate", &Analysis::error_rate, ShareBound(),
          "The share of requests answered 5xx or not at all. Without it the new revision is compared with "
          "the old one only.")
      .Optional("p50", &Analysis::p50, DurationBound(), "The median latency.")
      .Optional("p90", &Analysis::p90, DurationBound(), "The latency that 90 % of requests keep to.")
      .Optional("p95", &Analysis::p95, DurationBound(), "The latency that 95 % of requests keep to.")
      .Optional("p99", &Analysis::p99, DurationBound(), "The latency that 99 % of requests keep to.")
      .Optional("min_requests", &Analysis::min_requests, Integer(1, 1'000'000'000),
                "Of each side and step. With fewer the outcome is inconclusive, never a success.", "50")
      .Optional("confidence", &Analysis::confidence, Confidence(),
                "How sure a failure has to be, over all looks at a step together.", "\"99.9%\"")
      .Optional("checks", &Analysis::checks, MapOf(Names(), AnalysisCheckShape(), kMostChecks),
                "What others measure of the new revision, by name.");
  return fields.ToShape();
}

}  // namespace ingot::definition
