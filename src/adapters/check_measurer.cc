#include "adapters/check_measurer.h"

#include <unistd.h>

#include <charconv>
#include <cmath>
#include <map>

#include "adapters/prometheus_answer.h"
#include "base/units.h"
#include "oci/base64.h"

extern char** environ;

namespace ingot::adapters {

namespace {

using rollout::Measurement;
using rollout::Outcome;
using CheckKind = definition::ResolvedCheck::Kind;

constexpr size_t kMostAnswerBytes = 1 << 20;

Measurement Inconclusive(std::string message) {
  return {Outcome::kInconclusive, "", std::move(message)};
}

Measurement Judged(bool good, std::string value, std::string message) {
  return {good ? Outcome::kSuccess : Outcome::kFailure, std::move(value), std::move(message)};
}

// What a program or a server has said, as one line of ASCII that may be shown and recorded: the last line of
// text, or the first.
enum class Which { kFirst, kLast };
std::string LineOf(std::string_view text, Which which) {
  const char* blank = " \t\r\n";
  const size_t begin = text.find_first_not_of(blank);
  if (begin == std::string_view::npos) return "";
  text = text.substr(begin, text.find_last_not_of(blank) - begin + 1);
  const size_t newline = which == Which::kLast ? text.rfind('\n') : text.find('\n');
  if (newline != std::string_view::npos)
    text = which == Which::kLast ? text.substr(newline + 1) : text.substr(0, newline);
  std::string out(text.substr(0, 200));
  for (char& c : out)
    if (c < ' ' || c > '~') c = '?';
  return out;
}

std::map<std::string, std::string> EnvironmentOf(const CheckTarget& target,
                                                 const definition::ResolvedCheck& check) {
  std::map<std::string, std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals != std::string_view::npos)
      out.emplace(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
  }
  out["INGOT_PROJECT"] = target.environment.project();
  out["INGOT_ENVIRONMENT"] = target.environment.environment();
  out["INGOT_SERVICE"] = target.service;
  // Not of a rollout: of what serves.
  if (target.key.rollout == 0) return out;
  out["INGOT_REVISION"] = std::to_string(target.revision);
  out["INGOT_ROLLOUT"] = std::to_string(target.key.rollout);
  out["INGOT_STEP"] = std::to_string(target.key.step);
  out["INGOT_CHECK"] = check.name;
  return out;
}

}  // namespace

struct CheckMeasurer::Answer {
  int status = 0;
  std::string body;
  bool whole = true;  // false: there was more, which was not read
};

std::string AuthorizationOf(std::string_view secret) {
  while (secret.ends_with('\n') || secret.ends_with('\r')) secret.remove_suffix(1);
  if (secret.find(':') != std::string_view::npos) return "Basic " + oci::RenderBase64(secret);
  return "Bearer " + std::string(secret);
}

Measurement CheckMeasurer::Measure(const CheckTarget& target, const definition::ResolvedCheck& check,
                                   const std::atomic<bool>& cancelled) {
  switch (check.kind) {
    case CheckKind::kPrometheus: {
      const auto number = Prometheus(target, check, cancelled);
      if (!number) return Inconclusive(number.error().message());
      return Judged(check.condition.Holds(*number), definition::RenderNumber(*number), "");
    }
    case CheckKind::kHttp:
      return Http(target, check, cancelled);
    case CheckKind::kRun:
      return Run(target, check, cancelled);
  }
  return Inconclusive("a check of an unknown kind");
}

Result<CheckMeasurer::Answer> CheckMeasurer::Ask(const CheckTarget& target,
                                                 const definition::ResolvedCheck& check,
                                                 registry::ClientRequest request,
                                                 const std::atomic<bool>& cancelled) {
  request.timeout = check.timeout;
  request.cancelled = &cancelled;
  if (!check.secret.empty()) {
    TRY(registry::RequireSecure(request.url, "the secret " + check.secret));
    const std::string secret = TRY(secret_(target.environment, {check.secret, check.secret_version}));
    // A header ends where a line does.
    std::string value = AuthorizationOf(secret);
    if (value.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
      return Error(Code::kInvalid, "the secret " + check.secret + " is neither a token nor USER:PASSWORD");
    request.headers.emplace_back("Authorization", std::move(value));
  }
  Answer answer;
  auto head = http_.Send(
      request, [&](const registry::ClientResponse& response, std::string_view piece) -> Result<void> {
        answer.status = response.status;
        answer.body.append(piece.substr(0, kMostAnswerBytes - answer.body.size()));
        answer.whole = answer.body.size() < kMostAnswerBytes;
        if (!answer.whole) return Error(Code::kRefused, "its answer has no end");
        return {};
      });
  if (!head && answer.whole) return std::move(head).error();
  if (head) answer.status = head->status;
  return answer;
}

Result<double> CheckMeasurer::MeasureNumber(const CheckTarget& target, const definition::ResolvedCheck& check,
                                            const std::atomic<bool>& cancelled) {
  if (check.kind == CheckKind::kPrometheus) return Prometheus(target, check, cancelled);
  if (check.kind == CheckKind::kHttp) return Error(Code::kUnsupported, "an HTTP answer is no number");
  const auto ended = TRY(Execute(target, check, cancelled));
  const std::string said = LineOf(ended.out, Which::kLast);
  if (ended.exit_code != 0) {
    const std::string why = said.empty() ? LineOf(ended.err, Which::kLast) : said;
    return Error(Code::kUnavailable, "it ended with " + ended.Describe() + (why.empty() ? "" : ": " + why));
  }
  double number = 0;
  const auto [end, wrong] = std::from_chars(said.data(), said.data() + said.size(), number);
  if (wrong != std::errc() || end != said.data() + said.size() || !std::isfinite(number))
    return Error(Code::kInvalid, "it printed no number but \"" + said + "\"");
  return number;
}

Result<double> CheckMeasurer::Prometheus(const CheckTarget& target, const definition::ResolvedCheck& check,
                                         const std::atomic<bool>& cancelled) {
  std::string base = check.url;
  while (base.ends_with('/')) base.pop_back();
  registry::ClientRequest request;
  request.url = TRY(registry::ClientUrl::Parse(base + "/api/v1/query"));
  // It, too, gives up in time.
  request.form = "query=" + registry::EncodeQueryValue(check.query) +
                 "&timeout=" + std::to_string(check.timeout.count()) + "ms";
  const auto answer = Ask(target, check, std::move(request), cancelled);
  if (!answer) return Error(answer.error().code(), "no answer: " + answer.error().Render());
  if (!answer->whole)
    return Error(Code::kUnsupported, "its answer is longer than 1 MiB, expected one number");
  return ParsePrometheusAnswer(answer->status, answer->body);
}

Measurement CheckMeasurer::Http(const CheckTarget& target, const definition::ResolvedCheck& check,
                                const std::atomic<bool>& cancelled) {
  const auto url = registry::ClientUrl::Parse(check.url);
  if (!url) return Inconclusive(url.error().message());
  registry::ClientRequest request;
  request.url = *url;
  const auto answer = Ask(target, check, std::move(request), cancelled);
  if (!answer) return Inconclusive("no answer: " + answer.error().Render());
  const bool good =
      check.status == 0 ? answer->status >= 200 && answer->status < 300 : answer->status == check.status;
  return Judged(good, "status " + std::to_string(answer->status), LineOf(answer->body, Which::kFirst));
}

Result<CommandResult> CheckMeasurer::Execute(const CheckTarget& target,
                                             const definition::ResolvedCheck& check,
                                             const std::atomic<bool>& cancelled) {
  Command command;
  command.argv = check.command;
  command.env = EnvironmentOf(target, check);
  command.cwd = "/";
  command.new_session = true;
  command.die_with_parent = true;  // nobody would hear of it
  command.cancelled = &cancelled;
  auto ended = ingot::Run(std::move(command), check.timeout);
  if (!ended && ended.error().code() == Code::kTimeout)
    return Error(Code::kTimeout, "it did not end within " + RenderDuration(check.timeout));
  if (!ended) return Error(ended.error().code(), "it cannot be run: " + ended.error().Render());
  return ended;
}

Measurement CheckMeasurer::Run(const CheckTarget& target, const definition::ResolvedCheck& check,
                               const std::atomic<bool>& cancelled) {
  const auto ended = Execute(target, check, cancelled);
  if (!ended) return Inconclusive(ended.error().message());
  std::string said = LineOf(ended->out, Which::kLast);
  if (said.empty()) said = LineOf(ended->err, Which::kLast);
  if (ended->exit_code == 0 || ended->exit_code == 1)
    return Judged(ended->exit_code == 0, ended->Describe(), std::move(said));
  return Inconclusive("it ended with " + ended->Describe() + ", which is neither 0 nor 1" +
                      (said.empty() ? "" : ": " + said));
}

}  // namespace ingot::adapters
